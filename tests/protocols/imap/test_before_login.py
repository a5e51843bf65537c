"""The dialogue before login: every form of login, every way of being hostile, the same at every split."""

import base64
import imaplib
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Buffer

from gateway.protocols.imap import refusals
from gateway.protocols.imap.before_login import (
    COMMANDS_MOST,
    Dialogue,
)
from gateway.protocols.imap.framing import LINES_LONGEST
from gateway.protocols.login import ChallengeAnswered, Ended, Identified, LoginAsked, Offer, Said, TlsAsked
from gateway.protocols.sasl import Credentials, Mechanism
from tests.protocols.imap.dialogues import CLEAR, SECURE, events, said
from tests.support.evidence_strategies import thorough

ANNA = Credentials(Mechanism.PLAIN, b"anna", b"secret")
PLAIN = base64.b64encode(b"\0anna\0secret")
XOAUTH2 = base64.b64encode(b"user=anna\x01auth=Bearer t0k3n\x01\x01")
OAUTHBEARER = base64.b64encode(b"n,a=anna,\x01auth=Bearer t0k3n\x01\x01")


def asked(octets: bytes, *cuts: int) -> list[Credentials]:
    return [event.credentials for event in events(octets, cuts)[1] if isinstance(event, LoginAsked)]


@pytest.mark.parametrize(
    ("octets", "user", "secret"),
    [
        (b"a LOGIN anna secret\r\n", b"anna", b"secret"),
        (b"a login anna secret \r\n", b"anna", b"secret"),
        (b"a LOGIN  anna  secret\r\n", b"anna", b"secret"),
        (b'a LOGIN "anna" "secret"\r\n', b"anna", b"secret"),
        (b'a LOGIN "an\\"n\\\\a" " "\r\n', b'an"n\\a', b" "),
        (b'a LOGIN "x {5}" "{3}"\r\n', b"x {5}", b"{3}"),
        (b'a LOGIN anna%c7f3 "secret"\r\n', b"anna%c7f3", b"secret"),
        (b"a LOGIN CORP\\anna secret*\r\n", b"CORP\\anna", b"secret*"),
        (b"a LOGIN {4}\r\nanna {6}\r\nsecret\r\n", b"anna", b"secret"),
        (b"a LOGIN {4+}\r\nanna {6+}\r\nsecret\r\n", b"anna", b"secret"),
        (b'a LOGIN {4+}\r\nanna "secret"\r\n', b"anna", b"secret"),
        (b'a LOGIN anna {6}\r\n{1}"\\ \r\n', b"anna", b'{1}"\\ '),
        (b'a LOGIN "j\xc3\xbcrgen" {2+}\r\n\xff\xfe\r\n', b"j\xc3\xbcrgen", b"\xff\xfe"),
        (b"a AUTHENTICATE PLAIN " + PLAIN + b"\r\n", b"anna", b"secret"),
        (b"a authenticate plain\r\n" + PLAIN + b"\r\n", b"anna", b"secret"),
        (b"a AUTHENTICATE PLAIN " + base64.b64encode(b"anna\0anna\0secret") + b"\r\n", b"anna", b"secret"),
    ],
)
def test_a_password_at_every_split(octets: bytes, user: bytes, secret: bytes) -> None:
    written, _ = events(octets)
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            assert asked(octets, first, second) == [Credentials(Mechanism.PLAIN, user, secret)]
            assert events(octets, (first, second))[0] == written
    assert events(octets, range(1, len(octets)))[0] == written


