"""Real mail programs through a whole gateway to a real Dovecot: as without it, refused in words, and cut."""

import asyncio
import imaplib
import os
import poplib
import re
import ssl
import subprocess
import time
from contextlib import suppress

import pytest

from tests.live.mail.conftest import TEXT, Way
from tests.live.mail.visits import MAIL, clean, deliver, dirty, imap_session, once_by_imap, once_by_pop3, pop_session
from tests.live.mail_servers import PASSWORD
from tests.support.mail_fronted import Peer

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

LARGE = {"clear": 1 << 20, "starttls": 1 << 20, "tls": 25 << 20}
"""One that takes its time by one way is enough."""
TOOK = re.compile(r" \([0-9.]+ \+ [0-9. +]+ secs\)")
"""Dovecot says it behind every answer."""
AT_ONCE_SECONDS = 2.0


def answered_until_cut(session: poplib.POP3) -> int:
    """How many commands are answered before the connection ends; 1000: it does not."""
    for number in range(1000):
        try:
            session.noop()
        except (poplib.error_proto, OSError):
            return number
        time.sleep(0.01)
    return 1000


def said(session: imaplib.IMAP4) -> str:
    """What a mail program reads of a mailbox with one small mail and a large one, without how long it took."""
    found: list[object] = [session.select("INBOX"), session.list(), session.status("INBOX", "(MESSAGES UIDNEXT)")]
    found += [session.uid("SEARCH", "ALL"), session.fetch("1:*", "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)")]
    found += [session.fetch("1", "(BODY.PEEK[])"), session.fetch("2", "(BODY.PEEK[]<0.1000>)"), session.noop()]
    with suppress(imaplib.IMAP4.error):
        found.append(session.select('"Nothing {5}"'))
    return TOOK.sub("", repr(found))


