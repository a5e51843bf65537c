"""A store that a test holds up, or lets fail, around the real one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from gateway.ports.store import Change, Reading, Store, StoreUnavailable, Writing

T = TypeVar("T")


class HeldStore:
    """``ports.store.Store``. Writes wait while they are held; with ``failing`` set, they raise instead."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._open = asyncio.Event()
        self._open.set()
        self._waiting = 0
        self._came = asyncio.Condition()
        self.failing: Exception | None = None
        self.failing_late = False
        """Fail at the end of the unit of work, as a commit does."""
        self.reads_fail = False
        self.reads_hang = False

    def hold(self) -> None:
        """From now on writes wait."""
        self._open.clear()

    def release(self) -> None:
        """Let them go on."""
        self._open.set()

    async def until_waiting(self, count: int) -> None:
        """Until so many writes wait."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: self._waiting >= count)

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A snapshot."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reading]:
        if self.reads_fail:
            raise StoreUnavailable("the store is away")
        if self.reads_hang:
            await asyncio.Event().wait()
        async with self._inner.read() as reading:
            yield reading

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """The same for a reading in one go."""
        async with self.read() as reading:
            return await work(reading)

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a unit of work when it is let go."""
        self._waiting += 1
        async with self._came:
            self._came.notify_all()
        try:
            await self._open.wait()
        finally:
            self._waiting -= 1
        if self.failing is not None and not self.failing_late:
            raise self.failing

        async def observed(writing: Writing) -> T:
            result = await work(writing)
            if self.failing is not None:
                raise self.failing
            return result

        return await self._inner.write(observed)

    async def scrub(self) -> str:
        """The real one."""
        return await self._inner.scrub()

    async def close(self) -> None:
        """The real one is closed by who opened it."""
