"""Where a client comes from, and how Postfix is told of it (XCLIENT).

Whatever a client says of that kind itself is refused; this is made of what we have seen.
"""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.protocols.proxy_protocol import End

NAME_LONGEST = 128
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-_[]")


@dataclass(frozen=True, slots=True)
class Client:
    """One client's connection."""

    source: End
    destination: End
    """Where it has come to."""
    name: bytes = b""
    """As it says in EHLO; a claim."""


def xclient(client: Client, known: Collection[str]) -> list[bytes]:
    """The attributes of an XCLIENT command, of those that the server knows (in upper case). LOGIN is never said."""
    address = client.source[0].encode("ascii", "replace")
    said = {
        "NAME": b"[UNAVAILABLE]",
        "ADDR": b"IPV6:" + address if b":" in address else address,
        "PORT": b"%d" % client.source[1],
        "PROTO": b"ESMTP",
        "HELO": _xtext(client.name[:NAME_LONGEST]) or b"[UNAVAILABLE]",
    }
    return [b"%b=%b" % (name.encode(), value) for name, value in said.items() if name in known]


def _xtext(octets: bytes) -> bytes:
    """RFC 3461 §4; more is encoded than has to be."""
    return b"".join(bytes((octet,)) if octet in _PLAIN else b"+%02X" % octet for octet in octets)
