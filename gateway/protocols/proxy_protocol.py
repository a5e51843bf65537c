"""The PROXY protocol's header (HAProxy's proxy-protocol.txt, versions 1 and 2): for whom a connection speaks.

It is the first thing on a connection, before TLS and before any greeting; only a server that was told to expect it
understands it.
"""

import ipaddress
from typing import Final

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY: Final = b"\x21"
"""Version 2, command PROXY."""
_LOCAL: Final = b"\x20\0\0\0"
"""Version 2, command LOCAL, without addresses."""
_FAMILIES: Final = {4: b"\x11", 6: b"\x21"}
"""TCP over IPv4, TCP over IPv6."""

End = tuple[str, int]
"""An address without a zone, and a port."""


def version_1(source: End, destination: End) -> bytes:
    """The line of text; addresses of two families, or none, are UNKNOWN."""
    ends = _ends(source, destination)
    if ends is None:
        return b"PROXY UNKNOWN\r\n"
    one, other = ends
    text = f"PROXY TCP{one.version} {one} {other} {source[1]} {destination[1]}\r\n"
    return text.encode("ascii")


def version_2(source: End, destination: End) -> bytes:
    """The same in binary; LOCAL where there is nothing to tell."""
    ends = _ends(source, destination)
    if ends is None:
        return _SIGNATURE + _LOCAL
    ports = source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    addresses = ends[0].packed + ends[1].packed + ports
    return _SIGNATURE + _PROXY + _FAMILIES[ends[0].version] + len(addresses).to_bytes(2, "big") + addresses


def _ends(
    source: End, destination: End
) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | tuple[ipaddress.IPv6Address, ipaddress.IPv6Address] | None:
    try:
        one, other = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    except ValueError:
        return None
    if isinstance(one, ipaddress.IPv4Address) and isinstance(other, ipaddress.IPv4Address):
        return one, other
    if isinstance(one, ipaddress.IPv6Address) and isinstance(other, ipaddress.IPv6Address):
        return one, other
    return None
