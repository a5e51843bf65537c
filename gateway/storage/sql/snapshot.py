"""A database as it is at one moment, table by table, whatever its schema: what a backup is made of.

Tables and columns are read from the database and not from the code, so that a backup before a migration, or of a
database that a newer version has migrated, holds every column. Rows come in the order of their keys, a page at a time,
all from one read transaction.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, func, literal, select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import postgres, schema, sqlite
from gateway.storage.sql.errors import translated
from gateway.storage.sql.migrating import is_there
from gateway.storage.sql.postgres_errors import AWAY
from gateway.storage.sql.postgres_rows import AsyncRows
from gateway.storage.sql.postgres_url import PostgresBounds, is_postgres, postgres_target
from gateway.storage.sql.reading import STATE
from gateway.storage.sql.rows import Rows, guarded
from gateway.storage.sql.sqlite_rows import InlineRows
from gateway.storage.sql.store import sqlite_path

PAGE = 500
LEFT_OUT = frozenset({"alembic_version", "leases"})
"""Tables of no use later: the header has the revision, and leases are of processes that run now."""
PATIENT = PostgresBounds(statement=3600.0, lock=60.0, idle=600.0, answer=3600.0)
"""Whole tables are read or written, and nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a database; only inside ``snapshot``."""

    rows: Rows
    tables: tuple[Table, ...]
    """Those to be kept, parents before children."""
    revision: str
    sequence: int
    incarnation: str
    policy_version: int

    async def counts(self) -> dict[str, int]:
        """Rows of each table."""
        found = {}
        for table in self.tables:
            ((count,),) = await self.rows.all(select(func.count()).select_from(table))
            found[str(table.name)] = int(count)
        return found

    async def pages(self, table: Table) -> AsyncIterator[Sequence[Any]]:
        """All rows of a table, some at a time."""
        key = list(table.primary_key.columns)
        ordered = select(table).order_by(*key).limit(PAGE)
        page = await self.rows.all(ordered)
        while page:
            yield page
            if len(page) < PAGE:
                return
            last = [literal(page[-1]._mapping[column.name], column.type) for column in key]
            page = await self.rows.all(ordered.where(tuple_(*key) > tuple_(*last)))


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Snapshot]:
    """What is committed now. Raises ``StoreUnavailable``, ``InvalidValue``."""
    of_kind = _of_postgres(url) if is_postgres(url) else _of_sqlite(url)
    async with of_kind as found:
        yield found


@asynccontextmanager
async def _of_sqlite(url: str) -> AsyncIterator[Snapshot]:
    path = sqlite_path(url)
    if not is_there(path):
        raise StoreUnavailable(f"the database {path} is not there: is [gateway] data_dir or [storage] url right?")
    connection = guarded(sqlite.engine_of(path, writable=False).connect, str(path))
    try:
        guarded(connection.begin, str(path))
        revision, tables = guarded(lambda: _reflected(connection), str(path))
        yield await _at_this_moment(InlineRows(connection, str(path)), revision, tables, str(path))
    finally:
        connection.close()


@asynccontextmanager
async def _of_postgres(url: str) -> AsyncIterator[Snapshot]:
    target = postgres_target(url)
    engine = postgres.engine_of(target, PATIENT, connections=1).execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        connection = await _reached(engine, target.place)
        try:
            revision, tables = await _looked_at(connection, target.place)
            yield await _at_this_moment(AsyncRows(connection, target.place), revision, tables, target.place)
        finally:
            await postgres.given_back(connection)
    finally:
        await engine.dispose()


async def _reached(engine: AsyncEngine, place: str) -> AsyncConnection:
    try:
        return await engine.connect()
    except (DBAPIError, *AWAY) as error:
        raise translated(error, place) from error


async def _looked_at(connection: AsyncConnection, place: str) -> tuple[str, tuple[Table, ...]]:
    try:
        return await connection.run_sync(_reflected)
    except (DBAPIError, *AWAY) as error:
        raise translated(error, place) from error


def _reflected(connection: Connection) -> tuple[str, tuple[Table, ...]]:
    revision = MigrationContext.configure(connection).get_current_revision() or ""
    found = MetaData()
    found.reflect(connection)
    return revision, tuple(table for table in found.sorted_tables if table.name not in LEFT_OUT)


async def _at_this_moment(rows: Rows, revision: str, tables: tuple[Table, ...], place: str) -> Snapshot:
    if not revision:
        raise StoreUnavailable(f"{place} holds no Gatepost database: there is nothing to back up")
    ((sequence, incarnation),) = await rows.all(STATE)
    ((newest,),) = await rows.all(select(func.coalesce(func.max(schema.policies.c.number), 0)))
    return Snapshot(rows, tables, revision, int(sequence), str(incarnation), int(newest))
