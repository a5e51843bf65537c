"""SPOP 2.0, by which HAProxy's stream processing engine asks an agent: frames ↔ values (HAProxy's doc/SPOE.txt, §3).

What is read: HELLO, NOTIFY, DISCONNECT. What is written: the answers to them. No fragments and nothing out of order are
announced, so a frame is whole, and the answers come as the questions did.
"""

import ipaddress
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from gateway.protocols.lines import Unframeable

FRAME_LONGEST: Final = 16380
"""Octets behind the length; HAProxy's own default, and it cannot ask with more."""
VALUES_MOST: Final = 64
"""Of a list, and messages of a frame."""
_FIN: Final = b"\0\0\0\1"
_FIN_BIT: Final = 1
_ABORT_BIT: Final = 2
_VARINT_LONGEST: Final = 10
_TXN: Final = 2
"""The scope of variables that live as long as a request and its answer."""
_NORMAL: Final = 0

Value = bytes | int | bool | str | None
"""Text and octets are ``bytes``, an address is ``str``; None: HAProxy had nothing to say."""


class FrameType(IntEnum):
    """The first octet of a frame."""

    HAPROXY_HELLO = 1
    HAPROXY_DISCONNECT = 2
    NOTIFY = 3
    AGENT_HELLO = 101
    AGENT_DISCONNECT = 102
    ACK = 103


class Hello(NamedTuple):
    """HAProxy introduces itself."""

    said: Mapping[bytes, Value]

    @property
    def health_check(self) -> bool:
        """It only wants to know whether we are here."""
        return self.said.get(b"healthcheck") is True


class Notify(NamedTuple):
    """A question: messages by name, with their arguments."""

    stream_id: int
    frame_id: int
    messages: Mapping[bytes, Mapping[bytes, Value]]


class Disconnect(NamedTuple):
    """HAProxy goes."""


Frame = Hello | Notify | Disconnect


