"""Leases as their holders see them: one works at a time, and who stood still or was cut off stops first."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.ports.store import Lease
from gateway.runtime.leases import Held, Leases
from gateway.storage.memory import MemoryStore

SECONDS = 1.5


class Clock:
    """Both the store's and the holders'."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


class Worker:
    """Something that works while it holds a lease."""

    def __init__(self, store: MemoryStore, name: str, clock: Clock) -> None:
        self.leases = Leases(store, name, seconds=SECONDS, monotonic=clock)
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.held: Held | None = None

    async def work(self, held: Held) -> None:
        self.held = held
        self.began.set()
        self.ended.clear()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
            self.began.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.leases.run("tidy", self.work))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(now=clock)


@pytest.fixture
def make(store: MemoryStore, clock: Clock) -> Callable[[str], Worker]:
    return lambda name: Worker(store, name, clock)


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 5)


async def test_the_next_one_takes_over_when_a_holder_ends(make: Callable[[str], Worker]) -> None:
    first, second = make("a"), make("b")
    async with second_after_first(first, second) as stop_first:
        assert first.leases.held == {"tidy"}
        assert not second.began.is_set()
        await stop_first()
        await soon(second.began)
        assert (second.leases.held, first.leases.held) == ({"tidy"}, set())
        assert second.held is not None
        assert second.held.term == 2


@asynccontextmanager
async def second_after_first(first: Worker, second: Worker) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    task = asyncio.create_task(first.leases.run("tidy", first.work))
    await soon(first.began)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with second.running():
        yield stop
    await stop()


async def test_who_stood_still_works_no_more(make: Callable[[str], Worker], clock: Clock) -> None:
    """Its clock has gone on when it wakes up; it stops before it renews, though nobody else has taken the lease."""
    worker = make("a")
    async with worker.running():
        await soon(worker.began)
        assert worker.held
        clock.at += SECONDS
        assert not worker.held
        await soon(worker.ended)
        # And begins anew, in the same term, since nobody else has been there.
        await soon(worker.began)
        assert worker.held.term == 1


async def test_who_is_cut_off_from_the_store_stops_in_time(
    make: Callable[[str], Worker], store: MemoryStore, clock: Clock
) -> None:
    worker = make("a")
    async with worker.running():
        await soon(worker.began)
        store.unavailable = "away"
        # Away for a moment is no reason to stop.
        await asyncio.sleep(SECONDS / 2)
        assert not worker.ended.is_set()
        clock.at += SECONDS
        await soon(worker.ended)
        store.unavailable = ""
        await soon(worker.began)


async def test_who_lost_it_to_another_one_stops(
    make: Callable[[str], Worker], store: MemoryStore, clock: Clock
) -> None:
    worker = make("a")
    async with worker.running():
        await soon(worker.began)

        # Another process's clock is the store's, which was set forward.
        await store.write(lambda writing: writing.give_lease_back("tidy", "a"))
        await store.write(lambda writing: writing.take_lease("tidy", "b", 1000.0))
        await soon(worker.ended)
        await asyncio.sleep(SECONDS / 2)
        assert not worker.began.is_set()


async def test_a_store_that_takes_no_writes_is_told_once_and_when_it_takes_them_again(
    make: Callable[[str], Worker], store: MemoryStore, clock: Clock
) -> None:
    worker = make("a")
    store.unavailable = "the disk is full: make room"
    with capture_logs() as logged:
        async with worker.running():
            async with asyncio.timeout(5):
                while not worker.leases.trouble:  # noqa: ASYNC110  (a round or two)
                    await asyncio.sleep(0.01)
            assert worker.leases.trouble == "the disk is full: make room"
            await asyncio.sleep(SECONDS / 2)
            store.unavailable = ""
            await soon(worker.began)
            assert worker.leases.trouble == ""
    told = [entry for entry in logged if entry["event"].startswith("store_")]
    assert told == [
        {"event": "store_not_written", "log_level": "error", "error": "the disk is full: make room"},
        {"event": "store_written_again", "log_level": "info"},
    ]


async def test_what_work_raises_comes_out(store: MemoryStore, clock: Clock) -> None:
    async def failing(held: Held) -> None:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        await Leases(store, "a", seconds=SECONDS, monotonic=clock).run("tidy", failing)
    async with store.read() as reading:
        lease = await reading.lease("tidy")
    assert lease is not None
    assert lease.ends_at == 0.0


async def test_hourly_work_begins_soon(clock: Clock) -> None:
    """A control process that is restarted each hour comes to it all the same; one without the lease does not."""
    held, slept = Held("tidy", clock), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.at += seconds

    held.extend(Lease("tidy", "one", 1, 0.0), clock.at, 2 * 3_600.0 + 300.0)
    turns = [clock.at async for _ in held.hourly(sleep)]
    assert turns == [400.0, 4_000.0]
    assert slept == [300.0, 3_600.0, 3_600.0]
