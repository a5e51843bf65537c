"""The store in memory: the reference that every other store is compared with, and the double for tests.

Works run one after another, each on a private copy of the tables; what a reader holds never changes.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from gateway.ports.store import Change, Reading, StoreUnavailable, Writing
from gateway.storage.audit_rows import Seal, unsealed
from gateway.storage.change_rows import LOG_KEEPS
from gateway.storage.memory.reading import MemoryReading
from gateway.storage.memory.tables import Tables
from gateway.storage.memory.writing import MemoryWriting

T = TypeVar("T")


class MemoryStore:
    """``ports.store.Store`` in memory."""

    def __init__(
        self, *, keep_changes: int = LOG_KEEPS, now: Callable[[], float] = time.time, seal: Seal = unsealed
    ) -> None:
        self._tables = Tables(incarnation=secrets.token_hex(8))
        self._keep_changes = keep_changes
        self._now = now
        self._seal = seal
        self._turn = asyncio.Lock()
        self.unavailable = ""
        """While this is set, every call raises ``StoreUnavailable`` with it."""

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A snapshot of what is committed now."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reading]:
        self._check_available()
        yield MemoryReading(self._tables)

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """Run a reading on a snapshot of what is committed now."""
        self._check_available()
        return await work(MemoryReading(self._tables))

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a unit of work; its effects are there as a whole or not at all."""
        async with self._turn:
            self._check_available()
            writing = MemoryWriting(self._tables, self._now)
            result = await work(writing)
            self._check_available()
            changes = writing.finish(self._now(), self._keep_changes, self._seal)
            self._tables = writing.tables
        return result, changes

    async def scrub(self) -> str:
        """There are no files."""
        return ""

    async def close(self) -> None:
        """Refuse further calls."""
        self.unavailable = "the store is closed"

    def _check_available(self) -> None:
        if self.unavailable:
            raise StoreUnavailable(self.unavailable)
