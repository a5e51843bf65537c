"""The same script with the gateway and without it: the mail server's answers are the same, octet for octet.

But for the greeting and the login's list of capabilities, which are ours, and what is another each time: how long
Dovecot took, and the number it gives to a new mailbox.
"""

import asyncio
import hashlib
import os
import re

import pytest

from tests.live.mail.conftest import Way
from tests.live.mail.visits import clean, imap_session
from tests.live.mail_servers import PASSWORD
from tests.support.mail_fronted import Peer

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

HUGE = 50 << 20
LINES = b"From: anna@corp.example\r\nSubject: {5}\r\n\r\n* 1 FETCH (BODY[] {3}\r\n)\r\nzz OK done\r\n* BYE\r\n" * 40
CR_IN_IT = b"Subject: b\r\n\r\n}\r\r\n{9}\r\n"
SCRIPT = (
    b"q0 CREATE Script\r\n",
    b"q1 SELECT Script\r\n",
    b'q2 APPEND Script (\\Seen) "05-Nov-2026 09:07:03 +0000" {%d+}\r\n%b\r\n' % (len(LINES), LINES),
    b'q3 APPEND Script "05-Nov-2026 09:07:03 +0000" {%d}\r\n' % len(CR_IN_IT),
    CR_IN_IT + b"\r\n",
    b"q4 NOOP\r\n",
    b"q5 FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n",
    b"q6 UID FETCH 1 BODY[TEXT]<7.30>\r\n",
    b'q7 SEARCH SUBJECT "{5}"\r\n',
    b"q8 STORE 1 +FLAGS.SILENT (\\Flagged)\r\n",
    b"q9 ENABLE CONDSTORE QRESYNC\r\n",
    b"r0 STATUS Script (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)\r\n",
    b"r1 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)\r\n",
    b"r2 IDLE\r\n",
    b"DONE\r\n",
    b"r3 SELECT {9}\r\n",
    b"Nothing }\r\n",
    b'r4 SELECT "x {5}"\r\n',
    b"r5 FETCH 9 (FLAGS)\r\n",
    b"r6 NONSENSE {4+}\r\nabcd\r\n",
    b"r7 ID NIL\r\n",
    b"r8 NAMESPACE\r\n",
    b"r9 SELECT Script\r\n",
    b"s0 UID STORE 2 +FLAGS (\\Deleted)\r\n",
    b"s1 EXPUNGE\r\n",
    b"".join(b"p%d NOOP\r\n" % number for number in range(100)),
    b"s2 CLOSE\r\n",
    b"s3 DELETE Script\r\n",
    b"s4 LOGOUT\r\n",
)
ANOTHER_EACH_TIME = re.compile(rb" \([0-9.]+ \+ [0-9. +]+ secs\)|(?<=UIDVALIDITY )[0-9]+|(?<=APPENDUID )[0-9]+")


async def conversation(peer: Peer, user: str, *, octet_by_octet: bool) -> bytes:
    """What the mail server says to the script, from behind the login on."""
    peer.send(b'a LOGIN "%b" "%b"\r\n' % (user.encode(), PASSWORD.encode()))
    said = b""
    while not (line := await peer.line()).startswith(b"a OK "):
        assert line
    for step in SCRIPT:
        if octet_by_octet:
            for octet in step:
                peer.send(bytes([octet]))
                await peer.writer.drain()
                await asyncio.sleep(0)
        else:
            peer.send(step)
        said += await until_answered(peer, step)
    return ANOTHER_EACH_TIME.sub(b"", said)


async def until_answered(peer: Peer, step: bytes) -> bytes:
    """Up to the answer to a step's last command, or the wish for more."""
    tag = step.splitlines()[-1].partition(b" ")[0]
    asks_on = re.search(rb"\{[0-9]+\}\r\n\Z|IDLE\r\n\Z", step) is not None
    if b" " not in step.splitlines()[-1] or (len(tag) != 2 and not tag.startswith(b"p")):
        # It goes on with a command that was begun before.
        tag = b""
    found, rest = b"", 0
    while True:
        line = await peer.line()
        assert line, found
        found += line
        if asks_on and line.startswith(b"+ "):
            return found
        if re.match(rb"[q-s][0-9] (?:OK|NO|BAD) ", line) and tag in (b"", line[:2]):
            return found
        if tag.startswith(b"p") and line.startswith(tag + b" "):
            return found
        if line.startswith(b"* ") and (announced := re.search(rb"\{([0-9]+)\}\r\n\Z", line)):
            rest = int(announced[1])
        while rest:
            found += await peer.exactly(rest)
            line = await peer.line()
            found += line
            again = re.search(rb"\{([0-9]+)\}\r\n\Z", line)
            rest = int(again[1]) if again else 0


async def direct_peer(way: Way) -> Peer:
    """A raw connection to the mail server itself."""
    peer = Peer(*await asyncio.open_connection("127.0.0.1", way.dovecot.ports["imap"], limit=1 << 20))
    way.peers.append(peer)
    await peer.line()
    return peer


async def test_octet_for_octet(way: Way) -> None:
    """Status texts and bodies that look like literals, literals of both kinds, extensions, mistakes, 100 at once."""
    user = f"script{way.name}"
    await clean(way, user)
    direct = await conversation(await direct_peer(way), user, octet_by_octet=False)
    assert b"q5 OK " in direct
    assert LINES in direct
    assert b"p99 OK " in direct
    assert direct.endswith(b"s4 OK Logout completed.\r\n")
    assert await conversation(await way.imap(), user, octet_by_octet=False) == direct
    assert await conversation(await way.imap(), user, octet_by_octet=True) == direct


async def test_a_mail_of_50_mb(secured: Way) -> None:
    """From the mail server to the client; one of 25 MB goes the other way in ``test_dovecot.py``."""
    user = "hugetls"
    await clean(secured, user)
    line = os.urandom(38).hex().encode() + b"\r\n"
    mail = b"Subject: Huge\r\n\r\n" + line * (HUGE // len(line))

    def whole() -> None:
        direct = imap_session(secured, user, direct=True)
        assert direct.append("INBOX", "", "", mail)[0] == "OK"
        direct.logout()
        session = imap_session(secured, user)
        session.select("INBOX")
        parts = session.fetch("1", "(BODY.PEEK[])")[1]
        assert isinstance(parts[0], tuple)
        assert hashlib.sha256(parts[0][1]).digest() == hashlib.sha256(mail).digest()
        session.store("1", "+FLAGS", "\\Deleted")
        session.expunge()
        session.logout()

    await asyncio.to_thread(whole)
