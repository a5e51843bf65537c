"""Every store gives a lease to one holder at a time, and counts the terms."""

import asyncio

from gateway.ports.store import Lease, Store
from tests.storage.conformance.conftest import LEASE_CLOCK


async def take(store: Store, holder: str, name: str = "tidy", seconds: float = 10.0) -> Lease | None:
    lease, changes = await store.write(lambda writing: writing.take_lease(name, holder, seconds))
    assert changes == ()
    return lease


async def test_one_holder_at_a_time(store: Store) -> None:
    now = LEASE_CLOCK.at
    assert await take(store, "a") == Lease("tidy", "a", 1, now + 10)
    assert await take(store, "b") is None
    assert await take(store, "b", "other") == Lease("other", "b", 1, now + 10)
    LEASE_CLOCK.at += 9
    assert await take(store, "a") == Lease("tidy", "a", 1, now + 19)
    LEASE_CLOCK.at += 9.5
    assert await take(store, "b") is None
    LEASE_CLOCK.at += 0.5
    assert await take(store, "b") == Lease("tidy", "b", 2, now + 29)
    assert await take(store, "a") is None
    async with store.read() as reading:
        assert await reading.lease("tidy") == Lease("tidy", "b", 2, now + 29)
        assert await reading.lease("nothing") is None


async def test_a_lease_is_given_back_by_its_holder_only(store: Store) -> None:
    await take(store, "a")
    await store.write(lambda writing: writing.give_lease_back("tidy", "b"))
    assert await take(store, "b") is None
    await store.write(lambda writing: writing.give_lease_back("tidy", "a"))
    lease = await take(store, "b")
    assert lease is not None
    assert lease.term == 2


async def test_of_many_that_ask_at_once_one_gets_it(store: Store) -> None:
    found = await asyncio.gather(*(take(store, f"holder{number}") for number in range(20)))
    assert sum(lease is not None for lease in found) == 1
