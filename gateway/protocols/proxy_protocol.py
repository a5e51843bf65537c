"""The PROXY protocol's header (HAProxy's proxy-protocol.txt, versions 1 and 2): for whom a connection speaks.

It is the first thing on a connection, before TLS and before any greeting; only a server that was told to expect it
understands it. Written for mail servers behind us, and read from balancers before us: whole or not at all, within
bounds, both versions; what it says is worth no more than the one who says it.
"""

import ipaddress
import re
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue

LINE_LONGEST: Final = 107
"""Octets of version 1 with its end (§2.1)."""
HEADER_LONGEST: Final = 2_048
"""Octets of version 2 that are read: its addresses and whatever fields stand behind them, which are left out."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY: Final = b"\x21"
"""Version 2, command PROXY."""
_LOCAL: Final = b"\x20\0\0\0"
"""Version 2, command LOCAL, without addresses."""
_FAMILIES: Final = {4: b"\x11", 6: b"\x21"}
"""TCP over IPv4, TCP over IPv6."""

End = tuple[str, int]
"""An address without a zone, and a port."""

_VERSION_1: Final = re.compile(
    rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


class BadHeader(InvalidValue):
    """What stands at the beginning of a connection is no header of this protocol."""


class Header(NamedTuple):
    """One that was read."""

    size: int
    """In octets; what follows belongs to what is spoken."""
    source: End | None
    """The client; None: the connection speaks for whoever has made it, as with a balancer's own health check."""
    destination: End | None
    """Where the client has come to."""


def read(octets: bytes) -> Header | None:
    """The header at the beginning of ``octets``; None: all of them belong to it, and more are to come.

    Raises ``BadHeader``, as soon as it can be none any more.
    """
    if _SIGNATURE.startswith(octets[: len(_SIGNATURE)]):
        return _read_version_2(octets)
    if b"PROXY ".startswith(octets[:6]):
        return _read_version_1(octets)
    raise BadHeader("the connection does not begin with a PROXY header")


def _read_version_1(octets: bytes) -> Header | None:
    end = octets.find(b"\n", 0, LINE_LONGEST)
    if end < 0:
        if len(octets) >= LINE_LONGEST:
            raise BadHeader("the PROXY header is longer than 107 octets")
        return None
    line = octets[: end + 1]
    if _UNKNOWN.fullmatch(line):
        return Header(len(line), None, None)
    found = _VERSION_1.fullmatch(line)
    if found is None:
        raise BadHeader("the PROXY header is malformed")
    version = int(found[1][3:])
    return Header(
        len(line), _end(found[2].decode(), int(found[4]), version), _end(found[3].decode(), int(found[5]), version)
    )


def _end(address: str, port: int, version: int) -> End:
    try:
        read_as = ipaddress.ip_address(address)
    except ValueError:
        raise BadHeader("the PROXY header holds an address that is none") from None
    if read_as.version != version or port > 65_535:
        raise BadHeader("the PROXY header holds an address that is none")
    return _written(read_as), port


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """One of IPv4 that a balancer for both families shows as IPv6 is of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _read_version_2(octets: bytes) -> Header | None:
    if len(octets) < 16:
        return None
    command, family = octets[12], octets[13]
    size = 16 + int.from_bytes(octets[14:16], "big")
    if command not in (_LOCAL[0], _PROXY[0]):
        raise BadHeader("the PROXY header is of no known version or command")
    if size > HEADER_LONGEST:
        raise BadHeader(f"the PROXY header is longer than {HEADER_LONGEST} octets")
    if len(octets) < size:
        return None
    if command == _LOCAL[0]:
        return Header(size, None, None)
    width = {_FAMILIES[4][0]: 4, _FAMILIES[6][0]: 16}.get(family)
    if width is None:
        # A socket without addresses, or a transport that no mail comes by.
        return Header(size, None, None)
    if size < 16 + 2 * width + 4:
        raise BadHeader("the PROXY header is shorter than its addresses")
    addresses = octets[16 : 16 + 2 * width + 4]
    source, destination = (ipaddress.ip_address(addresses[at : at + width]) for at in (0, width))
    ports = addresses[2 * width :]
    return Header(
        size,
        (_written(source), int.from_bytes(ports[:2], "big")),
        (_written(destination), int.from_bytes(ports[2:], "big")),
    )


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
