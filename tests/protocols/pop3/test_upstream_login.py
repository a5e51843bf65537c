"""The dialogue with a POP3 server: every form of login, and servers that are not as they must be."""

import base64
from collections.abc import Iterable
from itertools import pairwise

import pytest

from gateway.protocols.login import Accepted, Challenged, Opened, Rejected, Send, ServerEvent, StartTls, Unusable
from gateway.protocols.pop3.capabilities import mechanisms
from gateway.protocols.pop3.upstream_login import BEFORE_LOGIN_MOST, LINE_LONGEST, UpstreamLogin
from gateway.protocols.sasl import Credentials, Mechanism

ANNA = Credentials(Mechanism.PLAIN, b"anna", b"se cret")
TOKEN = Credentials(Mechanism.XOAUTH2, b"anna", b"t0k3n")
LONG = Credentials(Mechanism.XOAUTH2, b"anna", b"t" * 300)
PLAIN = base64.b64encode(b"\0anna\0se cret")
OPEN = b"+OK ready\r\n+OK\r\nUSER\r\nsasl PLAIN xoauth2\r\n.\r\n"


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
                event = upstream.login(b"", credentials, client)
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
        (b"SASL PLAIN\r\n", ANNA, b"", b"AUTH PLAIN " + PLAIN + b"\r\n"),
        (b"USER\r\n", ANNA, b"+OK\r\n", b"USER anna\r\nPASS se cret\r\n"),
        (
            b"SASL XOAUTH2\r\n",
            TOKEN,
            b"",
            b"AUTH XOAUTH2 " + base64.b64encode(b"user=anna\x01auth=Bearer t0k3n\x01\x01") + b"\r\n",
        ),
        (
            b"SASL XOAUTH2\r\n",
            LONG,
            b"+ \r\n",
            b"AUTH XOAUTH2\r\n" + base64.b64encode(b"user=anna\x01auth=Bearer " + b"t" * 300 + b"\x01\x01") + b"\r\n",
        ),
    ],
)
def test_every_form_of_login_at_every_split(
    capabilities: bytes, credentials: Credentials, more: bytes, sent: bytes
) -> None:
    octets = b"+OK ready\r\n+OK\r\n%b.\r\n%b+OK in\r\n+OK 1 5\r\n" % (capabilities, more)
    for cut in range(len(octets) - 9):
        got, found = talk(octets, [cut], credentials)
        assert got == b"CAPA\r\n" + sent
        assert isinstance(found[0], Accepted)
        assert found[0].answer == b"+OK in\r\n"
    assert talk(octets, (), credentials)[1] == [Accepted(b"+OK in\r\n", b"+OK 1 5\r\n")]


@pytest.mark.parametrize("name", ["anna x", "anna\u3000x", "anna\u00a0x", "anna\u2003x"])
def test_a_name_of_two_words_is_not_shown_where_it_has_room_for_one(name: str) -> None:
    """``USER anna x``: a server that takes the first word lets in anna, and "anna x" is judged."""
    two = Credentials(Mechanism.PLAIN, name.encode(), b"secret")
    for octets in (b"+OK\r\n-ERR what\r\n+OK\r\n+OK in\r\n", b"+OK\r\n+OK\r\nUSER\r\n.\r\n+OK\r\n+OK in\r\n"):
        sent, found = talk(octets, (), two)
        assert sent == b"CAPA\r\n"
        assert found == [Rejected(b"-ERR [AUTH] Authentication failed.\r\n", wrong=False)]
    sent, _ = talk(b"+OK\r\n", (), two, known=frozenset((b"AUTH=PLAIN", b"USER")))
    assert sent == b"AUTH PLAIN " + base64.b64encode(b"\0%b\0secret" % name.encode()) + b"\r\n"


def test_a_server_without_capa() -> None:
    assert talk(b"+OK\r\n-ERR what\r\n+OK\r\n+OK in\r\n")[0] == b"CAPA\r\nUSER anna\r\nPASS se cret\r\n"


def test_capabilities_from_memory() -> None:
    assert talk(b"+OK\r\n", known=frozenset((b"AUTH=PLAIN",)))[0] == b"AUTH PLAIN " + PLAIN + b"\r\n"


