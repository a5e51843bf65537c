"""What notices and bounces leave in memory when something fails, where nobody collects garbage."""

import asyncio
from weakref import WeakSet

import pytest

from gateway.domain.notice import Mailing, Notice
from gateway.notices import bounce_mailbox
from gateway.notices.bounce_mailbox import BounceMailbox, BounceSettings, MailboxUnusable
from gateway.notices.bringing import Bringing
from gateway.storage.memory import MemoryStore
from tests.network.authority import Authority
from tests.notices.imap_mailbox import imap_mailbox
from tests.notices.stage import Clock, fill, outbox, people, planned, smtp


class Known:
    """Tells which messages are known."""

    def __call__(self, uid: tuple[str, str]) -> bool:
        return False


class Broken(Exception):  # noqa: N818
    """Of ours."""


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("answer", "told"), [(b"TAG NO not now\r\n", "reading messages is refused"), (b"", "no answer in time")]
)
async def test_nothing_of_a_mailbox_that_cannot_be_read(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, answer: bytes, told: str
) -> None:
    monkeypatch.setattr(bounce_mailbox, "STEP_SECONDS", 5.0 if answer else 0.5)
    async with imap_mailbox() as server:
        server.says["UID SEARCH"] = answer
        trust = Authority(tmp_path_factory.mktemp("imap")).trust()
        box = BounceMailbox(BounceSettings("localhost", server.port, "none", "notices", "secret"), trust)
        known, left = Known(), WeakSet[object]()
        left.add(known)
        with pytest.raises(MailboxUnusable, match=told):
            await box.unread(known)
        del known
        # The thread has ended what it had begun, and the loop has told of it.
        box._thread.shutdown()
        await asyncio.sleep(0.05)
        assert len(left) == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_an_error_by_which_a_notice_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock, left = MemoryStore(), Clock(), WeakSet[Exception]()
    crowd = people(1)
    await fill(store, crowd)
    await planned(store, crowd)

    async def breaks(self: Bringing, mailing: Mailing, notice: Notice) -> None:
        error = Broken("by a mistake")
        left.add(error)
        try:
            raise error
        finally:
            del error

    monkeypatch.setattr(Bringing, "bring", breaks)
    box = outbox(store, smtp(1), clock)
    with pytest.raises(Broken):
        await box.step()
    assert len(left) == 0