@pytest.mark.parametrize(
    ("octets", "credentials", "written"),
    [
        (b"a AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\n", ANNA, b"+ \r\na NO no\r\n"),
        (
            b"a AUTHENTICATE LOGIN\r\nYW5uYQ==\r\nc2VjcmV0\r\n",
            Credentials(Mechanism.LOGIN, b"anna", b"secret"),
            b"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\na NO no\r\n",
        ),
        (
            b"a AUTHENTICATE LOGIN YW5uYQ==\r\nc2VjcmV0\r\n",
            Credentials(Mechanism.LOGIN, b"anna", b"secret"),
            b"+ UGFzc3dvcmQ6\r\na NO no\r\n",
        ),
        (
            b"a AUTHENTICATE XOAUTH2 " + XOAUTH2 + b"\r\n",
            Credentials(Mechanism.XOAUTH2, b"anna", b"t0k3n"),
            b"a NO no\r\n",
        ),
        (
            b"a AUTHENTICATE OAUTHBEARER\r\n" + OAUTHBEARER + b"\r\n",
            Credentials(Mechanism.OAUTHBEARER, b"anna", b"t0k3n"),
            b"+ \r\na NO no\r\n",
        ),
        (b"a LOGIN {4}\r\nanna {6}\r\nsecret\r\n", ANNA, b"+ OK\r\n+ OK\r\na NO no\r\n"),
        (b"a LOGIN {4+}\r\nanna {6}\r\nsecret\r\n", ANNA, b"+ OK\r\na NO no\r\n"),
    ],
)
def test_what_is_asked_of_the_client(octets: bytes, credentials: Credentials, written: bytes) -> None:
    assert asked(octets) == [credentials]
    assert said(octets) == written


def test_the_password_is_not_asked_for_in_the_clear() -> None:
    assert said(b"a LOGIN {4}\r\n", CLEAR) == refusals.privacy_required(b"a")
    assert said(b"a LOGIN {4+}\r\nanna {6+}\r\nsecret\r\n", CLEAR) == refusals.privacy_required(b"a")
    assert said(b"a LOGIN anna secret\r\n", CLEAR) == refusals.privacy_required(b"a")
    assert said(b"a AUTHENTICATE PLAIN\r\n", CLEAR) == refusals.privacy_required(b"a")
    assert said(b"a AUTHENTICATE PLAIN " + PLAIN + b"\r\n", CLEAR) == refusals.privacy_required(b"a")


def test_only_what_is_offered() -> None:
    tokens = Offer((Mechanism.XOAUTH2,))
    assert b"LOGINDISABLED AUTH=XOAUTH2]" in Dialogue(tokens).greeting()
    assert said(b"a LOGIN anna secret\r\n", tokens) == refusals.privacy_required(b"a")
    assert b"a NO [CANNOT]" in said(b"a AUTHENTICATE PLAIN " + PLAIN + b"\r\n", tokens)
    for name in (b"CRAM-MD5", b"SCRAM-SHA-256-PLUS", b"NTLM", b"GSSAPI", b"ANONYMOUS YW5uYQ==", b"EXTERNAL ="):
        assert b"a NO [CANNOT]" in said(b"a AUTHENTICATE %b\r\n" % name)


def test_what_is_answered_here() -> None:
    assert Dialogue(SECURE).greeting() == (
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=OAUTHBEARER]"
        b" Mail gateway ready.\r\n"
    )
    assert said(b"a capability\r\n", CLEAR) == (
        b"* CAPABILITY IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED\r\na OK CAPABILITY completed.\r\n"
    )
    assert said(b"a NOOP\r\nb NOOP\r\n") == b"a OK NOOP completed.\r\nb OK NOOP completed.\r\n"
    assert said(b"a ENABLE CONDSTORE\r\n") == b"* ENABLED\r\na OK Nothing was enabled.\r\n"
    written, found = events(b"a LOGOUT\r\nb NOOP\r\n")
    assert written == b"* BYE Logging out.\r\na OK LOGOUT completed.\r\n"
    assert [event.reason for event in found if isinstance(event, Ended)] == ["logout"]


