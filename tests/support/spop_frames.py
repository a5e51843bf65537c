"""SPOP frames as HAProxy writes them, written here by hand."""

from tests.support.raw_http import basic


def varint(value: int) -> bytes:
    """SPOE.txt §3.1."""
    if value < 240:
        return bytes((value,))
    octets, value = [value & 0xFF | 0xF0], (value - 240) >> 4
    while value >= 128:
        octets.append(value & 0xFF | 0x80)
        value = (value - 128) >> 7
    return bytes((*octets, value))


def text(value: bytes) -> bytes:
    """A name."""
    return varint(len(value)) + value


def string(value: bytes | None) -> bytes:
    """A value; None: null."""
    return b"\0" if value is None else b"\x08" + text(value)


def number(value: int) -> bytes:
    """A 32-bit one."""
    return b"\x02" + varint(value)


def frame(kind: int, ids: bytes, payload: bytes, flags: int = 1) -> bytes:
    """With its length."""
    octets = bytes((kind,)) + flags.to_bytes(4) + ids + payload
    return len(octets).to_bytes(4) + octets


SAID = (
    *(text(b"supported-versions"), string(b"2.0"), text(b"max-frame-size"), b"\x03", varint(16380)),
    *(text(b"capabilities"), string(b"pipelining,async"), text(b"engine-id"), string(b"1234")),
)
HELLO = frame(1, b"\0\0", b"".join(SAID))
HEALTH_CHECK = frame(1, b"\0\0", b"".join((*SAID, text(b"healthcheck"), b"\x11")))
DISCONNECT = frame(2, b"\0\0", text(b"status-code") + b"\x03\0")


def notify(arguments: dict[bytes, bytes], ids: bytes = b"\0\1", name: bytes = b"gatepost-http") -> bytes:
    """A question; the arguments' values are written already."""
    said = b"".join(text(each) + value for each, value in arguments.items())
    return frame(3, ids, text(name) + bytes((len(arguments),)) + said)


def asked(uri: str, user: str, key: str, ids: bytes = b"\0\1", **more: bytes) -> bytes:
    """A question about a client's request, as by the example's configuration."""
    arguments = {
        b"key": string(key.encode()),
        b"method": string(b"POST"),
        b"uri": string(uri.encode()),
        b"ip": b"\x06\xc0\0\2\7",
        b"auth": string(basic(user).encode() if user else None),
        b"auths": number(1 if user else 0),
        b"cookies": number(0),
        b"asver": string(b"14.1"),
        b"coding": string(None),
    }
    return notify({**arguments, **{name.encode(): value for name, value in more.items()}}, ids)
