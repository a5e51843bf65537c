"""The PROXY protocol's header, octet by octet as its description has it."""

import ipaddress

import pytest

from gateway.protocols.proxy_protocol import version_1, version_2

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
