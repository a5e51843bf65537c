"""What groups on PostgreSQL leave in memory, where nobody collects garbage."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from weakref import WeakSet

import pytest

from gateway.domain.inventory import DeviceKey
from gateway.ports.store import ForeseenReport, ForeseenWork, StoreUnavailable, Writing
from gateway.storage.sql import SqlStore, group_commit, open_store
from gateway.storage.sql.gathered import Gathered
from gateway.storage.sql.gathered_writing import GatheredWriting
from tests.support.stored_values import inventory, person


@pytest.fixture
async def store(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    # However slow the machine is: what comes together is one group.
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 60.0)
    opened = await open_store(new_database(), writable=True)
    await opened.write(lambda writing: writing.put_person(person("ann")))
    yield opened
    await opened.close()


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeakSet[Gathered]]:
    """Those that are there, of all that begin from now on; nobody collects garbage meanwhile."""
    known, begin = WeakSet[Gathered](), Gathered.begin

    async def watched(self: Gathered, *, alone: bool) -> GatheredWriting:
        known.add(self)
        return await begin(self, alone=alone)

    monkeypatch.setattr(Gathered, "begin", watched)
    gc.collect()
    gc.disable()
    yield known
    gc.enable()


async def ended(store: SqlStore) -> None:
    if store._commits._running is not None:
        await asyncio.wait({store._commits._running})
    # What tells of the last transaction's end is let go a turn of the loop later.
    await asyncio.sleep(0.01)


@pytest.mark.live
async def test_nothing_of_a_group_whose_works_are_done(store: SqlStore, groups: WeakSet[Gathered]) -> None:
    async def work(writing: Writing) -> None:
        assert len(groups) == 1
        assert await writing.person_by_login("ann") is not None
        await writing.put_person(person("bob"))

    await store.write(work)
    await ended(store)
    assert len(groups) == 0


@pytest.mark.live
async def test_nothing_of_groups_that_cannot_write_what_was_put_off(store: SqlStore, groups: WeakSet[Gathered]) -> None:
    """Before a work that reads, whose error it is."""
    most = 0

    async def put(writing: Writing) -> None:
        await writing.put_inventory(inventory("d1", keys=(DeviceKey("imei", "not\x00storable"),)))

    async def read(writing: Writing) -> None:
        nonlocal most
        most = max(most, len(groups))
        await writing.policy_change(1)

    first = ForeseenWork(put, ForeseenReport("mdm", "m", "d1", (), ()))
    done = await asyncio.gather(store.write(first), store.write(read), return_exceptions=True)
    assert [isinstance(each, StoreUnavailable) for each in done] == [True, False]
    del done
    await ended(store)
    assert most >= 1
    assert len(groups) == 0