async def test_as_without_the_gateway(way: Way) -> None:
    user = f"reader{way.name}"
    await clean(way, user)
    large = (
        b"Subject: Large\r\n\r\n" + b"\r\n".join([os.urandom(35).hex().encode()] * (LARGE[way.name] // 72)) + b"\r\n"
    )

    def whole() -> None:
        through = imap_session(way, user)
        assert through.append("INBOX", "", "", MAIL)[0] == "OK"
        assert through.append("INBOX", "", "", large)[0] == "OK"
        direct = imap_session(way, user, direct=True)
        # Whoever looks first finds the mails to be recent; the two should differ in nothing.
        direct.select("INBOX")
        assert said(through) == said(direct)
        through.select("INBOX")
        _, parts = through.fetch("2", "(BODY.PEEK[])")
        assert isinstance(parts[0], tuple)
        assert parts[0][1] == large
        assert through.logout()[0] == direct.logout()[0] == "BYE"

    await asyncio.to_thread(whole)


async def test_a_hundred_commands_at_once_and_a_literal_octet_by_octet(way: Way) -> None:
    user = f"reader{way.name}"
    peer = await way.imap()
    login = b"a LOGIN {%d}\r\n%b {%d}\r\n%b\r\n" % (len(user), user.encode(), len(PASSWORD), PASSWORD.encode())
    for octet in login:
        peer.send(bytes([octet]))
        await peer.writer.drain()
        await asyncio.sleep(0)
    assert await peer.line() == await peer.line() == b"+ OK\r\n"
    assert (await peer.line()).startswith(b"a OK [CAPABILITY ")
    peer.send(b"".join(b"n%d NOOP\r\n" % number for number in range(100)))
    for number in range(100):
        assert (await peer.line()).startswith(b"n%d OK " % number)
    peer.close()


async def test_the_mail_server_knows_whose_connection_it_is(way: Way) -> None:
    user = f"reader{way.name}"
    peer = await way.imap("127.0.0.77")
    peer.send(b'a LOGIN "%b" "%b"\r\n' % (user.encode(), PASSWORD.encode()))
    await peer.line()
    async with asyncio.timeout(10):
        while f"user=<{user}>, method=PLAIN, rip=127.0.0.77," not in way.dovecot.said():  # noqa: ASYNC110  (a log)
            await asyncio.sleep(0.02)
    peer.close()


async def test_a_wrong_password_never_learns_of_a_ban(way: Way) -> None:
    user = f"refused{way.name}"
    await dirty(way, user)
    peer = await way.imap()
    answer = await peer.ask(b'a LOGIN "%b" "wrong"\r\n' % user.encode())
    assert answer == b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
    peer.close()


async def test_refused_in_words_and_mail_again_after_a_clean_report(way: Way) -> None:
    user = f"syncing{way.name}"
    await dirty(way, user)
    with pytest.raises(imaplib.IMAP4.error) as refusal:
        await asyncio.to_thread(once_by_imap, way, user)
    assert "com.zhiliaoapp.musically" in str(refusal.value)
    assert TEXT in str(refusal.value)
    assert "[CONTACTADMIN]" in str(refusal.value)
    with pytest.raises(poplib.error_proto, match=r"\[SYS/PERM\].*com\.zhiliaoapp\.musically"):
        await asyncio.to_thread(once_by_pop3, way, user)
    await clean(way, user)
    await asyncio.to_thread(once_by_imap, way, user)
    await asyncio.to_thread(once_by_pop3, way, user)


async def session_of(way: Way, user: str) -> Peer:
    """A raw IMAP session with the Inbox open."""
    await clean(way, user)
    peer = await way.imap()
    peer.send(b'a LOGIN "%b" "%b"\r\nb SELECT INBOX\r\n' % (user.encode(), PASSWORD.encode()))
    while not (await peer.line()).startswith(b"b OK "):
        pass
    return peer


async def test_cut_while_it_waits_for_mail(way: Way) -> None:
    user = f"idle{way.name}"
    peer = await session_of(way, user)
    assert await peer.ask(b"c IDLE\r\n") == b"+ idling\r\n"
    await asyncio.to_thread(deliver, way, user, MAIL)
    assert await peer.line() == b"* 1 EXISTS\r\n"
    began = time.monotonic()
    await dirty(way, user)
    said = await peer.rest()
    assert time.monotonic() - began < AT_ONCE_SECONDS
    lines = [line for line in said.splitlines() if not line.endswith(b" RECENT")]
    assert len(lines) == 1
    assert lines[0].startswith(b"* BYE [ALERT] Mail on this device is blocked")
    assert TEXT.encode() in lines[0]


async def test_cut_within_a_large_mail(way: Way) -> None:
    """Not a word of ours stands in the mail, and its end never comes."""
    user = f"fetch{way.name}"
    await asyncio.to_thread(deliver, way, user, MAIL + os.urandom(1 << 20).hex().encode() * 10)
    peer = await session_of(way, user)
    peer.send(b"c FETCH 1 BODY[]\r\n")
    begun = await peer.line()
    assert b"{" in begun
    size = int(begun.rpartition(b"{")[2].partition(b"}")[0])
    await dirty(way, user)
    found = b""
    try:
        async with asyncio.timeout(AT_ONCE_SECONDS + 10):
            while octets := await peer.reader.read(1 << 16):
                found += octets
    except (ConnectionError, ssl.SSLError):
        pass
    assert len(found) < size
    assert b"BYE" not in found[-600:]


async def test_pop3(way: Way) -> None:
    user = f"pop{way.name}"
    await asyncio.to_thread(deliver, way, user, MAIL, MAIL)
    await clean(way, user)
    session = await asyncio.to_thread(pop_session, way, user)
    assert session.stat()[0] == 2
    assert b"\r\n".join(session.retr(1)[1]) + b"\r\n" == MAIL
    assert len(session.uidl()[1]) == 2
    session.dele(1)
    await dirty(way, user)
    assert await asyncio.to_thread(answered_until_cut, session) < 1000
    session.close()
    # Cut without QUIT: what was marked as deleted is still there (RFC 1939 §6).
    await clean(way, user)
    again = await asyncio.to_thread(pop_session, way, user)
    assert again.stat()[0] == 2
    again.quit()


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_another_mail_program(way: Way, protocol: str) -> None:
    """curl: AUTHENTICATE with an initial response, where imaplib and poplib say LOGIN, USER and PASS."""
    user = f"curl{way.name}"
    await asyncio.to_thread(deliver, way, user, MAIL)
    await clean(way, user)
    assert b"The minutes." in (await curl(way, user, protocol)).stdout
    await dirty(way, user)
    refused = await curl(way, user, protocol)
    assert refused.returncode == 67  # CURLE_LOGIN_DENIED
    await clean(way, user)
    assert b"The minutes." in (await curl(way, user, protocol)).stdout


async def curl(way: Way, user: str, protocol: str) -> subprocess.CompletedProcess[bytes]:
    """Read the first mail."""
    scheme = f"{protocol}s" if way.name == "tls" else protocol
    path = "INBOX;MAILINDEX=1" if protocol == "imap" else "1"
    words = ["curl", "-sS", "--max-time", "30", "--cacert", str(way.dovecot.certificates.authority)]
    words += ["--ssl-reqd"] if way.name == "starttls" else []
    words += ["-u", f"{user}:{PASSWORD}", f"{scheme}://127.0.0.1:{way.port(protocol)}/{path}"]
    return await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False, timeout=60)
