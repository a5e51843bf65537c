"""A notice mailbox as mail programs go through it: what each asks, what it is answered, and that nothing changes."""

import imaplib
import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Buffer

from gateway.protocols.imap.commands import BadCommand
from gateway.protocols.imap.notice_mailbox import BAD_COMMANDS_MOST, NoticeMailbox
from gateway.protocols.imap.notice_message import UIDVALIDITY, Facts, compose
from gateway.protocols.imap.responses import ResponseFollower
from gateway.protocols.imap.sequence_set import holds
from gateway.protocols.login import Ended, Said
from tests.support.evidence_strategies import thorough

NOTICE = compose(Facts("anna@corp.example", "TikTok", "Remove it.", 1_790_000_000.0, 3))
UID = NOTICE.uid
SELECTED = b"s SELECT INBOX\r\n"


def answered(octets: bytes, cuts: Iterable[int] = ()) -> tuple[bytes, list[Ended]]:
    """All that is said to these octets, and the end if there is one."""
    mailbox, said, ended = NoticeMailbox(NOTICE), b"", list[Ended]()
    for start, end in pairwise([0, *cuts, len(octets)]):
        mailbox.receive(octets[start:end])
        while (event := mailbox.next()) is not None:
            said += event.octets
            if isinstance(event, Ended):
                ended.append(event)
    return said, ended


def said(octets: bytes) -> bytes:
    return answered(octets)[0]


def selected(octets: bytes) -> bytes:
    """What is said within the Inbox."""
    found = said(SELECTED + octets)
    return found.partition(b"s OK [READ-WRITE] SELECT completed.\r\n")[2]


def test_the_login_is_answered_with_what_there_is() -> None:
    assert NoticeMailbox(NOTICE).logged_in(b"a1") == (
        b"a1 OK [CAPABILITY IMAP4rev1 ID IDLE NAMESPACE UNSELECT] Logged in; mail is blocked.\r\n"
    )


def test_select_is_never_read_only() -> None:
    """Python's imaplib raises at READ-ONLY, and with it whatever is built on it."""
    found = said(SELECTED)
    assert b"s OK [READ-WRITE] SELECT completed.\r\n" in found
    assert b"READ-ONLY" not in found
    for line in (
        b"* 1 EXISTS",
        b"* 0 RECENT",
        b"* OK [UIDVALIDITY %d]" % UIDVALIDITY,
        b"* OK [UIDNEXT %d]" % (UID + 1),
    ):
        assert b"\r\n" + line in b"\r\n" + found
    assert b"[PERMANENTFLAGS ()]" in found
    assert b"e OK [READ-ONLY] EXAMINE completed.\r\n" in said(b"e EXAMINE inbox\r\n")


WHOLE = b"* 1 FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (UID, len(NOTICE.octets), NOTICE.octets)


def test_mbsync() -> None:
    """isync 1.4, its commands in their order; a second run marks what was read."""
    found = said(
        b'1 NAMESPACE\r\n2 LIST "" "*"\r\n3 SELECT "INBOX"\r\n4 UID FETCH 1:%d (UID FLAGS)\r\n'
        b"5 UID FETCH %d (BODY.PEEK[])\r\n6 UID STORE %d +FLAGS.SILENT (\\Seen)\r\n7 CHECK\r\n"
        b"8 UID FETCH 1:%d (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])\r\n9 LOGOUT\r\n" % (UID, UID, UID, UID)
    )
    assert b'* NAMESPACE (("" "/")) NIL NIL\r\n1 OK ' in found
    assert b'* LIST (\\HasNoChildren) "/" INBOX\r\n2 OK ' in found
    assert b"* 1 FETCH (UID %d FLAGS ())\r\n4 OK " % UID in found
    assert WHOLE + b"5 OK " in found
    assert b"6 OK STORE completed.\r\n7 OK " in found
    field = b"Message-ID: %b\r\n\r\n" % NOTICE.message_id.encode()
    wanted = b"FLAGS (\\Seen) BODY[HEADER.FIELDS (MESSAGE-ID)] {%d}\r\n%b)\r\n8 OK " % (len(field), field)
    assert wanted in found
    assert found.endswith(b"* BYE Logging out.\r\n9 OK LOGOUT completed.\r\n")


