"""Statements on SQLite: compiled once by SQLAlchemy, then handed to ``sqlite3`` itself.

SQLAlchemy keeps the connection (BEGIN, COMMIT) and writes the SQL; a statement its way costs some 30 µs more than the
driver's own, and a report is some twenty statements, a person's record ten. What needs more than a text and its values
(an IN of a list) still goes SQLAlchemy's way.

``InlineRows`` runs a statement on the caller's thread: the writer's transaction holds the lock and the pages it touches
are at hand, so a hop to another thread and back would cost several times the statement. ``ThreadedRows`` gives each to
the connection's thread: a reader may wait for the disk.
"""

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Boolean, Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.storage.sql.errors import translated
from gateway.storage.sql.rows import Parameters, each_of, guarded

T = TypeVar("T")

_DIALECT = SQLiteDialect_pysqlite()


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as the driver takes it. Its values need no change: ``schema`` has no type that SQLite does not."""

    sql: str
    names: tuple[str, ...]
    """Of its values, in their order."""
    row: Callable[[sqlite3.Cursor, tuple[Any, ...]], Any] | None
    """Makes a row with attributes."""


@lru_cache(maxsize=512)
def _text_of(statement: ClauseElement, keys: tuple[str, ...]) -> _Text | None:
    """None for a statement whose text depends on its values."""
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(keys) if keys else None)
    if not isinstance(compiled, SQLCompiler) or compiled.post_compile_params:
        return None
    names = tuple(compiled.positiontup or ())
    return _Text(compiled.string, names, _row_of(compiled)) if set(names) <= set(keys) else None


def _row_of(compiled: SQLCompiler) -> Callable[[sqlite3.Cursor, tuple[Any, ...]], Any] | None:
    columns = compiled._result_columns
    if not columns:
        return None
    kind = namedtuple("Row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]
    kind._mapping = property(kind._asdict)  # type: ignore[attr-defined]
    # SQLite has no type for these: it gives 0 and 1.
    flags = [place for place, column in enumerate(columns) if isinstance(column.type, Boolean)]
    if not flags:
        return lambda cursor, values: kind._make(values)

    def with_flags(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Any:
        changed = list(values)
        for place in flags:
            changed[place] = None if values[place] is None else bool(values[place])
        return kind._make(changed)

    return with_flags


class _Statements:
    """Runs statements in the transaction of a connection, on the calling thread."""

    dialect = "sqlite"

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._place = place
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver: sqlite3.Connection = driver

    def _all(self, statement: Executable, parameters: Mapping[str, object] | None) -> Sequence[Any]:
        values = parameters or {}
        text = _text_of(statement, tuple(values))
        if text is None:
            return self._connection.execute(statement, parameters).all()
        cursor = self._driver.execute(text.sql, [values[name] for name in text.names])
        if text.row is not None:
            cursor.row_factory = text.row
        return cursor.fetchall()

    def _run(self, statement: Executable, parameters: Parameters | None) -> int:
        each = each_of(parameters)
        text = _text_of(statement, tuple(each[0]))
        if text is None:
            return self._connection.execute(statement, parameters).rowcount
        rows = [[values[name] for name in text.names] for values in each]
        if len(rows) == 1:
            return self._driver.execute(text.sql, rows[0]).rowcount
        return self._driver.executemany(text.sql, rows).rowcount

    def say(self, statement: str) -> None:
        """A statement as the database knows it."""
        self._driver.execute(statement).close()


class InlineRows(_Statements):
    """Statements on the caller's thread."""

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        try:
            return self._all(statement, parameters)
        except (DBAPIError, sqlite3.Error) as error:
            raise translated(error, self._place) from error

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        try:
            return self._run(statement, parameters)
        except (DBAPIError, sqlite3.Error) as error:
            raise translated(error, self._place) from error


class ThreadedRows(_Statements):
    """Statements on the connection's own thread."""

    def __init__(self, connection: Connection, thread: Executor, place: str) -> None:
        super().__init__(connection, place)
        self._thread = thread

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        return await self._hop(lambda: self._all(statement, parameters))

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        return await self._hop(lambda: self._run(statement, parameters))

    async def _hop(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded, call, self._place)
