"""A success is told only after the commit; what could not be stored is told as such, and nothing of it remains."""

import asyncio
from pathlib import Path

import httpx
import pytest

from gateway.inventory.sources.push.intake import ReceiverLimits
from gateway.ports.store import Conflict, Person, Store, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.inventory.events import GMAIL, SUBJECT, TIKTOK, USER, delta, full, ids
from tests.inventory.held_store import HeldStore
from tests.inventory.receiving import Receiving, source


@pytest.fixture
def held(store: Store) -> HeldStore:
    return HeldStore(store)


@pytest.fixture
async def receiver(held: HeldStore) -> Receiving:
    receiving = Receiving(held, limits=ReceiverLimits(store_seconds=5.0))
    await receiving.write(source())
    return receiving


def unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:gatepost:problem:unavailable")
    assert int(answer.headers["retry-after"]) == 5


async def nothing_remains(receiver: Receiving, message_id: str = "msg_1") -> None:
    assert await receiver.inventory() is None
    assert not await receiver.remembered(message_id)
    assert await receiver.sequence() == 0
    assert receiver.published == []
    async with receiver.store.read() as reading:
        assert await reading.person_by_login(USER) is None


async def test_no_success_before_the_commit(receiver: Receiving, held: HeldStore) -> None:
    held.hold()
    sending = asyncio.create_task(receiver.post(full(1, (TIKTOK,)), message_id="msg_1"))
    await held.until_waiting(1)
    assert not sending.done()
    await nothing_remains(receiver)
    held.release()
    assert (await sending).json()["status"] == "applied"
    assert await receiver.apps() == [TIKTOK]
    assert [change.names for change in receiver.published] == [(USER,)]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "at the end"])
@pytest.mark.parametrize("error", [StoreUnavailable("the disk is full"), Conflict("a login is taken")], ids=repr)
async def test_a_store_that_fails(receiver: Receiving, held: HeldStore, error: Exception, late: bool) -> None:
    held.failing, held.failing_late = error, late
    answer = await receiver.post(full(1, (TIKTOK,)), message_id="msg_1")
    unavailable(answer)
    # Why is for the operator's log, not for the sender.
    assert "disk" not in answer.text
    held.failing = None
    await nothing_remains(receiver)
    assert await receiver.status(full(1, (TIKTOK,)), message_id="msg_1") == (202, "applied")


async def test_a_store_that_cannot_even_be_read(receiver: Receiving, held: HeldStore) -> None:
    held.reads_fail = True
    unavailable(await receiver.post(full(), message_id="msg_1"))
    held.reads_fail = False
    await nothing_remains(receiver)


async def test_a_slow_store(held: HeldStore) -> None:
    receiver = Receiving(held, limits=ReceiverLimits(store_seconds=0.05))
    await receiver.write(source())
    held.hold()
    unavailable(await receiver.post(full(1, (TIKTOK,)), message_id="msg_1"))
    held.release()
    # Who was told to come again finds the same id free, whether or not the first attempt got through meanwhile.
    patient = Receiving(held)
    status, word = await patient.status(full(1, (TIKTOK,)), message_id="msg_1")
    assert (status, word) in {(202, "applied"), (200, "duplicate")}
    assert await patient.apps() == [TIKTOK]


async def test_an_error_of_ours_is_no_success_either(receiver: Receiving, held: HeldStore) -> None:
    held.failing = RuntimeError("secret inside")
    with pytest.raises(AssertionError, match="500"):
        await receiver.post(full(), message_id="msg_1")
    held.failing = None
    await nothing_remains(receiver)


async def test_reports_at_once_are_one_after_the_other(receiver: Receiving) -> None:
    """Whatever shares a commit: each device ends at its newest report, each message counts once."""
    await receiver.post(full(1))
    events = [full(n, (f"com.example.v{n}",), subject=f"d{n % 4}", device=ids(f"u{n % 4}", "")) for n in range(2, 42)]
    sent = [receiver.status(event, message_id=f"msg_{n}") for n, event in enumerate(events)]
    again = [receiver.status(event, message_id=f"msg_{n}") for n, event in enumerate(events)]
    answers = await asyncio.gather(*sent, *again)
    for first, second in zip(answers[:40], answers[40:], strict=True):
        assert sorted((first[0], second[0])) == [200, 202]
    for device in range(4):
        newest = max(n for n in range(2, 42) if n % 4 == device)
        assert await receiver.apps(f"d{device}") == [f"com.example.v{newest}"]


async def test_of_two_messages_with_one_id_one_counts(receiver: Receiving) -> None:
    answers = await asyncio.gather(
        receiver.status(full(1, (GMAIL,)), message_id="msg_1"), receiver.status(full(2, (TIKTOK,)), message_id="msg_1")
    )
    assert sorted(answers) == [(202, "applied"), (409, "reused_id")]


async def test_of_two_deltas_on_one_base_one_counts(receiver: Receiving) -> None:
    await receiver.post(full(1, (GMAIL,)))
    answers = await asyncio.gather(
        receiver.status(delta(2, 1, added=(TIKTOK,))), receiver.status(delta(3, 1, gone=(GMAIL,)))
    )
    # Whichever comes first: to the other it left another base, or is newer.
    assert sorted(answers) in ([(202, "applied"), (409, "gap")], [(202, "applied"), (202, "stale_ignored")])
    assert await receiver.apps() in ([GMAIL, TIKTOK], [])


async def test_a_login_that_another_claims_meanwhile(store: Store) -> None:
    """A refused unit of work takes nothing of the reports beside it along."""
    receiver = Receiving(store)
    await receiver.write(source(), Person("boss@example.com", (USER,)))

    async def clashing(writing: Writing) -> None:
        await writing.put_person(Person("other@example.com", (USER,)))

    report, clash = await asyncio.gather(receiver.status(full()), store.write(clashing), return_exceptions=True)
    assert report == (202, "applied")
    assert isinstance(clash, Conflict)
    assert (await receiver.record(USER)).person_id == "boss@example.com"


async def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    """Another process sees it the moment the success is told."""
    url = f"sqlite:///{tmp_path}/gatepost.db"
    control, worker = await open_store(url, writable=True), None
    try:
        worker = await open_store(url, writable=False)
        receiver, elsewhere = Receiving(control), Receiving(worker)
        await receiver.write(source())
        for sequence in range(1, 20):
            await receiver.post(full(sequence, (f"com.example.v{sequence}",)))
            assert await elsewhere.apps() == [f"com.example.v{sequence}"]
            assert await elsewhere.remembered(f"auto_{sequence}")
        unavailable(await elsewhere.post(full(50)))
    finally:
        await control.close()
        if worker is not None:
            await worker.close()


async def test_ids_are_forgotten_only_when_told_so() -> None:
    receiver = Receiving(MemoryStore())
    await receiver.write(source())
    await receiver.post(full(1), message_id="msg_1")
    receiver.now += 8 * 86400
    assert await receiver.status(full(1), message_id="msg_1") == (200, "duplicate")

    async def forget(writing: Writing) -> int:
        return await writing.forget_messages(receiver.now - 7 * 86400)

    assert (await receiver.store.write(forget))[0] == 1
    # Even then an old report is old.
    assert await receiver.status(full(1), message_id="msg_1") == (202, "stale_ignored")
    assert (await receiver.inventory(SUBJECT)) is not None
