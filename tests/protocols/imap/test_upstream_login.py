"""The dialogue with a mail server: every form of login, and servers that are not as they must be."""

import base64
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.protocols import sasl
from gateway.protocols.imap import upstream_login
from gateway.protocols.imap.capabilities import UNWATCHABLE
from gateway.protocols.imap.upstream_login import (
    BEFORE_LOGIN_MOST,
    LINE_LONGEST,
    REMEMBERED_LONGEST,
    REMEMBERED_MOST,
    UpstreamLogin,
    understood,
)
from gateway.protocols.login import Accepted, Challenged, Opened, Rejected, Send, ServerEvent, StartTls, Unusable
from gateway.protocols.sasl import Credentials, Mechanism

ANNA = Credentials(Mechanism.PLAIN, b"anna", b"secret")
TOKEN = Credentials(Mechanism.XOAUTH2, b"anna", b"t0k3n")
PLAIN = base64.b64encode(b"\0anna\0secret")
READY = b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=XOAUTH2] ready\r\n"


def talk(
    octets: bytes,
    cuts: Iterable[int] = (),
    credentials: Credentials = ANNA,
    client: tuple[tuple[bytes, bytes], ...] = (),
    known: frozenset[bytes] | None = None,
) -> tuple[bytes, list[ServerEvent]]:
    """What the server is sent, and what else happens; the login follows as soon as it can."""
    upstream, sent, found = UpstreamLogin(known=known), b"", list[ServerEvent]()
    for start, end in pairwise([0, *cuts, len(octets)]):
        upstream.receive(octets[start:end])
        while (event := upstream.next()) is not None:
            if isinstance(event, Opened):
                event = upstream.login(b"t1", credentials, client)
            if isinstance(event, Send):
                sent += event.octets
            else:
                found.append(event)
            if isinstance(event, Challenged):
                sent += event.octets
    return sent, found


@pytest.mark.parametrize(
    ("capabilities", "credentials", "more", "sent"),
    [
        (b"SASL-IR AUTH=PLAIN", ANNA, b"", b"t1 AUTHENTICATE PLAIN " + PLAIN + b"\r\n"),
        (b"AUTH=PLAIN", ANNA, b"+ \r\n", b"t1 AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\n"),
        (b"AUTH=PLAIN LOGINDISABLED", ANNA, b"+\r\n", b"t1 AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\n"),
        (b"X", ANNA, b"+ OK\r\n+ OK\r\n", b"t1 LOGIN {4}\r\nanna {6}\r\nsecret\r\n"),
        (b"LITERAL+", ANNA, b"", b"t1 LOGIN {4+}\r\nanna {6+}\r\nsecret\r\n"),
        (
            b"SASL-IR auth=xoauth2",
            TOKEN,
            b"",
            b"t1 AUTHENTICATE XOAUTH2 " + base64.b64encode(b"user=anna\x01auth=Bearer t0k3n\x01\x01") + b"\r\n",
        ),
        (
            b"SASL-IR AUTH=PLAIN",
            Credentials(Mechanism.LOGIN, b"anna", b"secret"),
            b"",
            b"t1 AUTHENTICATE PLAIN " + PLAIN + b"\r\n",
        ),
    ],
)
def test_every_form_of_login_at_every_split(
    capabilities: bytes, credentials: Credentials, more: bytes, sent: bytes
) -> None:
    octets = b"* OK [CAPABILITY IMAP4rev1 %b] x\r\n%bt1 OK in\r\n* 5 EX" % (capabilities, more)
    for cut in range(len(octets)):
        got, found = talk(octets, [cut], credentials)
        assert got == sent
        assert isinstance(found[0], Accepted)
        assert found[0].answer == b"t1 OK in\r\n"
    assert talk(octets, [], credentials)[1] == [Accepted(b"t1 OK in\r\n", b"* 5 EX")]


def test_a_long_token_goes_by_itself() -> None:
    token = Credentials(Mechanism.XOAUTH2, b"anna", b"t" * 7000)
    sent, _ = talk(READY + b"+ \r\n", (), token)
    assert sent == b"t1 AUTHENTICATE XOAUTH2\r\n" + sasl.initial_response(token) + b"\r\n"


def test_capabilities_from_greeting_memory_or_question() -> None:
    known = frozenset((b"AUTH=PLAIN", b"SASL-IR"))
    login = b"t1 AUTHENTICATE PLAIN " + PLAIN + b"\r\n"
    assert talk(b"* OK ready\r\n", known=known)[0] == login
    assert talk(b"* OK ready\r\n")[0] == b"g CAPABILITY\r\n"
    asked = b"* OK ready\r\n* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\ng OK done\r\n"
    assert talk(asked)[0] == b"g CAPABILITY\r\n" + login
    assert talk(b"* OK ready\r\ng OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] done\r\n")[0].endswith(login)
    assert talk(b"* OK ready\r\ng OK done\r\n")[1] == [Unusable("no_capabilities")]
    assert talk(b"* OK ready\r\ng BAD what\r\n")[1] == [Unusable("no_capabilities")]


