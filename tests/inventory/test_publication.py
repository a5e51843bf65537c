"""The publication: in order, never before its records, and whole again after the cache was away."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from gateway.domain.evidence import PersonRecord
from gateway.inventory import publication as module
from gateway.inventory.publication import BATCH, Publication
from gateway.ports.state_cache import CacheUnavailable, StoreWentBack
from gateway.ports.store import Change, ChangeKind, MailDevice, Reading, Store, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from tests.inventory.chain import loaded
from tests.inventory.held_store import HeldStore
from tests.inventory.spread import Spread
from tests.storage.conformance.conftest import KEEP_CHANGES

T = TypeVar("T")

ANN = "ann@example.com"


async def change(store: Store, *names: str, device: str = "phone1") -> Change:
    async def work(writing: Writing) -> None:
        for name in names:
            await writing.put_mail_device(MailDevice(name, device, 1.0, 2.0))
        writing.log_people(names)

    _, (row,) = await store.write(work)
    return row


@pytest.fixture
def spread() -> Spread:
    return Spread()


@pytest.fixture
async def publication(store: Store, spread: Spread) -> Publication:
    begun = Publication(store, spread, spread, loaded)
    await begun.start()
    return begun


async def test_what_is_handed_over_in_disorder_leaves_in_order(
    store: Store, spread: Spread, publication: Publication
) -> None:
    rows = [await change(store, f"u{number}") for number in range(5)]
    await publication.publish([rows[1]])
    # What stands between is in the log already.
    assert spread.sequences == [1, 2, 3, 4, 5]
    for place in (3, 2, 0, 4, 4):
        await publication.publish([rows[place]])
    assert spread.sequences == [1, 2, 3, 4, 5]
    assert publication.sent == 5


async def test_two_publications_on_one_store(store: Store, spread: Spread) -> None:
    """Each sends all, in order, its own at once together with what the other one has committed before."""
    ours, others = Spread(), Spread()
    here, there = (Publication(store, each, each, loaded) for each in (ours, others))
    await here.start()
    await there.start()
    for number in range(6):
        row = await change(store, f"u{number}")
        if number % 2:
            await here.publish([row])
            assert ours.sequences == list(range(1, number + 2))
        else:
            await there.publish([row])
            assert others.sequences == list(range(1, number + 2))
    for each in (ours, others):
        assert set(each.records) >= {f"u{number}" for number in range(5)}


async def test_another_life_of_the_store_ends_a_publication(store: Store, spread: Spread) -> None:
    async with store.read() as reading:
        life = await reading.incarnation()
    publication = Publication(store, spread, spread, loaded, life)
    await publication.start()

    async def work(writing: Writing) -> None:
        await writing.put_incarnation("another")
        writing.log_everybody()

    await store.write(work)
    with pytest.raises(StoreWentBack, match="another control process has begun another life"):
        async with asyncio.timeout(5):
            await publication.run()


async def test_many_at_once(store: Store, spread: Spread, publication: Publication) -> None:
    rows = [await change(store, f"u{number % 7}") for number in range(40)]
    await asyncio.gather(*(publication.publish([row]) for row in reversed(rows)))
    assert spread.sequences == list(range(1, 41))
    assert set(spread.records) == {f"u{number}" for number in range(7)}


async def record_of(store: Store, name: str) -> PersonRecord:
    async with store.read() as reading:
        return await loaded(reading, name)


async def test_a_record_that_is_at_hand_is_not_read_again(
    store: Store, spread: Spread, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await change(store, ANN, "bob")
    at_hand = replace(await record_of(store, ANN), sequence=0)
    read: list[str] = []

    async def counted(reading: Reading, login: str) -> PersonRecord:
        read.append(login)
        return await loaded(reading, login)

    monkeypatch.setattr(publication, "_load_record", counted)
    await publication.publish([replace(row, records={ANN: at_hand})])
    assert read == ["bob"]
    assert spread.records[ANN] == replace(at_hand, sequence=row.sequence)


async def test_a_record_that_a_later_change_has_outdated_is_read(
    store: Store, spread: Spread, publication: Publication
) -> None:
    """Both leave at once; the later one came without its record."""
    old = await record_of(store, ANN)
    first = replace(await change(store, ANN), records={ANN: old})
    second = await change(store, ANN, device="phone2")
    await publication.publish([second, first])
    assert spread.records[ANN] == await record_of(store, ANN)
    assert set(spread.records[ANN].devices) == {"phone1", "phone2"}


async def test_while_the_cache_is_away_nothing_is_lost(store: Store, spread: Spread, publication: Publication) -> None:
    await publication.publish([await change(store, ANN)])
    assert publication.up
    spread.away = True
    for number in range(3):
        await publication.publish([await change(store, ANN, device=f"more{number}")])
    assert not publication.up
    assert spread.sequences == [1]
    spread.away = False
    await publication.publish([await change(store, "bob@example.com")])
    assert spread.sequences == [1, 2, 3, 4, 5]
    assert set(spread.records[ANN].devices) == {"phone1", "more0", "more1", "more2"}
    assert publication.up


async def test_a_record_may_be_sent_twice_but_a_change_never_without(
    store: Store, spread: Spread, publication: Publication
) -> None:
    """The cache took the record, the feed did not take the change."""
    spread.feed_away = True
    await publication.publish([await change(store, ANN)])
    assert (spread.put_names, spread.sequences, publication.sent) == ([ANN], [], 0)
    spread.feed_away = False
    await publication.publish([])
    assert (spread.put_names, spread.sequences, publication.sent) == ([ANN, ANN], [1], 1)


async def test_what_nobody_handed_over_is_read_from_the_log(
    store: Store, spread: Spread, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    for name in ("a", "b", "c"):
        await change(store, name)
    running = asyncio.create_task(publication.run())
    try:
        async with asyncio.timeout(20):
            while not spread.heartbeats or spread.heartbeats[-1] < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert spread.sequences == [1, 2, 3]
    # A heartbeat never tells of what is not on the feed yet.
    assert spread.heartbeats[0] in (0, 3)


async def test_a_control_process_that_died_over_it_is_followed_up(store: Store, spread: Spread) -> None:
    for number in range(4):
        await change(store, f"u{number}")
    again = Publication(store, spread, spread, loaded)
    await again.start()
    assert spread.sequences == [1, 2, 3, 4]
    assert spread.heartbeats == [4]
    assert again.up


async def test_a_log_that_was_trimmed_meanwhile_shows_as_a_gap(
    store: Store, spread: Spread, publication: Publication
) -> None:
    await publication.publish([await change(store, ANN)])
    spread.away = True
    for number in range(KEEP_CHANGES + 5):
        await change(store, ANN, device=f"more{number}")
    spread.away = False
    await publication.start()
    newest = KEEP_CHANGES + 6
    assert publication.sent == newest
    # Workers see by the heartbeat that they have missed something, and read the store anew.
    assert spread.heartbeats == [0, newest]
    assert spread.records == {}, "what the cache held before is overtaken by changes that were never sent"
    await publication.publish([await change(store, "bob@example.com")])
    assert spread.sequences == [1, newest + 1]


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_another_process_committed_and_cannot_be_read_keeps_nothing_back(
    spread: Spread, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is told ahead of its turn, once, with the record at hand; and in its turn as soon as the store is back."""
    monkeypatch.setattr(module, "RECORDS_SECONDS", 0.05)
    inner = MemoryStore()
    store = HeldStore(inner)
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    await change(inner, ANN)
    first = await change(inner, "bob@example.com")
    at_hand = await record_of(inner, "cy@example.com")
    second = replace(await change(inner, "cy@example.com"), records={"cy@example.com": at_hand})
    store.reads_hang, store.reads_fail, spread.store_away = hangs, not hangs, True
    with capture_logs() as lines:
        await publication.publish([first])
        await publication.publish([second])
    assert (spread.sequences, spread.put_names, publication.sent) == ([2, 3], ["cy@example.com"], 0)
    # The second one asks nobody who has just not answered.
    assert [line["event"] for line in lines] == ["published_ahead"]
    store.reads_hang = store.reads_fail = spread.store_away = False
    await publication._repair()
    assert (spread.sequences, publication.up, publication.sent) == ([2, 3, 1, 2, 3], True, 3)


