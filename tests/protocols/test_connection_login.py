"""NTLM and Negotiate in headers: what a client's message does, what a server's challenge says."""

import base64

import pytest

from gateway.domain.errors import InvalidValue
from gateway.protocols import spnego
from gateway.protocols.connection_login import (
    Challenge,
    Step,
    answered,
    challenges,
    is_one,
    read_leg,
    unicode_agreed,
)
from tests.support.ntlm_messages import (
    KERBEROS_OID,
    NTLM_OID,
    OEM,
    begun,
    challenge,
    der,
    first,
    goes_on,
    last,
    shown,
)

KERBEROS = der(0x60, der(6, bytes.fromhex(KERBEROS_OID)), b"\x01\x00") + b""
TICKET = begun(KERBEROS, KERBEROS_OID, NTLM_OID)


@pytest.mark.parametrize(
    ("value", "step", "message"),
    [
        (shown("NTLM", first()), Step.ASKS, first()),
        (shown("ntlm", last("anna")), Step.NAMES, last("anna")),
        (shown("Negotiate", first()), Step.ASKS, first()),
        (shown("NEGOTIATE", last("anna")), Step.NAMES, last("anna")),
        (shown("Negotiate", begun(first())), Step.ASKS, first()),
        (shown("Negotiate", goes_on(last("anna"))), Step.NAMES, last("anna")),
        (shown("Negotiate", TICKET), Step.BEGINS_HIDDEN, b""),
        (shown("Negotiate", KERBEROS), Step.BEGINS_HIDDEN, b""),
        (shown("Negotiate", begun(first(), KERBEROS_OID, NTLM_OID)), Step.BEGINS_HIDDEN, b""),
        (shown("Negotiate", begun(b"", NTLM_OID)), Step.BEGINS_HIDDEN, b""),
        (shown("Negotiate", goes_on(b"ticket")), Step.GOES_ON_HIDDEN, b""),
    ],
)
def test_what_a_message_does(value: str, step: Step, message: bytes) -> None:
    leg = read_leg(value.encode())
    assert (leg.step, leg.message) == (step, message)
    scheme, _, token = value.partition(" ")
    assert leg.value == f"{'NTLM' if scheme.upper() == 'NTLM' else 'Negotiate'} {token}".encode()
    assert token not in repr(leg)


BAD_TOKENS = {
    "behind the end": begun(first()) + b"\0",
    "a length of more octets than needed": b"\x60\x82\x00" + begun(first())[1:],
    "no end": b"\x60\x80" + begun(first())[2:] + b"\0\0",
    "cut": begun(first())[:-1],
    "a part twice": der(0xA1, der(0x30, *[der(0xA2, der(4, last("anna")))] * 2)),
    "in disorder": der(0xA1, der(0x30, der(0xA2, der(4, last("anna"))), der(0xA0, der(10, b"\x01")))),
    "an unknown part": der(0xA1, der(0x30, der(0xA2, der(4, last("anna"))), der(0xA4, der(4, last("bert"))))),
    "two octet strings": der(0xA1, der(0x30, der(0xA2, der(4, last("anna")), der(4, last("bert"))))),
    "a string in pieces": der(0xA1, der(0x30, der(0xA2, der(0x24, der(4, last("anna")))))),
    "a long tag": b"\x7f\x01\x00",
    "no mechanisms": der(0x60, der(6, bytes.fromhex("2b0601050502")), der(0xA0, der(0x30, der(0xA0, der(0x30))))),
    "the end first": begun(last("anna")),
    "a challenge": goes_on(challenge()),
    "something else": b"\x30\x00",
    "an unknown state": goes_on(last("anna"), 4),
    "a mechanism that does not end": goes_on(last("anna"), mechanism="2b86"),
    "a mechanism in too many octets": goes_on(last("anna"), mechanism="2b8001"),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_what_could_be_read_in_two_ways_is_no_message(token: bytes) -> None:
    with pytest.raises(InvalidValue):
        read_leg(shown("Negotiate", token).encode())


@pytest.mark.parametrize(
    "value",
    [
        *("NTLM", "NTLM ", "Negotiate", "NTLM !", "NTLM AAAA", "NTLM TlRMTVNTUAABAAAA", "Negotiate YII=", "Basic YTpi"),
        *(shown("NTLM", challenge()), shown("NTLM", begun(first())), shown("NTLM", first()) + ", x", "NTLM TlRM=TVNT"),
    ],
)
def test_what_is_no_message(value: str) -> None:
    with pytest.raises(InvalidValue):
        read_leg(value.encode())


def test_a_token_is_bounded() -> None:
    huge = begun(bytes(spnego.TOKEN_LONGEST), KERBEROS_OID)
    with pytest.raises(InvalidValue):
        read_leg(shown("Negotiate", huge).encode())
    assert read_leg(shown("Negotiate", begun(bytes(20_000), KERBEROS_OID)).encode()).step is Step.BEGINS_HIDDEN


def test_of_which_scheme_it_is() -> None:
    assert all(map(is_one, (b"NTLM", b"ntlm x", b"Negotiate YII=", b"NEGOTIATE !")))
    assert not any(map(is_one, (b"Basic x", b"NTLMX x", b"Kerberos x", b"", b" NTLM x", b"Bearer NTLM")))


def test_challenges_among_others() -> None:
    values = [b'Basic realm="a, NTLM b", Negotiate', b"nTlM", b"NTLM " + base64.b64encode(challenge()), b"NTLM !!"]
    found = challenges(values)
    assert [(each.scheme, each.token) for each in found] == [
        (b"Negotiate", b""),
        (b"NTLM", b""),
        (b"NTLM", challenge()),
    ]
    said = answered(b"NTLM", found)
    assert said is not None
    assert said.value == values[2]
    assert answered(b"Negotiate", found) is None
    assert answered(b"NTLM", [*found, Challenge(b"Negotiate", b"x")]) is None


@pytest.mark.parametrize(
    ("said", "agreed"),
    [
        (Challenge(b"NTLM", challenge()), True),
        (Challenge(b"NTLM", challenge(OEM)), False),
        (Challenge(b"Negotiate", goes_on(challenge(), mechanism=NTLM_OID)), True),
        (Challenge(b"Negotiate", goes_on(challenge(OEM))), False),
        (Challenge(b"Negotiate", challenge()), True),
        (Challenge(b"Negotiate", goes_on(challenge(), mechanism=KERBEROS_OID)), None),
        (Challenge(b"NTLM", first()), None),
        (Challenge(b"NTLM", goes_on(challenge())), None),
        (Challenge(b"Negotiate", b"\x00"), None),
    ],
)
def test_what_a_challenge_agrees_on(said: Challenge, agreed: bool | None) -> None:
    assert unicode_agreed(said) is agreed
