"""The SQL store: opened writable by the control process, which migrates it, and read-only by everybody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.domain.errors import InvalidValue
from gateway.ports.store import Change, Reading, StoreUnavailable, Writing
from gateway.storage.change_rows import LOG_KEEPS
from gateway.storage.sql.group_commit import GroupCommit
from gateway.storage.sql.migrating import prepare
from gateway.storage.sql.reading import SqlReading
from gateway.storage.sql.sqlite import BUSY_SECONDS, SqliteDatabase

T = TypeVar("T")


class SqlStore:
    """``ports.store.Store`` on an SQL database."""

    def __init__(self, database: SqliteDatabase, *, keep_changes: int, now: Callable[[], float]) -> None:
        self._database = database
        self._commits = GroupCommit(database.begin, keep_changes=keep_changes, now=now)
        self._closed = False

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A snapshot of what is committed now."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reading]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        async with self._database.reader() as (rows, sequence, incarnation):
            yield SqlReading(rows, sequence, incarnation)

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """Run a reading on a reader's thread in one go: a hop there and back, not one for each statement."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._database.at_once(lambda rows, *state: work(SqlReading(rows, *state)))

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a unit of work in the next shared transaction."""
        return await self._commits.submit(work)

    async def close(self) -> None:
        """Finish what is waiting, then close the connections."""
        self._closed = True
        await self._commits.close()
        await self._database.close()


async def open_store(
    url: str,
    *,
    writable: bool,
    keep_changes: int = LOG_KEEPS,
    busy_seconds: float = BUSY_SECONDS,
    now: Callable[[], float] = time.time,
) -> SqlStore:
    """Open ``sqlite:////absolute/path``; ``writable`` also makes and migrates it.

    Raises ``StoreUnavailable``, ``SchemaTooOld`` (read-only open before the migration), ``SchemaTooNew``, and
    ``InvalidValue`` for a URL that means no database.
    """
    path = sqlite_path(url)
    await asyncio.to_thread(prepare, path, writable, busy_seconds)
    database = SqliteDatabase(path, writable=writable, busy_seconds=busy_seconds)
    return SqlStore(database, keep_changes=keep_changes, now=now)


def sqlite_path(url: str) -> Path:
    """The file that a database URL names: all behind ``sqlite:///``, to the letter.

    Raises ``InvalidValue``; never repeats the URL, which may hold a secret.
    """
    scheme, separator, rest = url.partition(":///")
    if scheme != "sqlite" or not separator or not rest.startswith("/"):
        raise InvalidValue("the database URL must be sqlite:////absolute/path")
    return Path(rest)