def test_what_the_server_is_told_of_the_client() -> None:
    client = ((b"ADDR", b"192.0.2.31"), (b"SESSION", b"a b\r\n"))
    for answer in (b"+OK Updated\r\n", b"-ERR no\r\n"):
        sent, found = talk(
            b"+OK [XCLIENT] ready\r\n" + answer + b"+OK in\r\n", (), ANNA, client, frozenset((b"AUTH=PLAIN",))
        )
        assert sent == b"XCLIENT ADDR=192.0.2.31 SESSION=a?b??\r\nAUTH PLAIN " + PLAIN + b"\r\n"
        assert found == [Accepted(b"+OK in\r\n", b"")]
    assert b"XCLIENT" not in talk(b"+OK ready\r\n", (), ANNA, client, frozenset((b"AUTH=PLAIN",)))[0]


def test_stls() -> None:
    upstream = UpstreamLogin(starttls=True)
    upstream.receive(b"+OK ready\r\n+OK begin\r\n")
    assert [upstream.next(), upstream.next(), upstream.next()] == [Send(b"STLS\r\n"), StartTls(), None]
    upstream.secured()
    assert upstream.next() == Send(b"CAPA\r\n")
    upstream.receive(b"+OK\r\nSASL PLAIN\r\n.\r\n")
    assert upstream.next() == Opened(frozenset((b"AUTH=PLAIN",)))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"+OK begin\r\n+OK\r\n", "octets_behind_starttls"),
        (b"-ERR no\r\n", "starttls_refused"),
        (b"what\r\n", "malformed_answer"),
    ],
)
def test_stls_or_nothing(answer: bytes, reason: str) -> None:
    upstream = UpstreamLogin(starttls=True)
    upstream.receive(b"+OK ready\r\n" + answer)
    assert [upstream.next(), upstream.next(), upstream.next()] == [Send(b"STLS\r\n"), Unusable(reason), None]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (b"-ERR [AUTH] no\r\n", True),
        (b"-ERR no\r\n", True),
        (b"-ERR\r\n", True),
        (b"-ERR [SYS/TEMP] later\r\n", False),
        (b"-ERR [IN-USE] later\r\n", False),
        (b"-ERR [sys/perm] no\r\n", False),
    ],
)
def test_a_rejected_login(said: bytes, wrong: bool) -> None:
    assert talk(OPEN + said)[1] == [Rejected(said, wrong)]


def test_a_refused_name_is_a_refused_login() -> None:
    assert talk(b"+OK\r\n-ERR\r\n-ERR no\r\n") == (b"CAPA\r\nUSER anna\r\n", [Rejected(b"-ERR no\r\n", True)])


def test_a_refused_token_is_explained() -> None:
    sent, found = talk(OPEN + b"+ e30=\r\n-ERR [AUTH] no\r\n", (), TOKEN)
    assert sent.endswith(b"\r\n\r\n")
    assert found == [Challenged(b"e30=", b"\r\n"), Rejected(b"-ERR [AUTH] no\r\n", True)]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"-ERR busy\r\n", "bye"),
        (b"* OK IMAP\r\n", "no_greeting"),
        (b"\r\n", "no_greeting"),
        (b"+OK\n", "bare_line_end"),
        (b"+OK" + b"x" * LINE_LONGEST, "line_too_long"),
        (b"+OK\r\n+OK\r\n.\r\n", "no_mechanism"),
        (b"+OK\r\n+OK\r\n" + b"X\r\n" * (BEFORE_LOGIN_MOST // 3), "too_much_said"),
        (OPEN + b"+ more\r\n", "unexpected_challenge"),
        (OPEN + b"what\r\n", "malformed_answer"),
        (OPEN + b"+OKAY\r\n", "malformed_answer"),
    ],
)
def test_a_server_that_is_no_use(octets: bytes, reason: str) -> None:
    assert talk(octets + b"+OK in\r\n")[1] == [Unusable(reason)]


def test_what_can_be_offered() -> None:
    assert mechanisms(frozenset((b"USER",))) == (Mechanism.PLAIN, Mechanism.LOGIN)
    assert mechanisms(frozenset((b"AUTH=XOAUTH2", b"AUTH=CRAM-MD5"))) == (Mechanism.XOAUTH2,)
    assert mechanisms(frozenset((b"TOP",))) == ()
