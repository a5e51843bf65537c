"""Client addresses: read from text, and as limits count them.

One host has a whole /64 of IPv6 to choose addresses from (RFC 6177 §2), so such a network counts as one address.
"""

import ipaddress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str) -> Address | None:
    """An address; one of IPv4 that a listener for both families shows as IPv6 is of IPv4. None: it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def written(text: str) -> str:
    """An end of a connection as it is told to others: without a zone, and IPv4 as IPv4; what is no address as it is."""
    text = text.partition("%")[0]
    address = read_address(text)
    return text if address is None else str(address)


def counted_as(text: str) -> str:
    """What limits count a client's address as: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in text:
        return text
    address = read_address(text)
    if not isinstance(address, ipaddress.IPv6Address):
        return text if address is None else str(address)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