async def test_a_cache_that_is_away_too_is_told_when_it_is_back(spread: Spread) -> None:
    store = MemoryStore()
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    await change(store, ANN)
    row = await change(store, "bob@example.com")
    store.unavailable, spread.away, spread.store_away = "the disk is full", True, True
    await publication.publish([row])
    assert (spread.sequences, publication.up) == ([], False)
    spread.away = False
    await publication.publish([])
    assert spread.sequences == [2]
    store.unavailable, spread.store_away = "", False
    await publication._repair()
    assert (spread.sequences, publication.up) == ([2, 1, 2], True)


async def test_what_waits_for_the_cache_is_bounded_and_the_rest_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour without a cache must not hold an hour of people's records in memory."""
    monkeypatch.setattr(module, "WAITING_MOST", 20)
    store, spread = MemoryStore(), Spread()
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    spread.away = True
    names = [f"u{number % 7}" for number in range(3 * module.WAITING_MOST)]
    for name in names:
        await publication.publish([await change(store, name)])
        assert len(publication._waiting) <= module.WAITING_MOST
    spread.away = False
    await publication.publish([])
    assert spread.sequences == list(range(1, module.WAITING_MOST + 1))
    await publication.publish([await change(store, ANN)])
    assert spread.sequences == list(range(1, len(names) + 2))
    assert set(spread.records) == {ANN, *names}


