"""Reports that come together share readings of the sources, and none is checked against an earlier state."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from gateway.inventory.sources.push.senders import Senders
from gateway.ports.store import Reading, Store, StoreUnavailable, Writing
from tests.inventory.held_store import HeldStore
from tests.inventory.receiving import source

T = TypeVar("T")


class CountedStore(HeldStore):
    """Readings wait for ``gate`` once they have read."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.readings = 0
        self.gate = asyncio.Event()
        self.read_one = asyncio.Event()

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        self.readings += 1
        found = await super().read_at_once(work)
        self.read_one.set()
        await self.gate.wait()
        return found


async def put(store: Store, name: str) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_source(source(name))

    await store.write(work)


async def test_a_crowd_costs_two_readings_and_sees_what_was_there_when_it_came(store: Store) -> None:
    held = CountedStore(store)
    senders = Senders(held, 5.0)
    first = asyncio.create_task(senders.now())
    await held.read_one.wait()
    # Added after the first reading has read, and before the crowd comes.
    await put(store, "late")
    crowd = [asyncio.create_task(senders.now()) for _ in range(50)]
    await asyncio.sleep(0)
    held.gate.set()
    assert "late" not in {each.name for each in await first}
    for found in await asyncio.gather(*crowd):
        assert "late" in {each.name for each in found}
    assert held.readings == 2
    await senders.now()
    assert held.readings == 3


async def test_one_that_goes_away_takes_nobody_along(store: Store) -> None:
    held = CountedStore(store)
    senders = Senders(held, 5.0)
    first, second = asyncio.create_task(senders.now()), asyncio.create_task(senders.now())
    await held.read_one.wait()
    first.cancel()
    held.gate.set()
    assert await second is not None
    assert held.readings == 1


async def test_a_store_that_is_away_is_said_to_all_and_asked_again(store: Store) -> None:
    held = CountedStore(store)
    held.gate.set()
    held.reads_fail = True
    senders = Senders(held, 5.0)
    answers = await asyncio.gather(*(senders.now() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in answers] == [StoreUnavailable] * 3
    held.reads_fail = False
    assert isinstance(await senders.now(), list | tuple)


async def test_a_reading_that_does_not_end_is_given_up(store: Store) -> None:
    held = CountedStore(store)
    senders = Senders(held, 0.05)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await senders.now()
    held.gate.set()
    # What was given up is in nobody's way.
    assert isinstance(await senders.now(), list | tuple)
