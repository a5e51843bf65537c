"""SPOP 2.0 from HAProxy's side, as far as a question to our own listener needs it (``gatepost check --asker``)."""

from collections.abc import Mapping

from gateway.protocols.authz.spop import FRAME_LONGEST, FrameType, Reader, string, text, varint, written
from gateway.protocols.lines import Unframeable

_SET_VAR = 1


def hello() -> bytes:
    """HAProxy introduces itself."""
    said = (
        *(text(b"supported-versions"), string(b"2.0"), text(b"max-frame-size"), b"\x03", varint(FRAME_LONGEST)),
        *(text(b"capabilities"), string(b"pipelining")),
    )
    return written(FrameType.HAPROXY_HELLO, 0, 0, b"".join(said))


def notify(message: bytes, arguments: Mapping[bytes, bytes | int | None]) -> bytes:
    """A question: one message with its arguments."""
    said = b"".join(text(name) + _value(value) for name, value in arguments.items())
    return written(FrameType.NOTIFY, 1, 1, text(message) + bytes((len(arguments),)) + said)


def _value(value: bytes | int | None) -> bytes:
    if value is None:
        return b"\0"
    return b"\x02" + varint(value) if isinstance(value, int) else string(value)


def is_whole(octets: bytes, frames: int) -> bool:
    """Whether so many frames are there."""
    at = 0
    for _ in range(frames):
        if len(octets) < at + 4:
            return False
        at += 4 + int.from_bytes(octets[at : at + 4])
    return len(octets) >= at


def variables(octets: bytes) -> dict[str, str]:
    """What the ACK behind the agent's HELLO sets. Raises ``Unframeable`` for another answer."""
    at = 4 + int.from_bytes(octets[:4])
    frame = octets[at + 4 : at + 4 + int.from_bytes(octets[at : at + 4])]
    if octets[4:5] != bytes((FrameType.AGENT_HELLO,)) or frame[:1] != bytes((FrameType.ACK,)):
        raise Unframeable("no_ack")
    reader = Reader(frame, 5)
    reader.varint()
    reader.varint()
    return {name.decode(): value.decode("utf-8", "replace") for name, value in reader.actions(_SET_VAR)}