def test_fetchmail() -> None:
    found = selected(
        b"1 SEARCH UNSEEN NOT DELETED\r\n2 FETCH 1:1 RFC822.SIZE\r\n3 FETCH 1 RFC822.HEADER\r\n"
        b"4 FETCH 1 BODY.PEEK[TEXT]\r\n5 STORE 1 +FLAGS (\\Seen)\r\n6 EXPUNGE\r\n"
    )
    assert b"* SEARCH 1\r\n1 OK " in found
    assert b"* 1 FETCH (RFC822.SIZE %d)\r\n" % len(NOTICE.octets) in found
    assert b"* 1 FETCH (RFC822.HEADER {%d}\r\n%b)\r\n" % (len(NOTICE.header), NOTICE.header) in found
    assert b"* 1 FETCH (BODY[TEXT] {%d}\r\n%b)\r\n" % (len(NOTICE.text), NOTICE.text) in found
    assert b"* 1 FETCH (FLAGS (\\Seen))\r\n5 OK " in found
    assert found.endswith(b"6 OK EXPUNGE completed.\r\n")


def test_thunderbird() -> None:
    found = said(
        b'1 ID ("name" "Thunderbird" "version" "140")\r\n2 LSUB "" "*"\r\n3 LIST "" "INBOX"\r\n4 LIST "" "%%"\r\n'
        b'5 STATUS "INBOX" (UIDNEXT MESSAGES UNSEEN RECENT)\r\n6 SELECT "INBOX"\r\n7 UID FETCH 1:* (FLAGS)\r\n'
        b"8 UID FETCH %d (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID)])\r\n"
        b"9 IDLE\r\nDONE\r\n10 NOOP\r\n11 UID FETCH %d (UID RFC822.SIZE BODY[])\r\n12 UNSELECT\r\n" % (UID, UID)
    )
    assert b'* LSUB (\\HasNoChildren) "/" INBOX\r\n2 OK ' in found
    assert found.count(b'* LIST (\\HasNoChildren) "/" INBOX\r\n') == 2
    assert b"* STATUS INBOX (UIDNEXT %d MESSAGES 1 UNSEEN 1 RECENT 0)\r\n5 OK " % (UID + 1) in found
    assert b"* 1 FETCH (UID %d FLAGS ())\r\n7 OK " % UID in found
    assert b"+ idling\r\n9 OK IDLE completed.\r\n10 OK " in found
    # Reading it marks it, and says so.
    assert b"FLAGS (\\Seen))\r\n11 OK " in found
    assert found.endswith(b"12 OK CLOSE completed.\r\n")


@pytest.mark.parametrize(
    "command",
    [
        b"APPEND Sent {10}\r\n",
        b"APPEND Drafts (\\Draft) {10}\r\n",
        b"COPY 1 Trash\r\n",
        b"UID COPY 1:* Trash\r\n",
        b"UID MOVE 1:* Trash\r\n",
        b"MOVE 1 Trash\r\n",
        b"CREATE Archive\r\n",
        b"DELETE Archive\r\n",
        b"RENAME Archive Old\r\n",
        b"STORE 1 +FLAGS (\\Deleted)\r\n",
        b"UID STORE 1:* FLAGS.SILENT (\\Seen \\Deleted)\r\n",
    ],
)
def test_whatever_would_add_move_or_delete_mail_is_refused_and_stays_with_the_client(command: bytes) -> None:
    found = selected(b"a " + command + b"b NOOP\r\n")
    assert found.startswith(b"a NO [NOPERM] Mail on this device is blocked.")
    assert found.endswith(b"b OK NOOP completed.\r\n")
    assert b"\\Deleted" not in selected(b"a " + command + b"b FETCH 1 (FLAGS)\r\n")


