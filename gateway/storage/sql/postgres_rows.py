"""Statements on PostgreSQL: compiled once by SQLAlchemy, then handed to asyncpg itself.

SQLAlchemy's way to asyncpg costs 190 µs of processor time a statement, asyncpg alone about 60, and a report is some
thirty statements. So SQLAlchemy keeps the connection (pool, BEGIN, COMMIT) and writes the SQL, and what is in between
goes straight. What needs more than a text and its values (an IN of a list) still goes SQLAlchemy's way.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ClauseElement, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.storage.sql.errors import translated
from gateway.storage.sql.postgres_errors import AWAY
from gateway.storage.sql.rows import Parameters, each_of

T = TypeVar("T")

READ_ONLY = "25006"
"""SQLSTATE read_only_sql_transaction: the server has become a standby, and another one of the group is asked next."""
_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

Text: TypeAlias = tuple[str, tuple[str, ...]]
"""A statement as the server takes it, and the names of its values in their order."""


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row as the readings take it: columns by position and as attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> "Row":
        return self


@lru_cache(maxsize=512)
def _text_of(statement: ClauseElement, keys: tuple[str, ...]) -> Text | None:
    """None for a statement whose text depends on its values."""
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(keys) if keys else None)
    if not isinstance(compiled, SQLCompiler) or compiled.post_compile_params or compiled._bind_processors:
        return None
    names = tuple(compiled.positiontup or ())
    return (compiled.string, names) if set(names) <= set(keys) else None


class AsyncRows:
    """Statements SQLAlchemy's way, for what is not done with every report."""

    dialect = "postgresql"

    def __init__(self, connection: AsyncConnection, place: str) -> None:
        self._connection = connection
        self._place = place

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        return (await self._done(self._connection.execute(statement, parameters))).all()

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        return (await self._done(self._connection.execute(statement, parameters))).rowcount

    async def _done(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except asyncio.CancelledError:
            # In the middle of an answer.
            await self.give_up()
            raise
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == READ_ONLY:
                await self.give_up()
            raise translated(error, self._place) from error
        except Exception as error:
            # Beside its own errors asyncpg lets out those of transports that break under it.
            if not self._is_sound_after(error):
                await self.give_up()
            raise translated(error, self._place) from error

    def _is_sound_after(self, error: Exception) -> bool:
        return False

    async def give_up(self) -> None:
        """Let go of the connection; it is of no use to anybody."""
        with suppress(*AWAY, SQLAlchemyError):
            await self._connection.invalidate()


class PostgresRows(AsyncRows):
    """Statements straight to the driver, in the transaction that ``begin`` has begun."""

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection, place: str) -> None:
        """``driver`` is what ``connection`` holds."""
        super().__init__(connection, place)
        self._driver = driver

    async def begin(self, first: Executable) -> Sequence[Any]:
        """Begin a transaction with its first statement; the rows of that."""
        return await super().all(first)

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        values = parameters or {}
        text = _text_of(statement, tuple(values))
        if text is None:
            return await super().all(statement, parameters)
        sql, names = text
        found: Sequence[Any] = await self._done(self._driver.fetch(sql, *[values[name] for name in names]))
        return found

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        each = each_of(parameters)
        text = _text_of(statement, tuple(each[0]))
        if text is None:
            return await super().run(statement, parameters)
        sql, names = text
        rows = [[values[name] for name in names] for values in each]
        if len(rows) > 1:
            await self._done(self._driver.executemany(sql, rows))
            return len(rows)
        return _touched(await self._done(self._driver.execute(sql, *rows[0])))

    async def say(self, statement: str, *values: object) -> None:
        """A statement as the server knows it; its values are $1 and so on."""
        await self._done(self._driver.execute(statement, *values))

    async def ask(self, statement: str, *values: object) -> Sequence[Any]:
        """The rows of such a statement."""
        found: Sequence[Any] = await self._done(self._driver.fetch(statement, *values))
        return found

    def _is_sound_after(self, error: Exception) -> bool:
        refused = isinstance(error, asyncpg.PostgresError | asyncpg.DataError) and not self._driver.is_closed()
        return refused and getattr(error, "sqlstate", None) != READ_ONLY

    async def give_up(self) -> None:
        """Let go of the connection; nobody waits for its server."""
        self._driver.terminate()
        await super().give_up()


def _touched(status: str) -> int:
    """The number of rows in the word of a command's end, like ``DELETE 3``."""
    number = status.rpartition(" ")[2]
    return int(number) if number.isdigit() else 0
