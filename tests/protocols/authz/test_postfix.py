"""Postfix policy delegation: requests at every split, bounds, and the action of each verdict."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.protocols.authz import postfix
from gateway.protocols.authz.postfix import PolicyReader
from gateway.protocols.lines import Unframeable
from tests.protocols.authz.verdicts import ALLOW, DEFER, DENY

RULES = IdentityRules("corp.example")
# As Postfix 3.7 writes it at RCPT, shortened.
REQUEST = b"""request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=192.0.2.7
client_name=phone.example
helo_name=phone
sender=anna@corp.example
recipient=bert@corp.example
sasl_method=PLAIN
sasl_username=Anna
ccert_subject=
ccert_issuer=Test+20CA
size=0
policy_context=

"""


def read(octets: bytes) -> postfix.Attributes:
    reader = PolicyReader()
    reader.receive(octets)
    found = reader.next()
    assert found is not None
    return found


def test_who_is_asked_about() -> None:
    request = postfix.asked(read(REQUEST), RULES)
    assert request is not None
    assert (request.login, request.device_id, request.protocol) == ("anna@corp.example", "", Protocol.SMTP)
    assert (request.strength, request.action) == (IdentityStrength.USER_WIDE, "RCPT")
    assert request.client_address == "192.0.2.7"


def test_nobody_who_has_not_logged_in() -> None:
    assert postfix.asked(read(REQUEST.replace(b"sasl_username=Anna", b"sasl_username=")), RULES) is None
    assert postfix.asked(read(REQUEST.replace(b"sasl_username=Anna\n", b"")), RULES) is None


@pytest.mark.parametrize("user", [b"a@b@c", b" anna", b"\xff\xfe", b"x" * 300])
def test_a_login_that_is_none(user: bytes) -> None:
    with pytest.raises(InvalidValue):
        postfix.asked(read(REQUEST.replace(b"=Anna", b"=" + user)), RULES)


def test_two_requests_are_the_same_at_every_split() -> None:
    octets = REQUEST + REQUEST.replace(b"Anna", b"bert")
    for at in range(len(octets) + 1):
        reader, found = PolicyReader(), []
        for piece in (octets[:at], octets[at:]):
            reader.receive(piece)
            while (each := reader.next()) is not None:
                found.append(each[b"sasl_username"])
        assert found == [b"Anna", b"bert"]
        assert reader.waiting == 0


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\n\n", "line"),
        (REQUEST.replace(b"size=0", b"size"), "line"),
        (REQUEST.replace(b"size=0", b"SIZE=0"), "line"),
        (REQUEST.replace(b"size=0", b"size=0\r"), "line"),
        (REQUEST.replace(b"size=0", b"size=\0"), "line"),
        (REQUEST.replace(b"\n", b"\r\n") + b"\n\n", "line"),
        (REQUEST.replace(b"size=0", b"sasl_username=bert"), "repeated_attribute"),
        (REQUEST.replace(b"smtpd_access_policy", b"junk"), "no_policy_request"),
        (b"sasl_username=anna\n\n", "no_policy_request"),
        (b"".join(b"a%d=\n" % number for number in range(101)) + b"\n", "too_many_attributes"),
        (b"a=" + b"x" * postfix.REQUEST_LONGEST, "request_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\n\n", "line"),
    ],
)
def test_what_cannot_be_read_ends_the_connection(octets: bytes, reason: str) -> None:
    with pytest.raises(Unframeable) as caught:
        read(octets)
    assert caught.value.reason == reason


def test_the_action_of_each_verdict() -> None:
    assert postfix.action(ALLOW) == b"action=DUNNO\n\n"
    assert postfix.action(DEFER).startswith(b"action=451 4.7.1 The mail gateway cannot answer now.")
    assert postfix.action(DENY) == (
        b"action=550 5.7.1 Mail on this device is blocked by your organization because of this app: "
        b"TikTok (com.zhiliaoapp.musically). Remove it: ask +49 30 1234.\n\n"
    )


@given(st.text())
def test_a_text_of_an_administrator_never_makes_a_second_line(note: str) -> None:
    written = postfix.action(replace(DENY, note=note))
    assert written.count(b"\n") == 2
    assert written.endswith(b"\n\n")
    assert b"\r" not in written
    assert len(written) < 512
