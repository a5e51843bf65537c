"""A notice in the place of the mailbox, as mail programs see it; and that nothing of it reaches the real one."""

import asyncio
import imaplib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import imapclient
import pytest
import pytest_asyncio

from tests.live.mail.conftest import TEXT, Way, tables
from tests.live.mail.dovecot import Dovecot
from tests.live.mail.programs import Fetchmail, Mbsync
from tests.live.mail.visits import MAIL, clean, deliver, dirty, imap_session, once_by_imap
from tests.live.mail_servers import PASSWORD
from tests.support.running import running
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

APP = b"Because of this app: TikTok (com.zhiliaoapp.musically)"
WITHIN_SECONDS = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def way(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Way]:
    """A gateway in the clear that shows notices."""
    more = tables("clear", dovecot).replace("[imap]\n", '[imap]\nrefusal = "notice"\n')
    directory = tmp_path_factory.mktemp("notice")
    async with running(directory, "http://127.0.0.1:9", more=more) as gateway, agent_of(gateway) as agent:
        await enforce_tiktok(gateway, TEXT)
        yield Way("clear", gateway, agent, dovecot.certificates.trust(), dovecot)


def state(way: Way, user: str) -> object:
    """Everything of the real Inbox that a mail program could have changed."""
    session = imap_session(way, user, direct=True)
    session.select("INBOX", readonly=True)
    found = session.fetch("1:*", "(UID FLAGS RFC822.SIZE)"), session.list(), session.response("UIDVALIDITY")
    session.logout()
    return found


async def test_never_for_an_account_that_was_not_seen_before(way: Way) -> None:
    await dirty(way, "noticetls")
    with pytest.raises(imaplib.IMAP4.error, match="CONTACTADMIN"):
        await asyncio.to_thread(once_by_imap, way, "noticetls")


async def test_mbsync_keeps_its_mail_and_goes_on_afterwards(way: Way, tmp_path: Path) -> None:
    """It stops at the notice's UIDVALIDITY, its local mail untouched, with what was done there waiting."""
    user = "noticeclear"
    program = Mbsync(way, tmp_path, user)
    await asyncio.to_thread(deliver, way, user, MAIL, MAIL)
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    mails = program.mails
    assert len(mails) == 2
    before = await asyncio.to_thread(state, way, user)
    await asyncio.to_thread(program.read_all)
    await dirty(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 1, done.said
    assert "UIDVALIDITY change" in done.said
    assert program.mails == mails
    assert await asyncio.to_thread(state, way, user) == before
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    assert program.mails == mails
    # What was read meanwhile is told to the real mailbox now.
    assert str(await asyncio.to_thread(state, way, user)).count("Seen") == 2


async def test_fetchmail_fetches_the_notice(way: Way, tmp_path: Path) -> None:
    user = "noticestarttls"
    program = Fetchmail(way, tmp_path, user, "imap")
    await asyncio.to_thread(deliver, way, user, MAIL)
    await clean(way, user)
    assert (await asyncio.to_thread(program.run)).code == 0
    before = await asyncio.to_thread(state, way, user)
    await dirty(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    assert program.fetched.count(b"The minutes.") == 1
    assert APP in program.fetched
    assert TEXT.encode() in program.fetched
    assert await asyncio.to_thread(state, way, user) == before


async def test_programs_built_on_imaplib_read_it_wait_and_have_mail_again(way: Way) -> None:
    user = "toldclear"
    await asyncio.to_thread(deliver, way, user, MAIL)
    await clean(way, user)
    await asyncio.to_thread(lambda: imap_session(way, user).logout())
    before = await asyncio.to_thread(state, way, user)
    await dirty(way, user)
    client = await asyncio.to_thread(imapclient.IMAPClient, "127.0.0.1", way.port("imap"), ssl=False, timeout=20)

    def work() -> None:
        client.login(user, PASSWORD)
        assert [name for _, _, name in client.list_folders()] == ["INBOX"]
        assert client.list_sub_folders()
        assert client.folder_status("INBOX", ["MESSAGES"]) == {b"MESSAGES": 1}
        assert client.select_folder("INBOX")[b"EXISTS"] == 1
        (uid,) = client.search()
        found = client.fetch([uid], ["ENVELOPE", "BODYSTRUCTURE", "BODY[]", "FLAGS"])[uid]
        assert found[b"ENVELOPE"].subject == b"Mail on this device is blocked"
        assert APP in found[b"BODY[]"]
        assert client.add_flags([uid], ["\\Flagged"])[uid] == (b"\\Seen", b"\\Flagged")
        changes: tuple[Callable[[], object], ...] = (
            lambda: client.append("INBOX", MAIL),
            lambda: client.copy([uid], "Trash"),
            lambda: client.delete_messages([uid]),
            lambda: client.create_folder("New"),
        )
        for change in changes:
            with pytest.raises(imapclient.exceptions.IMAPClientError, match="NOPERM"):
                change()
        client.expunge()
        client.noop()
        client.idle()

    await asyncio.to_thread(work)
    assert await asyncio.to_thread(state, way, user) == before
    await clean(way, user)
    told = await asyncio.to_thread(client.idle_check, WITHIN_SECONDS)
    assert told[0][0] == b"BYE"
    client.shutdown()
    session = await asyncio.to_thread(imap_session, way, user)
    assert (await asyncio.to_thread(session.select, "INBOX"))[1] == [b"1"]
    session.logout()


async def test_curl_reads_it(way: Way) -> None:
    user = "toldtls"
    await clean(way, user)
    await asyncio.to_thread(lambda: imap_session(way, user).logout())
    await dirty(way, user)
    words = ["curl", "-sS", "--max-time", "20", "-u", f"{user}:{PASSWORD}"]
    process = await asyncio.create_subprocess_exec(
        *words, f"imap://127.0.0.1:{way.port('imap')}/INBOX;MAILINDEX=1", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert APP in out