def test_a_large_message_that_is_sent_without_being_asked_for_is_passed_over() -> None:
    """LITERAL+ is not offered; a program that remembers it from the mail server sends all the same."""
    mail = b"x" * 3_000_000
    sent = b"a APPEND Sent {%d+}\r\n" % len(mail) + mail + b"\r\nb NOOP\r\n"
    mailbox, found = NoticeMailbox(NOTICE), b""
    for at in range(0, len(sent), 50_000):
        mailbox.receive(sent[at : at + 50_000])
        while (event := mailbox.next()) is not None:
            assert isinstance(event, Said)
            found += event.octets
        assert not mailbox.crowded
    assert (
        found
        == b"a NO [NOPERM] Mail on this device is blocked. See the message in the Inbox.\r\nb OK NOOP completed.\r\n"
    )
    assert mailbox.at_rest


def test_flags_hold_for_the_session() -> None:
    found = selected(
        b"1 STORE 1 +FLAGS (\\Seen \\Flagged $Junk)\r\n2 FETCH 1 FLAGS\r\n3 STORE 1 -FLAGS \\Seen\r\n"
        b"4 UID STORE %d FLAGS (\\Answered)\r\n5 UID STORE 99 +FLAGS (\\Seen)\r\n6 SEARCH UNSEEN\r\n"
        b"7 SEARCH FLAGGED\r\n" % UID
    )
    assert b"* 1 FETCH (FLAGS (\\Seen \\Flagged))\r\n1 OK " in found
    assert b"* 1 FETCH (FLAGS (\\Seen \\Flagged))\r\n2 OK " in found
    assert b"* 1 FETCH (FLAGS (\\Flagged))\r\n3 OK " in found
    assert b"* 1 FETCH (UID %d FLAGS (\\Answered))\r\n4 OK STORE completed.\r\n5 OK STORE completed.\r\n" % UID in found
    assert b"* SEARCH 1\r\n6 OK " in found
    assert b"* SEARCH\r\n7 OK " in found


def test_what_is_examined_is_not_marked() -> None:
    found = said(b"e EXAMINE INBOX\r\n1 FETCH 1 BODY[]\r\n2 FETCH 1 FLAGS\r\n3 STORE 1 +FLAGS (\\Seen)\r\n")
    assert b"* 1 FETCH (FLAGS ())\r\n2 OK " in found
    assert b"3 NO [NOPERM] " in found


ITEMS = {
    b"ALL": rb"FLAGS \(\) INTERNALDATE \"[^\"]+\" RFC822\.SIZE \d+ ENVELOPE \(.*\)",
    b"FULL": rb"FLAGS \(\) INTERNALDATE \"[^\"]+\" RFC822\.SIZE \d+ ENVELOPE \(.*\) BODY \(.*\)",
    b"FAST": rb"FLAGS \(\) INTERNALDATE \"[^\"]+\" RFC822\.SIZE \d+",
    b"BODYSTRUCTURE": (
        rb'BODYSTRUCTURE \("TEXT" "PLAIN" \("CHARSET" "utf-8"\) NIL NIL "QUOTED-PRINTABLE" \d+ \d+ NIL NIL NIL NIL\)'
    ),
    b"(BODY.PEEK[1])": rb"BODY\[1\] \{%d\}\r\n.*" % len(NOTICE.text),
    b"(BODY.PEEK[1.MIME])": rb"BODY\[1\.MIME\] \{\d+\}\r\nContent-Type: .*\r\nContent-Transfer-Encoding: .*\r\n\r\n",
    b"(BODY.PEEK[2])": rb"BODY\[2\] NIL",
    b"(body.peek[header.fields.not (from to)])": (
        rb"BODY\[HEADER\.FIELDS\.NOT \(FROM TO\)\] \{\d+\}\r\nSubject: .*\r\n\r\n"
    ),
    b'(BODY.PEEK[HEADER.FIELDS ("Subject")])': rb'BODY\[HEADER\.FIELDS \("SUBJECT"\)\] \{43\}\r\nSubject: .*\r\n\r\n',
    b"(BODY.PEEK[]<0.10>)": rb'BODY\[\]<0> \{10\}\r\nFrom: "Mai',
    b"(BODY.PEEK[]<99999.10>)": rb"BODY\[\]<99999> \{0\}\r\n",
    b"BODY.PEEK[TEXT]<5.3>": rb"BODY\[TEXT\]<5> \{3\}\r\non ",
}


