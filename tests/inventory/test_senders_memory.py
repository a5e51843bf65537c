"""What readings of the sources that fail leave in memory, where nobody collects garbage."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

import pytest

from gateway.inventory.sources.push.senders import Senders
from gateway.ports.store import Reading, Store, StoreUnavailable
from gateway.storage.memory import MemoryStore
from tests.inventory.held_store import HeldStore

T = TypeVar("T")


class Body:
    """Of a report that waits for the sources."""


class WatchedStore(HeldStore):
    """Knows which of the tasks that read from it are still there."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.tasks = WeakSet[asyncio.Task[Any]]()

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        del task
        return await super().read_at_once(work)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(("hangs", "error"), [(False, StoreUnavailable), (True, TimeoutError)])
async def test_readings_that_fail_leave_nothing_but_the_last(hangs: bool, error: type[Exception]) -> None:
    """A store may be away for hours, and reports come all the while."""
    store, bodies = WatchedStore(MemoryStore()), WeakSet[Body]()
    store.reads_hang, store.reads_fail = hangs, not hangs
    senders = Senders(store, 0.001 if hangs else 5.0)

    async def report() -> None:
        body = Body()
        bodies.add(body)
        with pytest.raises(error):
            await senders.now()

    for _ in range(50):
        await asyncio.create_task(report())
    assert max(len(store.tasks), len(bodies)) <= 1
