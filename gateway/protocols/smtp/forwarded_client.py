"""Where a client comes from, and how Postfix is told of it (XCLIENT).

Whatever a client says of that kind itself is refused; this is made of what we have seen.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from gateway.protocols.proxy_protocol import End

_HOST_NAME = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z|\[[A-Za-z0-9.:]{1,64}\]\Z")


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
        # A claim that is no name could be a reason for the server to refuse the whole command.
        "HELO": client.name if _HOST_NAME.match(client.name) else b"[UNAVAILABLE]",
    }
    return [b"%b=%b" % (name.encode(), value) for name, value in said.items() if name in known]
