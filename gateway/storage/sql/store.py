"""The SQL store: opened writable by the control process, which migrates it, and read-only by everybody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gateway.domain.errors import InvalidValue
from gateway.ports.store import Change, Reading, StoreUnavailable, Writing
from gateway.storage.audit_rows import Seal, unsealed
from gateway.storage.change_rows import LOG_KEEPS
from gateway.storage.sql.goes_forward import Told, WentBack, nobody_hears
from gateway.storage.sql.group_commit import GroupCommit, Transaction
from gateway.storage.sql.migrating import prepare_postgres, prepare_sqlite
from gateway.storage.sql.postgres_url import PostgresBounds, is_postgres, postgres_target
from gateway.storage.sql.reading_ahead import SqlReadingAhead
from gateway.storage.sql.rows import Rows
from gateway.storage.sql.sqlite import BUSY_SECONDS, SqliteDatabase

T = TypeVar("T")


class Database(Protocol):
    """Connections to a database."""

    place: str
    """For sentences: where it is, without secrets."""

    async def begin(self) -> Transaction:
        """The writer's next transaction. Raises ``StoreUnavailable``."""
        ...

    def reader(self) -> AbstractAsyncContextManager[tuple[Rows, int, str]]:
        """A read transaction: its rows, and the state it sees. Raises ``StoreUnavailable``."""
        ...

    async def at_once(self, work: Callable[[Rows, int, str], Coroutine[Any, Any, T]]) -> T:
        """A whole read transaction; ``work`` waits for nothing but its rows. Raises ``StoreUnavailable``."""
        ...

    async def scrub(self) -> str:
        """See ``Store.scrub``."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class SqlStore:
    """``ports.store.Store`` on an SQL database."""

    def __init__(
        self,
        database: Database,
        *,
        keep_changes: int,
        now: Callable[[], float],
        lease_clock: Callable[[], float] | None = None,
        seal: Seal = unsealed,
    ) -> None:
        self._database = database
        self._commits = GroupCommit(
            database.begin, keep_changes=keep_changes, now=now, lease_clock=lease_clock, seal=seal
        )
        self._closed = False
        self.place = database.place
        """Where it is, without secrets."""

    def held_against(self, told: Told, went_back: WentBack = nobody_hears) -> None:
        """Write to no server from now on that lacks what ``told`` knows: one that took over may lack it.

        ``went_back`` hears of each time that nothing was written for that.
        """
        self._commits.forward.told = told
        self._commits.forward.went_back = went_back

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A snapshot of what is committed now."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reading]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        async with self._database.reader() as (rows, sequence, incarnation):
            yield SqlReadingAhead(rows, sequence, incarnation)

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """Run a reading in one go: on SQLite a hop to a reader's thread and back, not one for each statement."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._database.at_once(lambda rows, *state: work(SqlReadingAhead(rows, *state)))

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a unit of work in the next shared transaction."""
        return await self._commits.submit(work)

    async def scrub(self) -> str:
        """Bring SQLite's file to the state of now and empty what stands beside it; PostgreSQL sees to that itself."""
        return await self._database.scrub()

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
    bounds: PostgresBounds = PostgresBounds(),  # noqa: B008  (frozen)
    now: Callable[[], float] = time.time,
    lease_clock: Callable[[], float] | None = None,
    seal: Seal = unsealed,
) -> SqlStore:
    """Open ``sqlite:////absolute/path`` or ``postgresql://…``; ``writable`` also makes the tables and migrates them.

    ``busy_seconds`` is SQLite's, ``bounds`` PostgreSQL's; leases go by the database's clock where no other is given;
    ``seal`` marks what this process writes to the audit log.
    Raises ``StoreUnavailable``, ``SchemaTooOld`` (read-only open before the migration), ``SchemaTooNew``, and
    ``InvalidValue`` for a URL that means no database.
    """
    database: Database
    if is_postgres(url):
        # Here, because a gateway on SQLite need not hold PostgreSQL's driver in memory.
        from gateway.storage.sql.postgres import PostgresDatabase

        target = postgres_target(url)
        await prepare_postgres(target, writable, bounds)
        database = PostgresDatabase(target, writable=writable, bounds=bounds)
    else:
        path = sqlite_path(url)
        await asyncio.to_thread(prepare_sqlite, path, writable, busy_seconds)
        database = SqliteDatabase(path, writable=writable, busy_seconds=busy_seconds)
    return SqlStore(database, keep_changes=keep_changes, now=now, lease_clock=lease_clock, seal=seal)


def sqlite_path(url: str) -> Path:
    """The file that a database URL names: all behind ``sqlite:///``, to the letter.

    Raises ``InvalidValue``; never repeats the URL, which may hold a secret.
    """
    scheme, separator, rest = url.partition(":///")
    if scheme != "sqlite" or not separator or not rest.startswith("/"):
        raise InvalidValue(
            "the database URL must be sqlite:////absolute/path or postgresql://user:password@host/database"
        )
    return Path(rest)
