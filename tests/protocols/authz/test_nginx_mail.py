"""nginx's mail proxy: logins as it encodes them, and the words of each protocol."""

import pytest

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
from gateway.protocols.answer import Answer
from gateway.protocols.authz import nginx_mail
from gateway.protocols.authz.original import Misconfigured
from tests.protocols.authz.verdicts import DEFER, DENY

RULES = IdentityRules("corp.example")
LOGIN = {b"auth-method": b"plain", b"auth-user": b"anna", b"auth-protocol": b"imap", b"client-ip": b"192.0.2.7"}


def header(answer: Answer, name: str) -> str:
    return dict(answer.headers).get(name, "")


def test_who_is_asked_about() -> None:
    request = nginx_mail.asked(LOGIN, RULES).request
    assert (request.login, request.device_id, request.protocol) == ("anna@corp.example", "", Protocol.IMAP)
    assert (request.strength, request.client_address) == (IdentityStrength.USER_WIDE, "192.0.2.7")


@pytest.mark.parametrize(
    ("sent", "login"),
    [
        (b"o%20k%25x+y@corp.example", "o k%x+y@corp.example"),
        (b"CORP%5Canna", "anna@corp"),
        ("jürgen@corp.example".encode(), "jürgen@corp.example"),
        (b"a+b", "a+b@corp.example"),
    ],
)
def test_names_are_unquoted_and_a_plus_stays(sent: bytes, login: str) -> None:
    assert nginx_mail.asked({**LOGIN, b"auth-user": sent}, RULES).request.login == login


@pytest.mark.parametrize("sent", [b"", b"%00anna", b"anna%0d%0aX", b"%ff", b"a@b@c", b"%20anna", b"x" * 600])
def test_a_name_that_is_none(sent: bytes) -> None:
    with pytest.raises(InvalidValue) as caught:
        nginx_mail.asked({**LOGIN, b"auth-user": sent}, RULES)
    assert not isinstance(caught.value, Misconfigured)


@pytest.mark.parametrize(
    "changed",
    [
        {b"auth-protocol": b"http"},
        {b"auth-protocol": b""},
        {b"auth-method": b"cram-md5"},
        {b"auth-method": b"apop"},
        {b"auth-method": b"external"},
        {b"auth-method": b"none"},
    ],
)
def test_what_nginx_must_not_be_told_to_ask(changed: dict[bytes, bytes]) -> None:
    """With a mechanism that hides the password we would be the check of it."""
    with pytest.raises(Misconfigured):
        nginx_mail.asked({**LOGIN, **changed}, RULES)


def test_where_nginx_goes_on() -> None:
    answer = nginx_mail.allowed("192.0.2.1", 143, nginx_mail.asked(LOGIN, RULES))
    assert answer.status == 200
    assert header(answer, "Auth-Status") == "OK"
    assert (header(answer, "Auth-Server"), header(answer, "Auth-Port")) == ("192.0.2.1", "143")


def test_a_device_credential_stays_here() -> None:
    """The mail server is asked by the user's own name, in the very octets, however they are to be read."""
    user = "jürgen%25abcdefgh-abcdefghijklmnopqrstuvwxyz@corp.example".encode()
    identified = nginx_mail.asked({**LOGIN, b"auth-user": user}, RULES)
    assert identified.request.login == "jürgen@corp.example"
    assert identified.request.strength is IdentityStrength.DEVICE_CREDENTIAL
    told = header(nginx_mail.allowed("192.0.2.1", 143, identified), "Auth-User")
    assert told.encode("latin-1") == "jürgen@corp.example".encode()
    assert header(nginx_mail.allowed("192.0.2.1", 143, nginx_mail.asked(LOGIN, RULES)), "Auth-User") == ""


def test_a_wrong_device_credential_is_a_wrong_login() -> None:
    wrong = Verdict(Effect.DENY, Reason.CREDENTIAL_INVALID, Posture.UNKNOWN, 7)
    for protocol in (Protocol.IMAP, Protocol.POP3, Protocol.SMTP):
        assert nginx_mail.refused(protocol, wrong) == nginx_mail.wrong_login(protocol)


@pytest.mark.parametrize(
    ("protocol", "denied", "deferred", "wrong"),
    [
        (Protocol.IMAP, "[CONTACTADMIN] ", "[UNAVAILABLE] ", "[AUTHENTICATIONFAILED] "),
        (Protocol.POP3, "[SYS/PERM] ", "[SYS/TEMP] ", "[AUTH] "),
    ],
)
def test_words_of_imap_and_pop3(protocol: Protocol, denied: str, deferred: str, wrong: str) -> None:
    refused = nginx_mail.refused(protocol, DENY)
    assert header(refused, "Auth-Status") == denied + (
        "Mail on this device is blocked by your organization. Ask your help desk."
    )
    assert header(nginx_mail.refused(protocol, DEFER), "Auth-Status").startswith(deferred)
    assert header(nginx_mail.wrong_login(protocol), "Auth-Status").startswith(wrong)
    assert header(refused, "Auth-Server") == ""


def test_words_of_smtp() -> None:
    codes = [
        header(answer, "Auth-Error-Code")
        for answer in (
            nginx_mail.refused(Protocol.SMTP, DENY),
            nginx_mail.refused(Protocol.SMTP, DEFER),
            nginx_mail.wrong_login(Protocol.SMTP),
        )
    ]
    assert codes == ["550 5.7.1", "451 4.7.1", "535 5.7.8"]


@pytest.mark.parametrize("protocol", [Protocol.IMAP, Protocol.POP3, Protocol.SMTP])
def test_nothing_of_the_device_is_told(protocol: Protocol) -> None:
    assert "TikTok" not in str(nginx_mail.refused(protocol, DENY))
    assert "1234" not in str(nginx_mail.refused(protocol, DENY))
