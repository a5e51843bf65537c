"""Dovecot's policy questions as it sends them, what is refused of them, and the answers."""

import json

import pytest

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.protocols.authz import dovecot
from gateway.protocols.authz.original import Misconfigured
from tests.protocols.authz.verdicts import ALLOW, DEFER, DENY

RULES = IdentityRules("corp.example")
QUESTION = {
    "cert": "",
    "device_id": '"name" "iOS Mail"',
    "login": "Anna",
    "protocol": "imap",
    "pwhash": "002e",
    "remote": "192.0.2.7",
    "session_id": "EJNM",
    "user": "anna",
    "tls": True,
}


def asked(**changed: object) -> dovecot.PolicyQuestion:
    return dovecot.question(json.dumps({**QUESTION, **changed}).encode(), RULES)


def test_who_is_asked_about() -> None:
    request = asked().request
    assert (request.login, request.device_id, request.protocol) == ("anna@corp.example", "", Protocol.IMAP)
    assert (request.strength, request.client_address) == (IdentityStrength.USER_WIDE, "192.0.2.7")


def test_the_user_that_was_logged_in_counts() -> None:
    assert asked(login="alias", user="bert").request.login == "bert@corp.example"
    assert asked(login="alias", user="").request.login == "alias@corp.example"


CREDENTIAL = "k3vq7mzd-abcdefghijklmnopqrstuvwxyz"


def test_a_credential_that_dovecot_has_cut_off() -> None:
    """It belongs to whom Dovecot has logged in, whatever name stood before it."""
    for login in (f"anna%{CREDENTIAL}", f"alias@corp.example%{CREDENTIAL}"):
        found = asked(login=login, user="anna@corp.example")
        assert (found.request.login, found.user) == ("anna@corp.example", "anna@corp.example")
        assert found.request.strength is IdentityStrength.DEVICE_CREDENTIAL
        assert found.request.credential is not None
        assert found.request.credential.id == "k3vq7mzd"


def test_a_credential_that_dovecot_has_left_is_in_no_name() -> None:
    found = asked(login=f"anna%{CREDENTIAL}", user=f"anna%{CREDENTIAL}")
    assert (found.request.login, found.user) == ("anna@corp.example", "")
    assert found.request.strength is IdentityStrength.DEVICE_CREDENTIAL


@pytest.mark.parametrize(
    ("protocol", "judged"),
    [
        ("imap", Protocol.IMAP),
        ("pop3", Protocol.POP3),
        ("submission", Protocol.SMTP),
        ("smtp", Protocol.SMTP),
        ("sieve", Protocol.IMAP),
        ("", Protocol.IMAP),
    ],
)
def test_protocols(protocol: str, judged: Protocol) -> None:
    assert asked(protocol=protocol).request.protocol is judged


def test_a_report() -> None:
    assert (asked(success=True).success, asked(success=False).success, asked().success) == (True, False, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"anna"',
        b"{",
        b'{"user":"anna","user":"bert"}',
        b'{"user":NaN}',
        b'{"user":["anna"]}',
        b'{"user":"a@b@c"}',
        b'{"user":"","login":""}',
        b'{"user":"anna\\u0000"}',
        b'{"user":"\xff"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"user":"anna","x":' + b"9" * 5000 + b"}",
        json.dumps({**QUESTION, "device_id": "x" * dovecot.BODY_LONGEST}).encode(),
    ],
)
def test_what_is_no_question(body: bytes) -> None:
    with pytest.raises(InvalidValue) as caught:
        dovecot.question(body, RULES)
    assert not isinstance(caught.value, Misconfigured)


@pytest.mark.parametrize("said", [{"cert": "UNSUPPORTED_VARIABLE_cert_name"}, {"login": None, "user": None}])
def test_a_mistake_in_its_settings_is_named(said: dict[str, object]) -> None:
    body = {name: value for name, value in {**QUESTION, **said}.items() if value is not None}
    with pytest.raises(Misconfigured, match="auth_policy_request_attributes"):
        dovecot.question(json.dumps(body).encode(), RULES)


def test_the_answer_to_each_verdict() -> None:
    assert json.loads(dovecot.answer(ALLOW, proved=True)) == {"status": 0, "msg": ""}
    deferred = json.loads(dovecot.answer(DEFER, proved=True))
    assert (deferred["status"], deferred["msg"]) == (
        -1,
        "The mail gateway cannot answer now. Mail will come back by itself.",
    )
    refused = json.loads(dovecot.answer(DENY, proved=True))
    assert refused["status"] == -1
    assert "TikTok" in refused["msg"]
    assert "\n" not in refused["msg"]


def test_nothing_of_the_device_before_the_password_is_proved() -> None:
    refused = json.loads(dovecot.answer(DENY, proved=False))
    assert refused["status"] == -1
    assert "TikTok" not in refused["msg"]
    assert "musically" not in refused["msg"]
    assert "1234" not in refused["msg"]