@pytest.mark.parametrize(
    ("octets", "fields"),
    [
        (b"a ID NIL\r\n", ()),
        (b"a ID ()\r\n", ()),
        (b'a ID ("name" "iOS Mail" "version" NIL)\r\n', ((b"name", b"iOS Mail"),)),
        (b'a id ("Name" {3}\r\nx"y "os" {0+}\r\n)\r\n', ((b"name", b'x"y'), (b"os", b""))),
        (b'a ID ("x-originating-ip" "10.0.0.1" "X-Proxy-TTL" "1" "name" "a")\r\n', ((b"name", b"a"),)),
    ],
)
def test_what_a_client_says_of_itself(octets: bytes, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    for cut in range(len(octets)):
        written, found = events(octets, [cut])
        assert [event.fields for event in found if isinstance(event, Identified)] == [fields]
        assert written.endswith(b'* ID ("name" "Gatepost")\r\na OK ID completed.\r\n')


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" ",
        b"a",
        b"a ",
        b"a  NOOP",
        b" a NOOP",
        b"* NOOP",
        b"+ NOOP",
        b"a+b NOOP",
        b"a{b NOOP",
        b'"a" NOOP',
        b"\xff NOOP",
        b"a" * 65 + b" NOOP",
        b"a NOOP x",
        b"a CAPABILITY {1+}\r\nx",
        b"a SELECT INBOX",
        b"a COMPRESS DEFLATE",
        b"a UNAUTHENTICATE",
        b"a IDLE",
        b"a N\0OP",
        b"a NOOP\0",
        b"a LOGIN",
        b"a LOGIN ",
        b"a LOGIN anna",
        b"a LOGIN anna secret more",
        b"a LOGIN (anna) secret",
        b'a LOGIN "anna secret',
        b'a LOGIN "an\\na" secret',
        b'a LOGIN "an\0na" secret',
        b'a LOGIN "anna"secret',
        b'a LOGIN ""anna"" secret',
        b'a LOGIN "an"na" secret',
        b"a LOGIN anna\xff secret",
        b"a LOGIN anna {1+}\r\n\0",
        b"a LOGIN anna secret{1+}\r\nx",
        b'a LOGIN anna "secret {2+}\r\nx"',
        b"a LOGIN anna {5-}",
        b"a LOGIN {429494294967296672964}",
        b"a LOGIN anna {000000000000000000003+}",
        b'a ID ("a" {999999999999999999999}',
        b"a LOGIN{1+}\r\nx y",
        b"a AUTHENTICATE",
        b"a AUTHENTICATE PLAIN " + PLAIN + b" x",
        b"a AUTHENTICATE {5+}\r\nPLAIN",
        b"a AUTHENTICATE PLAIN {4+}\r\nAAAA",
        b"a AUTHENTICATE PLAIN *",
        b"a AUTHENTICATE PLAIN AAA",
        b"a ID",
        b"a ID (",
        b'a ID ("a")',
        b'a ID ("a" "b" "c")',
        b'a ID ("a" "b") x',
        b"a ID NILL",
        b'a ID (("a" "b"))',
        b'a ID ("' + b"k" * 31 + b'" "v")',
        b'a ID ("k" "' + b"v" * 1025 + b'")',
        b"a ID (" + b" ".join([b'"k" "v"'] * 31) + b")",
    ],
)
def test_bad_commands(octets: bytes) -> None:
    written, found = events(octets + b"\r\nz NOOP\r\n")
    answer, rest = written.split(b"\r\n", 1)
    assert answer.split(b" ", 2)[1] == b"BAD"
    assert answer.split(b" ")[0] in (b"*", b"a")
    assert rest == b"z OK NOOP completed.\r\n"
    assert found == []


def test_the_third_bad_command_is_the_last() -> None:
    written, found = events(b"a X\r\n" * 4)
    assert written.count(b"a BAD") == 3
    assert written.endswith(b"* BYE Too many invalid commands.\r\n")
    assert found == [Ended(found[0].octets, "too_many_bad_commands")]


def test_commands_before_login_are_counted() -> None:
    written, found = events(b"a NOOP\r\n" * (COMMANDS_MOST + 1))
    assert written.count(b"a OK") == COMMANDS_MOST
    assert [event.reason for event in found if isinstance(event, Ended)] == ["too_many_commands"]


def test_failed_logins_are_counted_and_the_credentials_that_nobody_asked_about_too() -> None:
    written, found = events(b'a LOGIN anna x\r\nb LOGIN anna ""\r\nc LOGIN anna z\r\nd LOGIN anna y\r\n')
    assert b"b NO [AUTHENTICATIONFAILED]" in written
    assert written.endswith(b"c NO no\r\n* BYE Too many failed logins.\r\n")
    assert len(found) == 3


def test_credentials_of_which_no_server_hears() -> None:
    for credentials in (b"bert\0anna\0secret", b"\0anna\0", b"\0\0secret", b"\0an\nna\0secret", b"anna\0secret"):
        written, found = events(b"a AUTHENTICATE PLAIN %b\r\n" % base64.b64encode(credentials))
        assert written == refusals.wrong_credentials(b"a")
        assert found == []
    assert said(b"a LOGIN {5+}\r\nan\nna x\r\n") == refusals.wrong_credentials(b"a")


