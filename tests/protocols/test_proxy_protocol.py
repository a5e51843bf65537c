"""The PROXY protocol's header, octet by octet as its description has it: written, and read."""

import ipaddress

import pytest

from gateway.protocols.proxy_protocol import (
    HEADER_LONGEST,
    LINE_LONGEST,
    BadHeader,
    Header,
    read,
    version_1,
    version_2,
)

FOUR = ("192.0.2.7", 4711), ("198.51.100.1", 993)
SIX = ("2001:db8::7", 4711), ("2001:db8::1", 993)
SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")


def test_version_1() -> None:
    assert version_1(*FOUR) == b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 993\r\n"
    assert version_1(*SIX) == b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 993\r\n"


def test_version_2() -> None:
    assert version_2(*FOUR) == SIGNATURE + bytes.fromhex("21 11 000c c0000207 c6336401 1267 03e1")
    addresses = b"".join(ipaddress.ip_address(end[0]).packed for end in SIX)
    assert version_2(*SIX) == SIGNATURE + bytes.fromhex("21 21 0024") + addresses + bytes.fromhex("1267 03e1")


@pytest.mark.parametrize("ends", [(FOUR[0], SIX[1]), (("", 0), ("", 0)), (("/run/socket", 0), FOUR[1])])
def test_what_cannot_be_told_is_said_to_be_unknown(ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    assert version_1(*ends) == b"PROXY UNKNOWN\r\n"
    assert version_2(*ends) == SIGNATURE + bytes.fromhex("20 00 0000")


WRITTEN = {
    "version 1, IPv4": version_1(*FOUR),
    "version 1, IPv6": version_1(*SIX),
    "version 2, IPv4": version_2(*FOUR),
    "version 2, IPv6": version_2(*SIX),
    "with further fields": version_2(*FOUR)[:14] + b"\0\x13" + version_2(*FOUR)[16:] + b"\x02\0\4mail",
}
NOBODY = {
    "UNKNOWN": b"PROXY UNKNOWN\r\n",
    "UNKNOWN with words": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "LOCAL": SIGNATURE + bytes.fromhex("20 00 0000"),
    "LOCAL with addresses": SIGNATURE + bytes.fromhex("20 11 000c") + bytes(12),
    "a unix socket": SIGNATURE + bytes.fromhex("21 31 00d8") + bytes(216),
    "no family": SIGNATURE + bytes.fromhex("21 00 0000"),
}
MALFORMED = {
    "a greeting": b"EHLO phone.example\r\n",
    "a ClientHello": bytes.fromhex("16030100"),
    "in lower case": b"proxy TCP4 192.0.2.7 198.51.100.1 4711 993\r\n",
    "LF alone": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 993\n",
    "two blanks": b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 993\r\n",
    "a word more": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 993 1\r\n",
    "another family's address": b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 993\r\n",
    "leading zeros": b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 993\r\n",
    "a port with zeros": b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 993\r\n",
    "a port too high": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 993\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.1 4711 993\r\n",
    "UDP by words": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 993\r\n",
    "without an end": b"PROXY UNKNOWN " + b"x" * LINE_LONGEST,
    "another version": SIGNATURE + bytes.fromhex("31 11 000c") + bytes(12),
    "another command": SIGNATURE + bytes.fromhex("22 11 000c") + bytes(12),
    "shorter than its addresses": SIGNATURE + bytes.fromhex("21 11 000b") + bytes(11),
    "too long": SIGNATURE + bytes.fromhex("21 11 ffff"),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_what_is_written_is_read_however_it_is_split(form: str) -> None:
    octets = WRITTEN[form]
    ends = SIX if "IPv6" in form else FOUR
    assert read(octets) == read(octets + b"a LOGIN anna secret\r\n") == Header(len(octets), *ends)
    assert {read(octets[:size]) for size in range(1, len(octets))} == {None}


@pytest.mark.parametrize("form", NOBODY)
def test_a_connection_may_speak_for_itself(form: str) -> None:
    assert read(NOBODY[form] + b"more") == Header(len(NOBODY[form]), None, None)


@pytest.mark.parametrize("form", MALFORMED)
def test_anything_else_is_no_header(form: str) -> None:
    with pytest.raises(BadHeader):
        read(MALFORMED[form])


def test_ipv4_shown_as_ipv6_is_ipv4() -> None:
    header = read(b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 4711 993\r\n")
    assert header is not None
    assert (header.source, header.destination) == FOUR


def test_the_longest_that_is_read() -> None:
    size = HEADER_LONGEST - 16
    octets = SIGNATURE + b"\x21\x11" + size.to_bytes(2, "big") + version_2(*FOUR)[16:] + bytes(size - 12)
    assert read(octets) == Header(HEADER_LONGEST, *FOUR)
    with pytest.raises(BadHeader):
        read(octets[:14] + (size + 1).to_bytes(2, "big") + octets[16:] + b"\0")
