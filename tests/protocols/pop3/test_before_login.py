"""The POP3 dialogue before login: every form of login, every way of being hostile, the same at every split."""

import base64
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.login import ChallengeAnswered, ClientEvent, Ended, LoginAsked, Offer, Said, TlsAsked
from gateway.protocols.pop3 import refusals
from gateway.protocols.pop3.before_login import COMMANDS_MOST, LINE_LONGEST, Dialogue
from gateway.protocols.sasl import Credentials, Mechanism
from tests.support.evidence_strategies import thorough

SECURE = Offer(tuple(Mechanism))
CLEAR = Offer(starttls=True)
ANNA = Credentials(Mechanism.PLAIN, b"anna", b"secret")
PLAIN = base64.b64encode(b"\0anna\0secret")
XOAUTH2 = base64.b64encode(b"user=anna\x01auth=Bearer t0k3n\x01\x01")


def events(octets: bytes, cuts: Iterable[int] = (), offer: Offer = SECURE) -> tuple[bytes, list[ClientEvent]]:
    """All that is written, and the events that are more than a text; a login is refused by ``-ERR no``."""
    dialogue, written, found = Dialogue(offer), b"", list[ClientEvent]()
    for start, end in pairwise([0, *cuts, len(octets)]):
        dialogue.receive(octets[start:end])
        while (event := dialogue.next()) is not None:
            if not isinstance(event, Said):
                found.append(event)
            written += event.octets
            if isinstance(event, LoginAsked):
                answer = dialogue.refuse(b"-ERR no\r\n")
                written += answer.octets
                found += [answer] if isinstance(answer, Ended) else []
    return written, found


def said(octets: bytes, offer: Offer = SECURE) -> bytes:
    return events(octets, offer=offer)[0]


@pytest.mark.parametrize(
    ("octets", "credentials", "written"),
    [
        (b"USER anna\r\nPASS secret\r\n", ANNA, b"+OK\r\n-ERR no\r\n"),
        (
            b"user anna%c7f3\r\npass  a b \r\n",
            Credentials(Mechanism.PLAIN, b"anna%c7f3", b" a b "),
            b"+OK\r\n-ERR no\r\n",
        ),
        (
            b"USER j\xc3\xbc\r\nPASS \xff\r\n",
            Credentials(Mechanism.PLAIN, b"j\xc3\xbc", b"\xff"),
            b"+OK\r\n-ERR no\r\n",
        ),
        (b"AUTH PLAIN " + PLAIN + b"\r\n", ANNA, b"-ERR no\r\n"),
        (b"AUTH plain\r\n" + PLAIN + b"\r\n", ANNA, b"+ \r\n-ERR no\r\n"),
        (
            b"AUTH LOGIN\r\nYW5uYQ==\r\nc2VjcmV0\r\n",
            Credentials(Mechanism.LOGIN, b"anna", b"secret"),
            b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n-ERR no\r\n",
        ),
        (
            b"AUTH XOAUTH2\r\n" + XOAUTH2 + b"\r\n",
            Credentials(Mechanism.XOAUTH2, b"anna", b"t0k3n"),
            b"+ \r\n-ERR no\r\n",
        ),
    ],
)
def test_logins_at_every_split(octets: bytes, credentials: Credentials, written: bytes) -> None:
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            assert events(octets, (first, second)) == (written, [LoginAsked(b"", credentials)])
    assert events(octets, range(1, len(octets))) == (written, [LoginAsked(b"", credentials)])


def test_what_is_answered_here() -> None:
    assert b"<" not in Dialogue(SECURE).greeting()
    assert said(b"capa\r\n") == (
        b"+OK Capability list follows\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
        b"USER\r\nSASL PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n.\r\n"
    )
    clear = said(b"CAPA\r\n", CLEAR)
    assert b"STLS\r\n" in clear
    assert b"USER" not in clear
    assert b"SASL" not in clear
    assert said(b"AUTH\r\n") == b"+OK\r\nPLAIN\r\nLOGIN\r\nXOAUTH2\r\nOAUTHBEARER\r\n.\r\n"
    assert events(b"QUIT\r\nCAPA\r\n") == (b"+OK Logging out.\r\n", [Ended(b"+OK Logging out.\r\n", "logout")])


@pytest.mark.parametrize(
    "octets",
    [b"USER anna", b"USER anna\r\nPASS secret", b"PASS secret", b"AUTH PLAIN", b"AUTH PLAIN " + PLAIN, b"AUTH"],
)
def test_no_login_in_the_clear(octets: bytes) -> None:
    written, found = events(octets + b"\r\n", offer=CLEAR)
    assert set(written.splitlines(keepends=True)) == {refusals.privacy_required()}
    assert found == []


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" USER anna",
        b"USER",
        b"USER ",
        b"PASS secret",
        b"USER an\0na",
        b"APOP anna c4c9334bac560ecc979e58001b3e22fb",
        b"NOOP",
        b"STAT",
        b"RETR 1",
        b"UTF8",
        b"CAPA x",
        b"STLS",
        b"XCLIENT ADDR=10.0.0.1",
        b"XYZZY" * 10,
        b"\xff\xfe",
        b"AUTH PLAIN " + PLAIN + b" x",
        b"AUTH PLAIN AAA",
        b"AUTH PLAIN\r\n*",
        b"AUTH CRAM-MD5",
        b"AUTH PLAIN " + base64.b64encode(b"bert\0anna\0secret"),
        b"USER anna\r\nPASS",
        b"USER anna\r\nCAPA\r\nPASS secret",
    ],
)
def test_what_is_refused(octets: bytes) -> None:
    written, found = events(octets + b"\r\nCAPA\r\n")
    assert b"-ERR " in written
    assert written.endswith(b"OAUTHBEARER\r\n.\r\n")
    assert found == []


