"""NTLM's last message: whom it names, and that nobody is named who might be read in another way."""

import struct

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import identity_rules
from gateway.protocols import ntlm
from tests.support.ntlm_messages import ANONYMOUS, OEM, UNICODE, challenge, first, last

RULES = identity_rules("corp.example", {"CORP": "corp.example"})


def login(message: bytes, *, unicode: bool = True) -> str:
    return ntlm.login_of(ntlm.claimed(message, unicode=unicode), RULES)


@pytest.mark.parametrize(
    ("user", "domain"),
    [
        ("anna", "CORP"),
        ("ANNA", "corp"),
        ("anna", ""),
        ("anna@corp.example", ""),
        ("anna@CORP", ""),
        ("anna@corp.example", "CORP"),
        ("Anna", "corp.example"),
    ],
)
@pytest.mark.parametrize("flags", [UNICODE, OEM, UNICODE | OEM])
def test_every_spelling_is_one_person(user: str, domain: str, flags: int) -> None:
    assert login(last(user, domain, flags), unicode=bool(flags & UNICODE)) == "anna@corp.example"


def test_another_domain_is_another_person() -> None:
    assert login(last("anna", "ELSEWHERE")) == "anna@elsewhere"


def test_a_name_beyond_ascii() -> None:
    assert login(last("GRÜN", "CORP")) == "grün@corp.example"


@pytest.mark.parametrize(
    "message",
    [
        last(""),
        last("", "CORP"),
        last("anna", flags=UNICODE | ANONYMOUS),
        last("anna", response=b""),
        last("anna", response=b"\0"),
    ],
    ids=["no name", "a domain alone", "the flag", "no response", "an empty response"],
)
def test_nobody_logs_in_as_nobody(message: bytes) -> None:
    with pytest.raises(InvalidValue):
        login(message)


@pytest.mark.parametrize(
    ("user", "domain"),
    [
        ("anna@corp.example", "ELSEWHERE"),
        ("CORP\\anna", ""),
        ("anna", "CORP\\x"),
        ("anna", "a@b"),
        ("anna\0", "CORP"),
        (" anna", "CORP"),
        ("anna ", ""),
        ("anna\n", ""),
        ("an@na@corp.example", ""),
        ("\ud800".encode("utf-16-le", "surrogatepass").decode("latin-1"), ""),
        ("a" * 600, ""),
    ],
)
def test_what_servers_could_read_in_two_ways_is_nobody(user: str, domain: str) -> None:
    with pytest.raises(InvalidValue):
        login(last(user, domain))


def test_octets_that_are_no_unicode() -> None:
    with pytest.raises(InvalidValue):
        login(last("\x00\xd8", coding="latin-1"))
    with pytest.raises(InvalidValue):
        login(last("abc", coding="latin-1"))


@pytest.mark.parametrize("name", ["grün", "a\0n\0n\0a\0", "", " x"])
def test_without_unicode_names_are_ascii(name: str) -> None:
    with pytest.raises(InvalidValue):
        login(last(name, flags=OEM), unicode=False)


@pytest.mark.parametrize(("flags", "agreed"), [(OEM, True), (UNICODE, False), (0, True)])
def test_other_letters_than_were_agreed_on(flags: int, agreed: bool) -> None:
    """Or the server would read another name from the same octets."""
    with pytest.raises(InvalidValue):
        login(last("anna", flags=flags), unicode=agreed)


@pytest.mark.parametrize("at", [20, 28, 36])
@pytest.mark.parametrize(("length", "offset"), [(8, 63), (8, 0), (8, 1 << 31), (0xFFFF, 64), (2, 0xFFFFFFFF)])
def test_a_field_that_leads_elsewhere(at: int, length: int, offset: int) -> None:
    message = bytearray(last("anna", "CORP"))
    message[at : at + 8] = struct.pack("<HHI", length, length, offset)
    with pytest.raises(InvalidValue):
        login(bytes(message))


def test_which_message_it_is() -> None:
    assert [ntlm.kind_of(each) for each in (first(), challenge(), last("anna"))] == [1, 2, 3]
    for message in (first()[:15], challenge()[:31], last("anna")[:63], b"", b"NTLMSSP\0" + bytes(60), b"ntlmssp" * 9):
        assert ntlm.kind_of(message) is None
    assert ntlm.agreed_on_unicode(challenge())
    assert not ntlm.agreed_on_unicode(challenge(OEM))