def test_an_authentication_is_cancelled_or_broken() -> None:
    assert said(b"a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n") == (
        b"+ \r\na BAD Authentication was cancelled.\r\nb OK NOOP completed.\r\n"
    )
    assert said(b"a AUTHENTICATE PLAIN\r\nAAA\r\n").endswith(b"a BAD The response is not base64.\r\n")
    # A line break within base64 makes two responses of it, and the second one a command.
    written = said(b"a AUTHENTICATE PLAIN\r\n" + PLAIN[:8] + b"\r\n" + PLAIN[8:] + b"\r\n")
    assert written.startswith(b"+ \r\na NO [AUTHENTICATIONFAILED]")
    assert b"BAD" in written


def test_an_octet_behind_starttls_ends_the_connection() -> None:
    octets = b"a STARTTLS\r\n"
    assert events(octets, offer=CLEAR)[1] == [TlsAsked(b"a OK Begin TLS.\r\n")]
    for behind in (b"b", b"\n", b"b LOGIN anna secret\r\n"):
        assert events(octets + behind, offer=CLEAR) == (b"", [Ended(b"", "octets_behind_starttls")])
        late = events(octets + behind, [len(octets)], offer=CLEAR)[1]
        assert late == [TlsAsked(b"a OK Begin TLS.\r\n"), Ended(b"", "octets_behind_starttls")]
    assert b"a BAD" in said(octets, SECURE)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"a NOOP\nb NOOP\r\n", "bare_line_end"),
        (b'a LOGIN anna "se\rcret"\r\n', "bare_line_end"),
        (b"a LOGIN {999999+}\r\n", "literal_too_large"),
        (b"x" * (LINES_LONGEST + 2), "line_too_long"),
        (b"a AUTHENTICATE PLAIN\r\n" + b"A" * (LINES_LONGEST + 2), "line_too_long"),
        (b"a AUTHENTICATE PLAIN\r\nAAAA\nAAAA\r\n", "bare_line_end"),
    ],
)
def test_after_this_nothing_is_understood(octets: bytes, reason: str) -> None:
    written, found = events(octets + b"b LOGIN anna secret\r\n")
    assert [event.reason for event in found if isinstance(event, Ended)] == [reason]
    assert len(found) == 1
    assert b"* BYE " in written
    assert b"b " not in written


def test_a_large_literal_is_declined_and_life_goes_on() -> None:
    for size in (8193, 2**31, 2**63, 2**64 + 5):
        assert (
            said(b"a LOGIN {%d}\r\nb NOOP\r\n" % size) == b"a BAD The literal is too large.\r\nb OK NOOP completed.\r\n"
        )
    assert said(b"a APPEND INBOX {5}\r\nb NOOP\r\n").startswith(b"a BAD No literal is expected here.\r\nb OK")


def test_what_stands_behind_a_login_waits_for_its_answer() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"a LOGIN anna secret\r\nb SELECT INBOX\r\n")
    assert dialogue.next() == LoginAsked(b"a", ANNA)
    assert dialogue.next() is None
    dialogue.receive(b"c FETCH")
    assert dialogue.next() is None
    assert dialogue.logged_in() == b"b SELECT INBOX\r\nc FETCH"
    dialogue.receive(b"late")
    assert dialogue.next() is None


def test_after_a_refusal_it_is_commands_again() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"a LOGIN anna secret\r\nb NOOP\r\n")
    dialogue.next()
    denied = refusals.denied(b"a", "TikTok")
    assert dialogue.refuse(denied) == Said(denied)
    assert dialogue.next() == Said(b"b OK NOOP completed.\r\n")
    dialogue.receive(b"c LOGIN anna secret\r\n")
    assert isinstance(dialogue.next(), LoginAsked)
    assert dialogue.defer(b"c") == Said(refusals.deferred(b"c"))


def test_a_token_that_the_server_refuses() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"a AUTHENTICATE XOAUTH2 " + XOAUTH2 + b"\r\n")
    assert isinstance(dialogue.next(), LoginAsked)
    assert dialogue.challenge(b"eyJzdGF0dXMiOiI0MDAifQ==") == Said(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
    assert dialogue.next() is None
    dialogue.receive(b"\r\nb NOOP\r\n")
    assert dialogue.next() == ChallengeAnswered()
    assert dialogue.next() is None
    assert dialogue.refuse(b"a NO no\r\n") == Said(b"a NO no\r\n")
    assert dialogue.next() == Said(b"b OK NOOP completed.\r\n")


def test_who_sends_without_an_end_is_stopped() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"a LOGIN anna secret\r\n")
    assert isinstance(dialogue.next(), LoginAsked)
    dialogue.receive(b"x" * 70_000)
    assert dialogue.crowded
    dialogue.receive(b"x")
    event = dialogue.next()
    assert isinstance(event, Ended)
    assert event.reason == "too_much_waiting"