@pytest.mark.parametrize("items", ITEMS)
def test_fetch(items: bytes) -> None:
    found = selected(b"a FETCH 1 " + items + b"\r\n")
    assert re.fullmatch(rb"\* 1 FETCH \(" + ITEMS[items] + rb"\)\r\na OK FETCH completed\.\r\n", found, re.DOTALL), (
        found
    )


@pytest.mark.parametrize(
    "items",
    [
        b"",
        b"()",
        b"NOTHING",
        b"BODY[",
        b"BODY[]<1>",
        b"BODY[X]",
        b"(FLAGS",
        b"MODSEQ",
        b"(" + b"UID " * 65 + b")",
        b"BINARY[1]",
    ],
)
def test_fetch_of_what_there_is_not(items: bytes) -> None:
    assert selected(b"a FETCH 1 " + items + b"\r\n").startswith(b"a BAD ")


@pytest.mark.parametrize(
    ("numbers", "only", "found"),
    [
        *((b"1", 1, True), (b"2", 1, False), (b"1:3", 2, True), (b"3:1", 2, True), (b"*", 7, True), (b"9:*", 7, True)),
        *((b"1:6", 7, False), (b"1,7", 7, True), (b"*:3", 7, True), (b"8,9:12", 7, False)),
    ],
)
def test_sets(numbers: bytes, only: int, found: bool) -> None:
    assert holds(numbers, only) is found


@pytest.mark.parametrize("numbers", [b"", b",", b"1:", b"x", b"1:2:3", b"-1", b"9" * 11])
def test_sets_that_are_none(numbers: bytes) -> None:
    with pytest.raises(BadCommand):
        holds(numbers, 1)


@pytest.mark.parametrize(
    ("criteria", "hit"),
    [
        *((b"ALL", True), (b"UNSEEN", True), (b"SEEN", False), (b"DELETED", False), (b"UNDELETED", True)),
        *((b"UID %d" % UID, True), (b"UID 1:5", False), (b"1:*", True), (b"2:3", False), (b"UID 1:*", True)),
        *((b"SINCE 1-Jan-2026 NOT DELETED", True), (b'CHARSET UTF-8 SUBJECT "x"', True), (b"OR SEEN DELETED", True)),
    ],
)
def test_search(criteria: bytes, hit: bool) -> None:
    assert selected(b"a SEARCH " + criteria + b"\r\n").startswith(b"* SEARCH 1\r\n" if hit else b"* SEARCH\r\n")
    assert selected(b"a UID SEARCH " + criteria + b"\r\n").startswith(
        b"* SEARCH %d\r\n" % UID if hit else b"* SEARCH\r\n"
    )


def test_other_mailboxes_are_not_there() -> None:
    found = said(b'1 SELECT Sent\r\n2 STATUS Drafts (MESSAGES)\r\n3 LIST "" "Sent"\r\n4 FETCH 1 FLAGS\r\n')
    assert found.startswith(b"1 NO [NONEXISTENT] ")
    assert b"\r\n2 NO [NONEXISTENT] " in found
    assert b"\r\n3 OK LIST completed.\r\n4 BAD No mailbox is selected.\r\n" in found


