"""The notice mailbox: the same at every split, its answers whole, and nothing in it but the notice.

What a client says is read once whole and once in pieces. What it is told is read by the reading of a mail program:
answers end where their literals say, each is one of ours, and every literal is a part of the one message.
"""

import re
from random import Random

from gateway.protocols.imap.notice_mailbox import NoticeMailbox
from gateway.protocols.imap.notice_message import Facts, compose
from gateway.protocols.login import Ended
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.support.boundaries import ImapReading, boundaries

NOTICE = compose(Facts("anna@corp.example", "TikTok", "Remove it.", 1_790_000_000.0, 3))
SPLIT_MOST = 8
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")
_LINE = re.compile(
    rb"(?:\* (?:[A-Z]+\b|[01] [A-Z]+\b)|\+ (?:OK|idling)|[!#$&',-/0-9:-\[\]^_`a-z|}~*]{1,64} (?:OK|NO|BAD)\b)"
)


def _said(pieces: list[bytes]) -> tuple[bytes, list[str]]:
    """All that is said to these octets, and how it ends."""
    mailbox, said, ended = NoticeMailbox(NOTICE), b"", list[str]()
    for piece in pieces:
        mailbox.receive(piece)
        while (event := mailbox.next()) is not None:
            said += event.octets
            if isinstance(event, Ended):
                ended.append(event.reason)
    return said, ended


def check(octets: bytes) -> str:
    """See the module."""
    whole = _said([octets])
    for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
        same(f"split at {at}", whole, _said([octets[:at], octets[at:]]))
    same("octet by octet", whole, _said([octets[at : at + 1] for at in range(len(octets))]))
    said, ended = whole
    hold("one end", len(ended) <= 1)
    hold("whole answers", boundaries(ImapReading(), said)[-1])
    for line in _without_literals(said):
        hold(f"a line of ours: {line!r:.80}", _LINE.match(line))
    return ACCEPTED if re.search(rb"(?:\A|\n)[a-z] OK ", said) else REFUSED


def _without_literals(said: bytes) -> list[bytes]:
    """The lines, each literal in them replaced; all of them are parts of the notice, or its fields."""
    lines, at, line = list[bytes](), 0, b""
    while at < len(said):
        end = said.index(b"\r\n", at) + 2
        line += said[at:end]
        found = _LITERAL.search(said, max(at, end - 24), end)
        at = end
        if found is not None and found.end() == end and line.startswith(b"* 1 FETCH "):
            literal = said[end : end + int(found[1])]
            same("its length", int(found[1]), len(literal))
            fields = set(literal.splitlines()) - {b""} <= set(NOTICE.header.splitlines())
            hold("a part of the notice", literal in NOTICE.octets or fields)
            at += len(literal)
            continue
        lines.append(line)
        line = b""
    hold("no line is half", not line)
    return lines


_COMMANDS = (
    *(b"CAPABILITY", b"NOOP", b"SELECT INBOX", b'EXAMINE "inbox"', b"SELECT Sent", b'LIST "" "*"', b'LIST "" %'),
    *(b"LSUB {0+}\r\n *", b"STATUS INBOX (MESSAGES UNSEEN X)", b"FETCH 1 (UID FLAGS)", b"FETCH 1:* BODY[]"),
    *(
        b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (Subject X)] RFC822.SIZE)",
        b"FETCH * BODY[TEXT]<0.10>",
        b"FETCH 1 FULL",
    ),
    *(b"FETCH 1 BODY[1.MIME]", b"FETCH 1 BODY[9]<3.4294967295>", b"FETCH 1 (RFC822 RFC822.HEADER)", b"FETCH 2 X"),
    *(b"STORE 1 +FLAGS (\\Seen)", b"UID STORE * -FLAGS.SILENT \\Flagged", b"STORE 1 FLAGS \\Deleted"),
    *(b"SEARCH UNSEEN", b"UID SEARCH CHARSET X UID 1:*", b"SEARCH NOT ALL", b"EXPUNGE", b"CLOSE", b"UNSELECT"),
    *(b"APPEND INBOX {3}\r\nabc", b"APPEND x {3+}\r\nabc", b"APPEND x {99999+}\r\nabc", b"COPY 1 x", b"UID MOVE 1 x"),
    *(b"IDLE\r\nDONE", b"IDLE\r\nx", b'ID ("a" "b")', b"ENABLE X", b"NAMESPACE", b"SUBSCRIBE {5}\r\nINBOX", b"LOGOUT"),
    *(b"LOGIN a b", b"AUTHENTICATE PLAIN", b"UID", b"CHECK", b"XLIST a b", b"UNAUTHENTICATE"),
)


def grow(random: Random) -> bytes:
    """Some commands, the Inbox mostly selected before."""
    octets = b"s SELECT INBOX\r\n" if random.random() < 0.7 else b""
    while not octets or random.random() < 0.6:
        tag = random.choice((b"a", b"b", b"c1", b"", b"a}", b"*"))
        octets += tag + b" " + random.choice(_COMMANDS) + b"\r\n"
    return octets


TARGET = Target(
    "notices",
    "the notice mailbox at every split; its answers by the reading of a mail program",
    check,
    grow,
    (
        *(
            b"\r\n",
            b" ",
            b"a ",
            b"UID ",
            b"FETCH 1 ",
            b"BODY[",
            b"]",
            b"<0.1>",
            b"(",
            b")",
            b"{5}",
            b"{5+}",
            b'"',
            b"\\",
        ),
        *(b"HEADER.FIELDS", b".PEEK", b"1:*", b"*", b",", b"4294967295", b"FLAGS", b"IDLE", b"DONE"),
    ),
    2048,
)
