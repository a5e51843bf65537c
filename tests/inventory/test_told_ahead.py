"""What is told ahead of its turn, since the store does not say what another process has committed before it."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from gateway.inventory import publication as module
from gateway.inventory.publication import Publication
from gateway.ports.store import Change, MailDevice, Reading, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.inventory.chain import loaded
from tests.inventory.held_store import HeldStore
from tests.inventory.spread import Spread
from tests.support.still_clock import StillClock, in_place_of_time

T = TypeVar("T")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    return in_place_of_time(module, monkeypatch)


class Counted(HeldStore):
    """A store that counts how often it is asked for the change log."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked = 0

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A snapshot."""
        self.asked += 1
        return super().read()

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """For records."""
        async with super().read() as reading:
            return await work(reading)


@pytest.fixture
def store() -> Counted:
    return Counted(MemoryStore())


@pytest.fixture
def spread() -> Spread:
    return Spread(store_away=True)


@pytest.fixture
async def publication(store: Counted, spread: Spread, clock: StillClock) -> Publication:
    begun = Publication(store, spread, spread, loaded)
    await begun.start()
    store.asked = 0
    return begun


async def change(store: Store, name: str) -> Change:
    """Committed, with the record at hand."""

    async def work(writing: Writing) -> None:
        await writing.put_mail_device(MailDevice(name, "phone1", 1.0, 2.0))
        writing.log_people([name])

    _, (row,) = await store.write(work)
    async with store.read() as reading:
        return replace(row, records={name: await loaded(reading, name)})


async def ours_after_another_s(store: Counted, number: int) -> Change:
    """Two commits, of which the first is another process's; ours."""
    inner = store._inner
    await change(inner, f"another{number}")
    return await change(inner, f"ours{number}")


async def test_one_reading_that_failed_is_repeated_a_second_later_however_many_changes_come(
    store: Counted, spread: Spread, publication: Publication, clock: StillClock
) -> None:
    store.reads_fail = True
    asked: list[int] = []
    with capture_logs() as lines:
        for number in range(11):
            await publication.publish([await ours_after_another_s(store, number)])
            store.reads_fail = False
            asked.append(store.asked)
            clock.at += 0.3
    # At 0.0, 0.3, 0.6 and 0.9 s ours are told at once, each once; from then on all goes in order.
    assert asked == [1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
    assert spread.sequences == [2, 4, 6, 8, *range(1, 23)]
    assert [line["event"] for line in lines] == ["published_ahead"]


async def test_a_reading_of_the_repair_s_that_is_good_ends_it(
    store: Counted, spread: Spread, publication: Publication, clock: StillClock
) -> None:
    store.reads_fail = True
    await publication.publish([await ours_after_another_s(store, 0)])
    store.reads_fail = False
    await publication._repair()
    await publication.publish([await ours_after_another_s(store, 1)])
    assert spread.sequences == [2, 1, 2, 3, 4]


async def test_a_store_that_is_away_for_longer_is_asked_and_told_of_once_a_second(
    store: Counted, spread: Spread, publication: Publication, clock: StillClock
) -> None:
    store.reads_fail = True
    with capture_logs() as lines:
        for number in range(31):
            await publication.publish([await ours_after_another_s(store, number)])
            clock.at += 0.125
    assert spread.sequences == list(range(2, 63, 2))
    assert store.asked == 4
    assert [line["event"] for line in lines] == ["published_ahead"] * 4