class Unreadable(HeldStore):
    """A store that takes commits and gives nothing back, at once or never."""

    hangs = False

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        if self.hangs:
            await asyncio.Event().wait()
        raise StoreUnavailable("away")


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_store_that_goes_right_after_a_commit_keeps_nobody_from_hearing_of_it(
    store: Store, spread: Spread, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is acknowledged: a worker that hears of it believes the older record in the cache no more."""
    monkeypatch.setattr(module, "RECORDS_SECONDS", 0.05)
    away = Unreadable(store)
    away.hangs = hangs
    publication = Publication(away, spread, spread, loaded)
    await publication.start()
    spread.store_away = True
    with capture_logs() as lines:
        await publication.publish([await change(store, ANN)])
    assert (spread.sequences, spread.put_names, publication.sent) == ([1], [], 1)
    assert publication.up
    assert [line["event"] for line in lines] == ["published_without_records"]


async def test_policies_and_everybody_need_no_records(store: Store, spread: Spread, publication: Publication) -> None:
    async def work(writing: Writing) -> None:
        writing.log_policy(3)
        writing.log_everybody()

    _, rows = await store.write(work)
    await publication.publish(rows)
    assert [each.kind for each in spread.changes] == [row.kind for row in rows]
    assert {ChangeKind.POLICY, ChangeKind.EVERYBODY} == {each.kind for each in spread.changes}
    assert spread.records == {}


async def test_more_than_one_batch() -> None:
    store, spread = MemoryStore(), Spread()
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    rows = [await change(store, f"u{number % 3}") for number in range(2 * BATCH + 1)]
    await publication.publish(rows)
    assert spread.sequences == list(range(1, 2 * BATCH + 2))


class Silent(Spread):
    """A cache that takes everything and says nothing until whoever asked has had enough."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def put(self, records: Mapping[str, PersonRecord]) -> None:
        """As a stopped server answers."""
        self.asked += 1
        await asyncio.sleep(module.SLOW_SECONDS)
        raise CacheUnavailable("no answer in time")


async def test_a_cache_that_says_nothing_does_not_take_the_time_of_every_report(store: Store) -> None:
    silent = Silent()
    publication = Publication(store, silent, silent, loaded)
    await publication.start()
    rows = [await change(store, f"u{number}") for number in range(20)]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(publication.publish([row]) for row in rows))
    await publication.publish([await change(store, "another")])
    assert asyncio.get_running_loop().time() - began < 5 * module.SLOW_SECONDS
    assert silent.asked == 1
    assert not publication.up


async def test_neither_does_one_that_says_nothing_while_the_store_is_away(store: Store) -> None:
    """With a commit of another process in between, so that each would be told ahead of its turn."""
    held, silent = HeldStore(store), Silent()
    publication = Publication(held, silent, silent, loaded)
    await publication.start()
    rows = [await change(store, f"u{number}") for number in range(20)]
    told = [replace(row, records={name: await record_of(store, name) for name in row.names}) for row in rows[1:]]
    held.reads_fail = True
    await asyncio.gather(*(publication.publish([row]) for row in told))
    assert silent.asked == 1


async def test_a_store_that_says_nothing_does_not_take_the_time_of_every_report(store: Store, spread: Spread) -> None:
    held = HeldStore(store)
    spread.store_away = True
    publication = Publication(held, spread, spread, loaded)
    await publication.start()
    rows = [await change(store, f"u{number}") for number in range(20)]
    held.reads_hang = True
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(publication.publish([row]) for row in rows[1:]))
    assert asyncio.get_running_loop().time() - began < 3 * module.RECORDS_SECONDS
    assert spread.sequences == list(range(2, 21))
    held.reads_hang = False
    await publication._repair()
    assert publication.sent == 20


async def test_a_store_that_went_back_is_noticed_while_the_cache_is_away(
    spread: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    await change(store, ANN)
    earlier = store._tables
    spread.away = True
    await publication.publish([await change(store, ANN)])
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    running = asyncio.create_task(publication.run())
    await asyncio.sleep(0.05)
    assert not running.done()
    store._tables = earlier
    with pytest.raises(StoreWentBack):
        await asyncio.wait_for(running, 5)


async def test_what_the_cache_knew_once_ends_a_publication_without_it(store: Store, spread: Spread) -> None:
    """Another process had committed and told of more, and the store that took over never got it."""
    publication = Publication(store, spread, spread, loaded)
    await publication.start()
    await change(store, ANN)
    spread.heartbeats.append(5)
    assert await publication.newest_told() == 5
    spread.away = True
    assert await publication.newest_told() is None
    with pytest.raises(StoreWentBack, match="5 was told of"):
        await publication._repair()
