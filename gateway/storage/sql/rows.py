"""How statements reach a database connection: the seam between the readings and a database's driver.

SQLite has two. ``InlineRows`` runs a statement on the loop's own thread: the writer's transaction holds the lock and
the pages it touches are at hand, so a statement costs 20 µs, a hop to another thread and back 60 µs and aiosqlite under
SQLAlchemy 300 µs (four hops). ``ThreadedRows`` gives each statement to the connection's thread: a reader may wait for
the disk. PostgreSQL's are in ``postgres_rows``.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

from gateway.storage.sql.errors import translated

T = TypeVar("T")

Parameters: TypeAlias = Mapping[str, object] | Sequence[Mapping[str, object]]

AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What asyncpg raises beside what SQLAlchemy wraps: also while it connects, and when an answer does not come."""


class Rows(Protocol):
    """Runs statements in one transaction. Raises ``StoreUnavailable`` and ``Conflict``, never the driver's errors."""

    dialect: str

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        """The rows of a statement that gives rows; columns are their attributes."""
        ...

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        """Run a statement that gives no rows, once per mapping; the number of rows it touched."""
        ...


def guarded(call: Callable[[], T], place: str) -> T:
    """Call the driver and translate its errors."""
    try:
        return call()
    except (DBAPIError, sqlite3.Error) as error:
        raise translated(error, place) from error


class InlineRows:
    """Statements on the caller's thread."""

    def __init__(self, connection: Connection, place: str) -> None:
        self.dialect = connection.dialect.name
        self._connection = connection
        self._place = place

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        try:
            return self._connection.execute(statement, parameters).all()
        except DBAPIError as error:
            raise translated(error, self._place) from error

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        try:
            return self._connection.execute(statement, parameters).rowcount
        except DBAPIError as error:
            raise translated(error, self._place) from error


class ThreadedRows:
    """Statements on the connection's own thread."""

    def __init__(self, connection: Connection, thread: Executor, place: str) -> None:
        self.dialect = connection.dialect.name
        self._connection = connection
        self._thread = thread
        self._place = place

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        return await self._hop(lambda: self._connection.execute(statement, parameters).all())

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        return await self._hop(lambda: self._connection.execute(statement, parameters).rowcount)

    async def _hop(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded, call, self._place)
