"""The bounded cache: bounds, shared loads, and no stale record in any order of events."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from gateway.decision.device_cache import DeviceCache
from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import StoreUnavailable
from tests.support.interleaving import Orders


def record(login: str, sequence: int) -> PersonRecord:
    return PersonRecord(login, known=True, sequence=sequence)


class Truth:
    """The store: a sequence, and for each login the sequence of its newest change."""

    def __init__(self) -> None:
        self.sequence = 0
        self.changed: dict[str, int] = {}
        self.reads = 0

    def commit(self, login: str) -> int:
        self.sequence += 1
        self.changed[login] = self.sequence
        return self.sequence

    async def read(self, login: str) -> PersonRecord:
        self.reads += 1
        return record(login, self.sequence)


class Shared:
    """A shared cache that keeps what it is given, newer over older."""

    def __init__(self) -> None:
        self.records: dict[str, PersonRecord] = {}
        self.away = False

    async def get(self, logins: Sequence[str]) -> Mapping[str, PersonRecord]:
        if self.away:
            raise CacheUnavailable("away")
        return {login: self.records[login] for login in logins if login in self.records}

    def follow(self, incarnation: str) -> None:
        self.records = {}

    async def put(self, records: Mapping[str, PersonRecord]) -> None:
        if self.away:
            raise CacheUnavailable("away")
        for login, new in records.items():
            old = self.records.get(login)
            if old is None or old.sequence < new.sequence:
                self.records[login] = new


async def test_one_load_serves_all_who_wait() -> None:
    truth = Truth()
    cache = DeviceCache(truth.read)
    found = await asyncio.gather(*(cache.load("a") for _ in range(50)))
    assert truth.reads == 1
    assert all(each is found[0] for each in found)


async def test_the_one_who_asked_first_may_go_away() -> None:
    gate = asyncio.Event()

    async def slow(login: str) -> PersonRecord:
        await gate.wait()
        return record(login, 1)

    cache = DeviceCache(slow)
    first = asyncio.ensure_future(cache.load("a"))
    second = asyncio.ensure_future(cache.load("a"))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == record("a", 1)


async def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    truth = Truth()
    cache = DeviceCache(truth.read, capacity=10)
    for number in range(10):
        await cache.load(str(number))
    for entry in cache.entries.values():
        entry.used = False
    cache.entries["3"].used = True
    for number in range(10, 19):
        await cache.load(str(number))
    assert len(cache.entries) == 10
    assert "3" in cache.entries


async def test_invalidation_does_not_let_the_ring_grow() -> None:
    truth = Truth()
    cache = DeviceCache(truth.read, capacity=10)
    for _ in range(1000):
        cache.invalidate("a", truth.commit("a"))
        await cache.load("a")
    assert len(cache._ring) == 1


async def test_a_store_that_is_away_gives_none_and_is_asked_again() -> None:
    answers: list[Exception | None] = [StoreUnavailable("away"), None]

    async def read(login: str) -> PersonRecord:
        answer = answers.pop(0)
        if answer:
            raise answer
        return record(login, 1)

    cache = DeviceCache(read)
    assert await cache.load("a") is None
    assert await cache.load("a") == record("a", 1)


async def test_a_record_that_cannot_be_read_harms_nobody_else() -> None:
    async def read(login: str) -> PersonRecord:
        if login == "broken":
            raise ValueError("not a record")
        return record(login, 1)

    cache = DeviceCache(read)
    assert await cache.load("broken") is None
    assert await cache.load("a") == record("a", 1)


async def test_a_shared_record_older_than_a_change_is_not_believed() -> None:
    truth, shared = Truth(), Shared()
    shared.records["a"] = record("a", 4)
    truth.sequence = 5
    cache = DeviceCache(truth.read, shared)
    cache.invalidate("a", 5)
    found = await cache.load("a")
    assert found is not None
    assert found.sequence == 5


async def test_nothing_from_before_a_wholesale_change_is_believed() -> None:
    truth, shared = Truth(), Shared()
    shared.records["a"] = record("a", 4)
    truth.sequence = 9
    cache = DeviceCache(truth.read, shared)
    cache.invalidate_all(9)
    found = await cache.load("a")
    assert found is not None
    assert found.sequence == 9


async def test_a_change_of_one_does_not_hide_a_later_change_of_everybody() -> None:
    truth, shared = Truth(), Shared()
    shared.records["a"] = record("a", 4)
    truth.sequence = 9
    cache = DeviceCache(truth.read, shared)
    cache.invalidate("a", 4)
    cache.start_at(9)
    found = await cache.load("a")
    assert found is not None
    assert found.sequence == 9


async def test_forgetting_single_changes_raises_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.decision.device_cache.REMEMBERED_CHANGES", 2)
    truth, shared = Truth(), Shared()
    truth.sequence = 20
    cache = DeviceCache(truth.read, shared)
    shared.records["a"] = record("a", 3)
    for number, login in enumerate(("a", "b", "c", "d"), start=11):
        cache.invalidate(login, number)
    found = await cache.load("a")
    assert found is not None
    assert found.sequence == 20


@pytest.mark.parametrize("block", range(20))
async def test_no_order_of_loads_changes_evictions_and_faults_leaves_a_stale_record(block: int) -> None:
    """2,000 orders: committing, publishing, loading, evicting, flushing and losing the shared cache."""
    for seed in range(block * 100, block * 100 + 100):
        await one_order(seed)


async def one_order(seed: int) -> None:
    orders = Orders(seed)
    truth, shared = Truth(), Shared()
    heard: dict[str, int] = {}

    async def read(login: str) -> PersonRecord:
        await orders.point("read begins")
        snapshot = truth.sequence
        await orders.point("read ends")
        return record(login, snapshot)

    class SlowShared(Shared):
        async def get(self, logins: Sequence[str]) -> Mapping[str, PersonRecord]:
            await orders.point("shared get")
            found = await shared.get(logins)
            await orders.point("shared got")
            return found

        async def put(self, records: Mapping[str, PersonRecord]) -> None:
            await orders.point("shared put")
            await shared.put(records)

    cache = DeviceCache(read, SlowShared(), capacity=2)

    async def commits() -> None:
        for _ in range(3):
            sequence = truth.commit("a")
            await orders.point("committed")
            if not shared.away:
                await shared.put({"a": record("a", sequence)})
            await orders.point("published")
            heard["a"] = sequence
            cache.invalidate("a", sequence)

    async def asks(login: str) -> None:
        for _ in range(3):
            await cache.load(login)
            held = cache.entries.get(login)
            if held is not None and held.record is not None:
                assert held.record.sequence >= heard.get(login, 0), orders.trace
            await orders.point("asked")

    async def breaks() -> None:
        await orders.point("flush")
        shared.records.clear()
        await orders.point("restored from an old copy")
        shared.records["a"] = record("a", 0)
        await orders.point("away")
        shared.away = True
        await orders.point("back")
        shared.away = False

    await orders.run(commits(), asks("a"), asks("b"), asks("c"), asks("a"), breaks())
    await orders.finish()
    held = cache.entries.get("a")
    if held is not None and held.record is not None:
        assert held.record.sequence >= truth.changed["a"], orders.trace


async def test_another_life_of_the_store_begins_with_lower_numbers() -> None:
    truth, shared = Truth(), Shared()
    cache = DeviceCache(truth.read, shared)
    truth.sequence = 90
    cache.invalidate_all(90)
    await cache.load("a")
    assert shared.records["a"].sequence == 90
    truth.sequence = 5
    cache.begin_anew("life2", 5)
    found = await cache.load("a")
    assert found is not None
    assert found.sequence == 5


async def test_what_was_read_in_an_earlier_life_is_not_shared_in_the_next() -> None:
    truth, shared = Truth(), Shared()
    truth.sequence = 90
    cache = DeviceCache(truth.read, shared)

    async def overtaken(login: str) -> PersonRecord:
        found = await truth.read(login)
        if found.sequence == 90:
            truth.sequence = 5
            cache.begin_anew("life2", 5)
        return found

    cache._read_record = overtaken
    found = await cache.load("a")
    assert found is not None
    assert (found.sequence, shared.records["a"].sequence) == (5, 5)