@pytest.mark.parametrize("pattern", [b"*", b"%", b"INBOX", b"inb*", b"%y*", b"*" * 64, b"*I*N*B*O*X*"])
def test_list(pattern: bytes) -> None:
    found = said(b'1 LIST "" "%b"\r\n' % pattern)
    assert (b"INBOX\r\n" in found) is (b"y" not in pattern)
    assert said(b'1 LIST "" ""\r\n').startswith(b'* LIST (\\Noselect) "/" ""\r\n')


@pytest.mark.parametrize(
    "command",
    [
        b"LOGIN anna secret",
        b"AUTHENTICATE PLAIN",
        b"STARTTLS",
        b"COMPRESS DEFLATE",
        b"UNAUTHENTICATE",
        b"X",
        b"UID X 1",
    ],
)
def test_there_is_no_way_on_from_here(command: bytes) -> None:
    assert selected(b"a " + command + b"\r\n").startswith(b"a BAD ")


def test_bad_commands_are_counted() -> None:
    _, (ended,) = answered(b"a X\r\n" * (BAD_COMMANDS_MOST + 5))
    assert ended.reason == "too_many_bad_commands"


@pytest.mark.parametrize("octets", [b"a NOOP\n", b"x" * 20_000, b"a NOOP\r\r\n"])
def test_what_cannot_be_told_apart_ends_it(octets: bytes) -> None:
    said, (ended,) = answered(octets)
    assert said.startswith(b"* BYE ")
    assert ended.octets == said


CONVERSATION = (
    b"1 LIST {0}\r\n {1}\r\n*\r\n2 SELECT {5}\r\nINBOX\r\n3 APPEND x {6+}\r\nabcdef\r\n4 APPEND x {9000+}\r\n"
    + b"y" * 9000
    + b"\r\n"
    b"5 UID FETCH 1:* (FLAGS BODY[])\r\n6 IDLE\r\nDONE\r\n7 X\r\n8 STATUS INBOX (UNSEEN)\r\n9 LOGOUT\r\n"
)


@thorough
@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=20).map(sorted))
def test_the_same_at_every_split(cuts: list[int]) -> None:
    assert answered(CONVERSATION, cuts) == answered(CONVERSATION)


FURTHER = (b"\r\n", b" ", b"a", b"FETCH", b"{9999999999}")


@thorough
@given(st.lists(st.sampled_from([*CONVERSATION.split(b" "), *FURTHER]), max_size=60))
def test_every_answer_is_whole(words: list[bytes]) -> None:
    """Whatever is asked: a last line of ours may stand behind each answer."""
    follower = ResponseFollower()
    found = said(SELECTED + b" ".join(words) + b"\r\n")
    follower.follow(found)
    assert follower.at_boundary


class InMemory(imaplib.IMAP4):
    """Python's client over a notice mailbox in the same process."""

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self._mailbox = NoticeMailbox(NOTICE)
        self._waiting = b"* PREAUTH [CAPABILITY IMAP4rev1 IDLE] in\r\n"

    def send(self, data: Buffer) -> None:
        self._mailbox.receive(bytes(data))
        while (event := self._mailbox.next()) is not None:
            self._waiting += event.octets

    def read(self, size: int) -> bytes:
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found

    def readline(self) -> bytes:
        line, end, self._waiting = self._waiting.partition(b"\n")
        return line + end

    def shutdown(self) -> None:
        pass


def test_pythons_client_reads_it() -> None:
    session = InMemory()
    assert session.select("INBOX") == ("OK", [b"1"])
    assert session.response("UIDVALIDITY")[1] == [b"%d" % UIDVALIDITY]
    assert session.uid("SEARCH", "ALL") == ("OK", [b"%d" % UID])
    parts = session.fetch("1", "(RFC822)")[1]
    assert isinstance(parts[0], tuple)
    assert parts[0][1] == NOTICE.octets
    assert session.append("Sent", "", "", b"Subject: x\r\n\r\n")[0] == "NO"
    assert session.expunge() == ("OK", [None])
    assert session.close()[0] == "OK"
    assert session.logout()[0] == "BYE"