_PIECES = st.sampled_from(
    (
        *(b"a ", b"b ", b"LOGIN ", b"AUTHENTICATE ", b"PLAIN ", b"XOAUTH2", b"STARTTLS", b"ID ", b"NOOP", b"LOGOUT"),
        *(b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b'"', b"\\", b"{3}\r\n", b"{3+}\r\n", b"{9000}\r\n", b"*"),
        *(b"anna ", b'"secret"', PLAIN, XOAUTH2, b"=", b"(", b")", b"NIL", b"\xff", b"a LOGIN anna x\r\n", b"abc "),
    )
)


@thorough
@given(pieces=st.lists(_PIECES, max_size=30), cuts=st.lists(st.integers(0, 300), max_size=8), clear=st.booleans())
def test_splits_change_nothing(pieces: list[bytes], cuts: list[int], clear: bool) -> None:
    octets = b"".join(pieces)
    offer = CLEAR if clear else SECURE
    inside = sorted(cut for cut in cuts if cut < len(octets))
    whole = events(octets, (), offer)
    if b"STARTTLS" in octets and clear:
        return  # whether an octet was already behind it depends on the moment; both are refused
    assert events(octets, inside, offer) == whole


def test_long_hostile_lines_take_no_time() -> None:
    began = time.process_time()
    for line in (
        b'"\\"' * 5000,
        b"{1" * 5000,
        b'a LOGIN "' + b'\\"' * 7000,
        b"a ID (" + b'"" "" ' * 2000,
        b"a AUTHENTICATE X" + b" " * 9000,
    ):
        events(line[: LINES_LONGEST - 3] + b"\r\n")
        events(line[: LINES_LONGEST - 3] + b"\r\n", range(1, LINES_LONGEST, 7))
    assert time.process_time() - began < 5


class Wire(imaplib.IMAP4):
    """imaplib, with a dialogue in place of the socket."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.asked: list[LoginAsked] = []
        self.incoming = dialogue.greeting()
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        pass

    def send(self, data: Buffer) -> None:
        self.dialogue.receive(bytes(data))
        while (event := self.dialogue.next()) is not None:
            self.incoming += event.octets
            if isinstance(event, LoginAsked):
                self.asked.append(event)
                self.incoming += self.dialogue.refuse(refusals.denied(event.tag, "TikTok")).octets

    def readline(self) -> bytes:
        line, end, self.incoming = self.incoming.partition(b"\n")
        return line + end

    def read(self, size: int) -> bytes:
        octets, self.incoming = self.incoming[:size], self.incoming[size:]
        return octets

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("login", "user", "secret"),
    [
        (lambda client: client.login("anna", 'p"w\\ x'), b"anna", b'p"w\\ x'),
        (lambda client: client.login("anna%c7f3@corp.example", "secret"), b"anna%c7f3@corp.example", b"secret"),
        (lambda client: client.login("CORP\\anna", "secret"), b"CORP\\anna", b"secret"),
        (lambda client: client.authenticate("PLAIN", lambda _: b"\0anna\0secret"), b"anna", b"secret"),
        (lambda client: client.authenticate("XOAUTH2", lambda _: b"user=u\x01auth=Bearer t\x01\x01"), b"u", b"t"),
    ],
)
def test_imaplib_speaks_with_it(login: Callable[[Wire], object], user: bytes, secret: bytes) -> None:
    client = Wire(Dialogue(SECURE))
    assert "SASL-IR" in client.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="CONTACTADMIN"):
        login(client)
    assert [(event.credentials.user, event.credentials.secret) for event in client.asked] == [(user, secret)]
    assert client.logout()[0] == "BYE"


def test_no_secret_in_any_representation() -> None:
    dialogue = Dialogue(SECURE)
    dialogue.receive(b"a LOGIN anna hunter2\r\n")
    assert "hunter2" not in f"{dialogue.next()!r} {dialogue!r}"