def test_the_password_counts_for_the_name_before_it_only() -> None:
    octets = b"USER anna\r\nPASS x\r\nPASS y\r\nUSER bert\r\nPASS z\r\n"
    asked = [event.credentials for event in events(octets)[1] if isinstance(event, LoginAsked)]
    assert [(each.user, each.secret) for each in asked] == [(b"anna", b"x"), (b"bert", b"z")]


def test_there_is_an_end_to_everything() -> None:
    assert events(b"NOOP\r\n" * 9)[1] == [
        Ended(b"-ERR This command is not known before login.\r\n", "too_many_bad_commands")
    ]
    written, found = events(b"CAPA\r\n" * (COMMANDS_MOST + 1))
    assert written.count(b"+OK") == COMMANDS_MOST
    assert [event.reason for event in found if isinstance(event, Ended)] == ["too_many_commands"]
    _, found = events(b"USER anna\r\nPASS x\r\n" * 4)
    assert [event.reason for event in found if isinstance(event, Ended)] == ["too_many_failed_logins"]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"CAPA\nUSER anna\r\n", "bare_line_end"),
        (b"USER an\rna\r\n", "bare_line_end"),
        (b"USER " + b"x" * LINE_LONGEST, "line_too_long"),
        (b"AUTH PLAIN\r\nAAAA\nAAAA\r\n", "bare_line_end"),
    ],
)
def test_after_this_nothing_is_understood(octets: bytes, reason: str) -> None:
    written, found = events(octets + b"\r\nUSER anna\r\nPASS secret\r\n")
    assert [event.reason for event in found if isinstance(event, Ended)] == [reason]
    assert len(found) == 1
    assert written.count(b"-ERR") == 1


def test_an_octet_behind_stls_ends_the_connection() -> None:
    assert events(b"STLS\r\n", offer=CLEAR)[1] == [TlsAsked(b"+OK Begin TLS.\r\n")]
    for behind in (b"U", b"\n", b"USER anna\r\n"):
        assert events(b"STLS\r\n" + behind, offer=CLEAR) == (b"", [Ended(b"", "octets_behind_starttls")])
        assert events(b"STLS\r\n" + behind, [6], CLEAR)[1][-1] == Ended(b"", "octets_behind_starttls")


def test_what_stands_behind_a_login_waits_for_its_answer() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"USER anna\r\nPASS secret\r\nCAPA\r\nSTAT\r\n")
    assert dialogue.next() == Said(b"+OK\r\n")
    assert dialogue.next() == LoginAsked(b"", ANNA)
    assert dialogue.next() is None
    assert dialogue.logged_in() == b"CAPA\r\nSTAT\r\n"
    dialogue.receive(b"x")
    assert dialogue.next() is None


def test_refused_and_deferred() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"AUTH PLAIN " + PLAIN + b"\r\n" + b"AUTH XOAUTH2 " + XOAUTH2 + b"\r\n")
    assert isinstance(dialogue.next(), LoginAsked)
    assert dialogue.refuse(refusals.denied("TikTok")) == Said(
        b"-ERR [SYS/PERM] Mail on this device is blocked by your organization because of this app: TikTok."
        b" Ask your help desk.\r\n"
    )
    assert isinstance(dialogue.next(), LoginAsked)
    assert dialogue.challenge(b"e30=") == Said(b"+ e30=\r\n")
    dialogue.receive(b"\r\n")
    assert dialogue.next() == ChallengeAnswered()
    assert dialogue.defer() == Said(refusals.deferred())
    assert refusals.deferred().startswith(b"-ERR [SYS/TEMP] ")


def test_who_sends_without_an_end_is_stopped() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"AUTH PLAIN " + PLAIN + b"\r\n")
    assert isinstance(dialogue.next(), LoginAsked)
    dialogue.receive(b"x" * 70_000)
    assert dialogue.crowded
    dialogue.receive(b"x")
    assert dialogue.next() == Ended(b"-ERR Too much was sent at once.\r\n", "too_much_waiting")


_PIECES = st.sampled_from(
    (
        *(b"USER ", b"PASS ", b"AUTH ", b"PLAIN ", b"LOGIN", b"CAPA", b"QUIT", b"anna", b"\r\n", b"\r\n", b"\r\n"),
        *(b"\r", b"\n", b"\0", b"*", b"=", PLAIN, XOAUTH2, b"XOAUTH2 ", b"\xff", b" ", b"USER a\r\nPASS b\r\n"),
    )
)


@thorough
@given(pieces=st.lists(_PIECES, max_size=30), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_splits_change_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    assert events(octets, sorted(cut for cut in cuts if cut < len(octets))) == events(octets)


@given(app=st.text(), note=st.text())
def test_whatever_the_app_is_called(app: str, note: str) -> None:
    line = refusals.denied(app, note)
    assert len(line) <= 512
    assert line.endswith(b"\r\n")
    assert not set(line[:-2]) - set(range(32, 127))


def test_no_secret_in_any_representation() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"USER anna\r\nPASS hunter2\r\n")
    assert "hunter2" not in f"{dialogue.next()!r} {dialogue!r} {dialogue.next()!r} {dialogue!r}"