class FrameReader:
    """Takes octets, gives frames; at every split the same ones."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    @property
    def waiting(self) -> int:
        """Octets received and not taken."""
        return len(self._octets)

    def receive(self, octets: bytes) -> None:
        """More octets; the caller bounds how many wait."""
        self._octets += octets

    def next(self) -> Frame | None:
        """The next frame; None: more octets are needed. Raises ``Unframeable``."""
        if len(self._octets) < 4:
            return None
        length = int.from_bytes(self._octets[:4])
        if not 7 <= length <= FRAME_LONGEST:
            raise Unframeable("frame_length")
        if len(self._octets) < 4 + length:
            return None
        frame = bytes(self._octets[4 : 4 + length])
        del self._octets[: 4 + length]
        return _frame(frame)


def _frame(octets: bytes) -> Frame:
    flags = int.from_bytes(octets[1:5])
    if not flags & _FIN_BIT or flags & _ABORT_BIT:
        raise Unframeable("fragment")
    reader = Reader(octets, 5)
    stream_id, frame_id = reader.varint(), reader.varint()
    match octets[0]:
        case FrameType.HAPROXY_HELLO:
            return Hello(reader.pairs())
        case FrameType.NOTIFY:
            return Notify(stream_id, frame_id, reader.messages())
        case FrameType.HAPROXY_DISCONNECT:
            return Disconnect()
    raise Unframeable("frame_type")


class Reader:
    """Reads values one behind the other. Every method raises ``Unframeable``."""

    def __init__(self, octets: bytes, at: int) -> None:
        self._octets = octets
        self._at = at

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._octets):
            raise Unframeable("cut_short")
        taken, self._at = self._octets[self._at : end], end
        return taken

    def varint(self) -> int:
        """SPOE.txt §3.1: four bits in the first octet above 239, then seven in each."""
        value = self._take(1)[0]
        if value < 240:
            return value
        shift = 4
        for _ in range(_VARINT_LONGEST):
            octet = self._take(1)[0]
            value += octet << shift
            if octet < 128:
                return value
            shift += 7
        raise Unframeable("number")

    def _text(self) -> bytes:
        return self._take(self.varint())

    def _value(self) -> Value:
        kind = self._take(1)[0]
        match kind & 0x0F:
            case 0:
                return None
            case 1:
                return bool(kind & 0x10)
            case 2 | 3 | 4 | 5:
                return self.varint()
            case 6:
                return str(ipaddress.IPv4Address(self._take(4)))
            case 7:
                return str(ipaddress.IPv6Address(self._take(16)))
            case 8 | 9:
                return self._text()
        raise Unframeable("value_type")

    def _pairs(self, count: int) -> dict[bytes, Value]:
        found: dict[bytes, Value] = {}
        for _ in range(count):
            name = self._text()
            if name in found:
                raise Unframeable("repeated_name")
            found[name] = self._value()
        return found

    @property
    def _more(self) -> bool:
        return self._at < len(self._octets)

    def pairs(self) -> Mapping[bytes, Value]:
        """Names and values up to the end."""
        found: dict[bytes, Value] = {}
        while self._more:
            for name, value in self._pairs(1).items():
                if name in found or len(found) >= VALUES_MOST:
                    raise Unframeable("repeated_name")
                found[name] = value
        return found

    def messages(self) -> Mapping[bytes, Mapping[bytes, Value]]:
        """Messages up to the end."""
        found: dict[bytes, Mapping[bytes, Value]] = {}
        while self._more:
            name = self._text()
            if name in found or len(found) >= VALUES_MOST:
                raise Unframeable("repeated_name")
            found[name] = self._pairs(self._take(1)[0])
        return found

    def actions(self, kind: int) -> list[tuple[bytes, bytes]]:
        """Actions of an ACK up to the end, all of that kind: names and texts."""
        found = []
        while self._more:
            if self._take(3)[0] != kind:
                raise Unframeable("action")
            name, value = self._text(), self._value()
            if not isinstance(value, bytes):
                raise Unframeable("value_type")
            found.append((name, value))
        return found


# --- written


def varint(value: int) -> bytes:
    """SPOE.txt §3.1."""
    if value < 240:
        return bytes((value,))
    octets = [value & 0xFF | 0xF0]
    value = (value - 240) >> 4
    while value >= 128:
        octets.append(value & 0xFF | 0x80)
        value = (value - 128) >> 7
    octets.append(value)
    return bytes(octets)


def text(value: bytes) -> bytes:
    """A name."""
    return varint(len(value)) + value


def string(value: bytes) -> bytes:
    """A value that is text."""
    return b"\x08" + text(value)


def written(kind: FrameType, stream_id: int, frame_id: int, payload: bytes) -> bytes:
    """A whole frame with its length."""
    frame = bytes((kind,)) + _FIN + varint(stream_id) + varint(frame_id) + payload
    return len(frame).to_bytes(4) + frame


def agent_hello(hello: Hello) -> bytes:
    """We are here. Raises ``Unframeable`` if HAProxy does not speak 2.0, or allows for no frame."""
    versions, theirs = hello.said.get(b"supported-versions"), hello.said.get(b"max-frame-size")
    known = isinstance(versions, bytes) and b"2.0" in [each.strip() for each in versions.split(b",")]
    if not known or not isinstance(theirs, int) or theirs < 256:
        raise Unframeable("hello")
    payload = (
        *(text(b"version"), string(b"2.0"), text(b"max-frame-size")),
        *(b"\x03" + varint(min(theirs, FRAME_LONGEST)), text(b"capabilities"), string(b"pipelining")),
    )
    return written(FrameType.AGENT_HELLO, 0, 0, b"".join(payload))


def ack(notify: Notify, variables: Mapping[str, str]) -> bytes:
    """The answer to a question: variables of the transaction."""
    actions = [
        bytes((1, 3, _TXN)) + text(name.encode()) + string(value.encode("utf-8", "replace"))
        for name, value in variables.items()
    ]
    return written(FrameType.ACK, notify.stream_id, notify.frame_id, b"".join(actions))


def agent_disconnect(status: int = _NORMAL, message: str = "") -> bytes:
    """The last frame; ``status`` 0 is the normal end, 99 an unknown error (SPOE.txt §3.5)."""
    payload = text(b"status-code") + b"\x03" + varint(status) + text(b"message") + string(message.encode())
    return written(FrameType.AGENT_DISCONNECT, 0, 0, payload)
