"""The PROXY protocol's header: where it ends at any beginning of a connection, and what a second reader finds in it.

As long as more is wanted nothing is decided, and what is decided once stands whatever follows. The second reader takes
version 1 apart by blanks and version 2 by ``struct``. What was read is written anew and read once more.
"""

import ipaddress
import socket
import struct
from random import Random

from gateway.protocols.proxy_protocol import HEADER_LONGEST, LINE_LONGEST, BadHeader, End, read, version_1, version_2
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MORE, BAD = "more is wanted", "bad"
ADDRESS_LONGEST = 39
"""Octets of one in version 1; IPv4 written as IPv6 in full has more, and nobody writes it so."""

Found = str | tuple[int, End | None, End | None]


def ours(octets: bytes) -> Found:
    """By the gateway's reader."""
    try:
        header = read(octets)
    except BadHeader:
        return BAD
    return MORE if header is None else (header.size, header.source, header.destination)


def by_hand(octets: bytes) -> Found:
    """By the second one."""
    if octets[:12] == SIGNATURE[: len(octets)]:
        return MORE if len(octets) < 16 else _version_2(octets)
    if octets[:6] == b"PROXY "[: len(octets)]:
        return _version_1(octets)
    return BAD


def _version_1(octets: bytes) -> Found:
    at = octets.find(b"\n")
    if at < 0 or at >= LINE_LONGEST:
        return BAD if len(octets) >= LINE_LONGEST else MORE
    line = octets[:at]
    if not line.endswith(b"\r") or b"\r" in line[:-1]:
        return BAD
    words = line[:-1].split(b" ")
    if words[1] == b"UNKNOWN":
        return at + 1, None, None
    families = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
    if len(words) != 6 or words[1] not in families:
        return BAD
    try:
        family = families[words[1]]
        return at + 1, _end(family, words[2], words[4]), _end(family, words[3], words[5])
    except (OSError, ValueError):
        return BAD


def _end(family: int, address: bytes, port: bytes) -> End:
    packed = socket.inet_pton(family, address.decode("ascii"))
    if not port.isdigit() or str(int(port)).encode() != port or int(port) > 65_535:
        raise ValueError
    return _shown(packed), int(port)


def _shown(packed: bytes) -> str:
    if packed[:12] == bytes(10) + b"\xff\xff":
        packed = packed[12:]
    return str(ipaddress.ip_address(packed))


def _version_2(octets: bytes) -> Found:
    command, family, length = struct.unpack("!BBH", octets[12:16])
    if command not in (0x20, 0x21) or 16 + length > HEADER_LONGEST:
        return BAD
    if len(octets) < 16 + length:
        return MORE
    width = {0x11: 4, 0x21: 16}.get(family, 0)
    if command == 0x20 or not width:
        return 16 + length, None, None
    if length < 2 * width + 4:
        return BAD
    source, destination, one, other = struct.unpack_from(f"!{width}s{width}sHH", octets, 16)
    return 16 + length, (_shown(source), one), (_shown(destination), other)


def check(octets: bytes) -> str:
    """See the module."""
    found = ours(octets)
    if found == BAD and by_hand(octets) != BAD:
        hold("only an address that is long is none to us", max(map(len, octets.split(b" "))) > ADDRESS_LONGEST)
        return "stricter: long address"
    same("what it says", by_hand(octets), found)
    decided = next((at for at in range(len(octets) + 1) if ours(octets[:at]) != MORE), None)
    for at in range(decided if decided is not None else len(octets) + 1, len(octets) + 1):
        same(f"decided by {at} octets", found, ours(octets[:at]))
    if isinstance(found, str):
        return REFUSED
    same("nothing behind it is needed", found[0], decided)
    _written_again(found)
    return ACCEPTED


def _written_again(found: tuple[int, End | None, End | None]) -> None:
    _, source, destination = found
    if source is None or destination is None:
        same("nobody is nobody", source, destination)
        return
    if (":" in source[0]) is not (":" in destination[0]):
        return
    for write in (version_1, version_2):
        octets = write(source, destination)
        same(f"by {write.__name__}", (len(octets), source, destination), ours(octets + b"x"))


_ADDRESSES = (
    b"192.0.2.7",
    b"198.51.100.1",
    b"2001:db8::7",
    b"::ffff:192.0.2.7",
    b"::",
    b"01.2.3.4",
    b"1.2.3",
    b"x",
    b"",
)
_PORTS = (b"0", b"25", b"65535", b"65536", b"025", b"+1", b"", b"1_0")


def grow(random: Random) -> bytes:
    """One header of either version, mostly right, with what may follow it."""
    behind = random.choice((b"", b"EHLO x\r\n", b"\x16\x03\x01", b"PROXY UNKNOWN\r\n"))
    if random.random() < 0.5:
        return _grown_line(random) + behind
    family = random.choice((0x11, 0x11, 0x21, 0x21, 0x12, 0x00, 0x31))
    width = {0x11: 4, 0x21: 16}.get(family, random.choice((0, 4, 108)))
    body = random.randbytes(2 * width + 4)
    if width == 16 and random.random() < 0.3:
        body = bytes(10) + b"\xff\xff" + body[12:]
    body += random.choice((b"", b"", b"\x04\0\x01\0", b"\x20\0\x05abcde"))
    length = len(body) + random.choice((0, 0, 0, 0, -1, -5, 1, 3000))
    command = random.choice((0x21, 0x21, 0x21, 0x20, 0x22, 0x11))
    return SIGNATURE + struct.pack("!BBH", command, family, max(0, length)) + body + behind


def _grown_line(random: Random) -> bytes:
    if random.random() < 0.15:
        return b"PROXY UNKNOWN" + random.choice((b"", b" ", b" a b c d", b"x")) + b"\r\n"
    family = random.choice((b"TCP4", b"TCP4", b"TCP6", b"UDP4"))
    right = _ADDRESSES[2:5] if family == b"TCP6" else _ADDRESSES[:2]
    ends = [random.choice(right if random.random() < 0.85 else _ADDRESSES) for _ in range(2)]
    ports = [random.choice(_PORTS[:3] if random.random() < 0.85 else _PORTS) for _ in range(2)]
    return b" ".join((b"PROXY", family, *ends, *ports)) + random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))


TARGET = Target(
    "balancers",
    "headers of the PROXY protocol at every beginning, by a second reader",
    check,
    grow,
    (
        b"PROXY ",
        b"TCP4",
        b"TCP6",
        b"UNKNOWN",
        b"\r\n",
        b" ",
        SIGNATURE,
        b"\x21\x11\0\x0c",
        b"\x20\0\0\0",
        b"::ffff:",
        b"::",
    ),
    512,
)
