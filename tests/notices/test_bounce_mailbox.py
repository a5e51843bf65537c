"""The mailbox of bounces by IMAP: read in bounds, left as it was but for reports, and hostile servers."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest

from gateway.notices import bounce_mailbox
from gateway.notices.bounce_mailbox import BounceMailbox, BounceSettings, MailboxUnusable
from tests.network.authority import Authority
from tests.notices.imap_mailbox import ImapMailbox, imap_mailbox

SECRET = "secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("imap"))


def mailbox(server: ImapMailbox, authority: Authority, security: str = "none", password: str = SECRET) -> BounceMailbox:
    told = BounceSettings("localhost", server.port, security, "notices", password)  # type: ignore[arg-type]
    return BounceMailbox(told, authority.trust())


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_unread_messages_are_looked_at_and_what_is_done_with_is_marked(
    authority: Authority, security: str
) -> None:
    context = None if security == "none" else authority.issue().server()
    async with imap_mailbox(context, first=security == "tls") as server:
        server.messages = {3: b"one", 5: b"two" * 40_000, 9: b"three"}
        box = mailbox(server, authority, security)
        found = await box.unread(lambda uid: uid == ("7", "9"))
        assert [(each.uid, each.octets[:3], len(each.octets)) for each in found] == [
            (("7", "3"), b"one", 3),
            (("7", "5"), b"two", 65_536),
        ]
        assert server.seen == set()
        await box.mark(found[:1])
        assert server.seen == {3}
        await box.leave()
        assert server.commands[-1] == "LOGOUT"
        assert (await box.check()).endswith("answers, notices has an Inbox")
        box.close()


async def test_what_is_not_to_be_used(authority: Authority, tmp_path: Path) -> None:
    async with imap_mailbox(authority.issue().server()) as server:
        wrong = mailbox(server, authority, "tls", "wrong-one")
        with pytest.raises(MailboxUnusable, match="AUTHENTICATIONFAILED") as caught:
            await wrong.check()
        assert "wrong-one" not in str(caught.value)
        wrong.close()
        other = mailbox(server, Authority(tmp_path, "two"), "tls")
        with pytest.raises(MailboxUnusable, match="certificate verify failed"):
            await other.check()
        other.close()
    gone = mailbox(server, authority, "tls")
    with pytest.raises(MailboxUnusable, match="refused"):
        await gone.check()
    gone.close()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("greeting", b"what\r\n"),
        ("greeting", b"* BYE no\r\n"),
        ("LOGIN", b"TAG OK\xff\xfe\r\n* nonsense\r\n"),
        ("SELECT", b"TAG NO there is no Inbox\r\n"),
        ("SELECT", b"* endless\r\n" * 1_000),
        ("UID SEARCH", b"* SEARCH 1 x 99999999999999999999 *\r\nTAG NO\r\n"),
        ("UID SEARCH", b"endless" * 1_000),
        ("UID FETCH", b"* 1 FETCH (UID 3 BODY[]<0> {99999999999}\r\n"),
        ("UID FETCH", b"* 1 FETCH (UID 3 BODY[]<0> {-1}\r\n)\r\nTAG BAD\r\n"),
        ("UID FETCH", b""),
    ],
)
async def test_hostile_answers_end_in_words_and_in_time(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, command: str, answer: bytes
) -> None:
    monkeypatch.setattr(bounce_mailbox, "STEP_SECONDS", 5.0 if answer else 0.5)
    monkeypatch.setattr(bounce_mailbox._Bounded, "octets_left", 4 << 20)
    async with imap_mailbox() as server:
        server.messages = {3: b"one"}
        server.says[command] = answer
        box = mailbox(server, authority)
        began = monotonic()
        with pytest.raises(MailboxUnusable):
            await box.unread(lambda uid: False)
        assert monotonic() - began < 8.0
        server.says.clear()
        assert [each.octets for each in await box.unread(lambda uid: False)] == [b"one"]
        await box.leave()
        box.close()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("UID SEARCH", b"TAG NO [LIMIT] ann@corp.example\r\n"),
        ("UID SEARCH", b"ann@corp.example\r\n"),
        ("UID FETCH", b"TAG BAD ann@corp.example\r\n"),
        ("UID FETCH", b"* 1 FETCH (UID 3 BODY[]<0> {3}\r\none)\r\nTo: ann@corp.example\r\n"),
        ("UID STORE", b"TAG NO ann@corp.example\r\n"),
    ],
)
async def test_no_piece_of_a_message_stands_in_an_error(authority: Authority, command: str, answer: bytes) -> None:
    async with imap_mailbox() as server:
        server.messages = {3: b"one"}
        server.says[command] = answer
        box = mailbox(server, authority)
        with pytest.raises(MailboxUnusable, match=r"(reading messages|marking messages as read) ") as caught:
            await box.mark(await box.unread(lambda uid: False))
        assert "ann" not in str(caught.value)
        box.close()


async def test_one_that_is_cancelled_lets_the_thread_go(authority: Authority) -> None:
    async with imap_mailbox() as server:
        server.messages = {3: b"one"}
        server.says["UID FETCH"] = b""
        box = mailbox(server, authority)
        task = asyncio.create_task(box.unread(lambda uid: False))
        await server.fetched.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.says.clear()
        assert [each.octets for each in await box.unread(lambda uid: False)] == [b"one"]
        await box.leave()
        box.close()