def test_starttls() -> None:
    upstream = UpstreamLogin(starttls=True)
    upstream.receive(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n")
    assert upstream.next() == Send(b"g STARTTLS\r\n")
    assert upstream.next() is None
    upstream.receive(b"g OK begin\r\n")
    assert upstream.next() == StartTls()
    assert upstream.next() is None
    upstream.secured()
    assert upstream.next() == Send(b"g CAPABILITY\r\n")
    upstream.receive(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\ng OK done\r\n")
    assert upstream.next() == Opened(frozenset((b"IMAP4REV1", b"AUTH=XOAUTH2")))
    assert upstream.login(b"t1", ANNA) == Send(b"t1 LOGIN {4}\r\n")
    again = UpstreamLogin(starttls=True, known=frozenset((b"AUTH=PLAIN",)))
    again.receive(b"* OK x\r\ng OK begin\r\n")
    assert again.next() == Send(b"g STARTTLS\r\n")
    assert again.next() == StartTls()
    again.secured()
    assert again.next() == Opened(frozenset((b"AUTH=PLAIN",)))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"g OK begin\r\n* CAPABILITY X\r\n", "octets_behind_starttls"),
        (b"g OK begin\r\n\n", "octets_behind_starttls"),
        (b"g NO not now\r\n", "starttls_refused"),
        (b"g BAD what\r\n", "starttls_refused"),
        (b"x OK begin\r\n", "starttls_refused"),
        (b"* BYE gone\r\n", "bye"),
    ],
)
def test_starttls_or_nothing(answer: bytes, reason: str) -> None:
    upstream = UpstreamLogin(starttls=True)
    upstream.receive(b"* OK ready\r\n" + answer)
    assert upstream.next() == Send(b"g STARTTLS\r\n")
    assert upstream.next() == Unusable(reason)
    assert upstream.next() is None


def test_octets_between_starttls_and_tls() -> None:
    upstream = UpstreamLogin(starttls=True)
    upstream.receive(b"* OK ready\r\ng OK begin\r\n")
    assert [upstream.next(), upstream.next()] == [Send(b"g STARTTLS\r\n"), StartTls()]
    upstream.receive(b"* NO [ALERT] call this number\r\n")
    assert upstream.next() == Unusable("octets_behind_starttls")


def test_what_the_server_is_told_of_the_client() -> None:
    client = ((b"x-originating-ip", b"192.0.2.7"), (b"x-session-id", b'a"b\\c\r\n\xff'))
    sent, found = talk(READY + b'* ID ("name" "Dovecot")\r\nt1.g OK ID\r\nt1 OK in\r\n', (), ANNA, client)
    told = b't1.g ID ("x-originating-ip" "192.0.2.7" "x-session-id" "a\\"b\\\\c???")\r\n'
    assert sent == told + b"t1 AUTHENTICATE PLAIN " + PLAIN + b"\r\n"
    assert found == [Accepted(b"t1 OK in\r\n", b"")]
    assert b"ID" not in talk(b"* OK [CAPABILITY IMAP4rev1] x\r\n", (), ANNA, client)[0]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"t1 OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE] in\r\n", b"t1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"),
        (b"* CAPABILITY IMAP4rev1 UNAUTHENTICATE\r\nt1 OK in\r\n", b"* CAPABILITY IMAP4rev1\r\nt1 OK in\r\n"),
        (b"* NO [ALERT] Password expires\r\nt1 OK in\r\n", b"* NO [ALERT] Password expires\r\nt1 OK in\r\n"),
        (b"* OK [REFERRAL imap://x/] try\r\nt1 OK in\r\n", b"t1 OK in\r\n"),
        (b"* ENABLED X\r\n* 5 EXISTS\r\nt1 ok in\r\n", b"t1 ok in\r\n"),
        (b"t1 OK\r\n", b"t1 OK Logged in.\r\n"),
        (b"t1 OK [CAPABILITY IMAP4rev1]\r\n", b"t1 OK [CAPABILITY IMAP4rev1] Logged in.\r\n"),
        (b'* ID ("a" {9}\r\nt1 NO x\r\n)\r\nt1 OK in\r\n', b"t1 OK in\r\n"),
        (b"* OK x {9}\r\nt1 OK in\r\n", b"* OK x {9}\r\nt1 OK in\r\n"),
    ],
)
def test_what_the_client_is_told_of_an_accepted_login(said: bytes, answer: bytes) -> None:
    for cut in range(len(said)):
        found = talk(READY + said, [len(READY) + cut])[1]
        assert [replace(event, capabilities=frozenset()) for event in found if isinstance(event, Accepted)] == [
            Accepted(answer, b"")
        ]


def test_what_the_server_can_do_now_is_known_whole() -> None:
    for said in (b"t1 OK [CAPABILITY IDLE Unauthenticate] in\r\n", b"* CAPABILITY IDLE UNAUTHENTICATE\r\nt1 OK in\r\n"):
        accepted = talk(READY + said)[1][0]
        assert isinstance(accepted, Accepted)
        assert accepted.capabilities & UNWATCHABLE == {b"UNAUTHENTICATE"}
        assert b"UNAUTH" not in accepted.answer.upper()


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (b"t1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", True),
        (b"t1 NO no such user\r\n", True),
        (b"t1 NO [EXPIRED] Change it\r\n", True),
        (b"t1 NO [UNAVAILABLE] Directory is down\r\n", False),
        (b"t1 NO [LIMIT] Too many connections\r\n", False),
        (b"* NO [ALERT] Locked\r\nt1 NO [CONTACTADMIN] Locked\r\n", False),
    ],
)
def test_a_rejected_login(said: bytes, wrong: bool) -> None:
    assert talk(READY + said)[1] == [Rejected(said, wrong)]


def test_a_rejection_has_words() -> None:
    assert talk(READY + b"t1 NO\r\n")[1] == [Rejected(b"t1 NO Authentication failed.\r\n", True)]


def test_a_refused_token_is_explained() -> None:
    octets = READY + b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\nt1 NO [AUTHENTICATIONFAILED] x\r\n"
    sent, found = talk(octets, (), TOKEN)
    assert sent.endswith(b"\r\n\r\n")
    assert found == [
        Challenged(b"eyJzdGF0dXMiOiI0MDAifQ==", b"\r\n"),
        Rejected(b"t1 NO [AUTHENTICATIONFAILED] x\r\n", True),
    ]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"* PREAUTH ready\r\n", "preauth"),
        (b"* BYE busy\r\n", "bye"),
        (b"* NO ready\r\n", "no_greeting"),
        (b"220 mail ESMTP\r\n", "no_greeting"),
        (b"a OK ready\r\n", "no_greeting"),
        (b"\r\n", "no_greeting"),
        (b"* OK ready\n", "bare_line_end"),
        (b"x" * (LINE_LONGEST + 2), "line_too_long"),
        (b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\r\n", "no_mechanism"),
        (READY + b"* BYE gone\r\n", "bye"),
        (READY + b"t1 BAD what\r\n", "server_said_bad"),
        (READY + b"t1 PREAUTH x\r\n", "server_said_bad"),
        (READY + b"t2 OK in\r\n", "malformed_answer"),
        (READY + b"T1 OK in\r\n", "malformed_answer"),
        (READY + b"\r\n", "malformed_answer"),
        (READY + b"+ more\r\n", "unexpected_challenge"),
        (READY + b"t1 OK [REFERRAL imap://other/] in\r\n", "referral"),
        (READY + b"t1 NO [REFERRAL imap://other/] there\r\n", "referral"),
        (READY + b"* X {999999}\r\n", "too_much_said"),
        (READY + b"* 5 EXISTS\r\n" * (BEFORE_LOGIN_MOST // 12 + 1), "too_much_said"),
    ],
)
def test_a_server_that_is_no_use(octets: bytes, reason: str) -> None:
    _, found = talk(octets + b"t1 OK in\r\n")
    assert found == [Unusable(reason)]


def test_kept_lines_are_few() -> None:
    accepted = talk(READY + b"* OK hello\r\n" * 100 + b"t1 OK in\r\n")[1][0]
    assert isinstance(accepted, Accepted)
    assert accepted.answer.count(b"\r\n") == 9


def test_no_secret_in_a_representation() -> None:
    upstream = UpstreamLogin()
    upstream.receive(READY)
    upstream.next()
    event = upstream.login(b"t1", ANNA)
    assert PLAIN.decode() not in repr(event)


def test_what_lines_say_is_remembered_within_bounds() -> None:
    for number in range(2 * REMEMBERED_MOST):
        assert understood(b"t%d OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] in" % number) == (
            *(b"t%d" % number, b"OK", b"[CAPABILITY IMAP4rev1 AUTH=PLAIN] in"),
            *(frozenset((b"IMAP4REV1", b"AUTH=PLAIN")), b"t%d OK [CAPABILITY IMAP4rev1] in" % number),
        )
    before = upstream_login._remembered.cache_info()
    assert before.currsize <= REMEMBERED_MOST
    long = b"* OK " + b"x" * REMEMBERED_LONGEST
    assert understood(long) == understood(long) == (b"*", b"OK", long[5:], None, long)
    assert upstream_login._remembered.cache_info().misses == before.misses
