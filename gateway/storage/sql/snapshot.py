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

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import schema
from gateway.storage.sql.reading import STATE
from gateway.storage.sql.rows import InlineRows, Rows, guarded
from gateway.storage.sql.sqlite import engine_of
from gateway.storage.sql.store import sqlite_path

PAGE = 500
LEFT_OUT = frozenset({"alembic_version", "leases"})
"""Tables of no use later: the header has the revision, and leases are of processes that run now."""


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
    path = sqlite_path(url)
    if not path.is_file():
        raise StoreUnavailable(f"the database {path} is not there: is [gateway] data_dir or [storage] url right?")
    connection = guarded(engine_of(path, writable=False).connect, str(path))
    try:
        revision, tables = guarded(lambda: _reflected(connection), str(path))
        if not revision:
            raise StoreUnavailable(f"{path} holds no Gatepost database: there is nothing to back up")
        guarded(connection.begin, str(path))
        yield await _at_this_moment(InlineRows(connection, str(path)), revision, tables)
    finally:
        connection.close()


def _reflected(connection: Connection) -> tuple[str, tuple[Table, ...]]:
    with connection.begin():
        revision = MigrationContext.configure(connection).get_current_revision() or ""
        found = MetaData()
        found.reflect(connection)
    return revision, tuple(table for table in found.sorted_tables if table.name not in LEFT_OUT)


async def _at_this_moment(rows: Rows, revision: str, tables: tuple[Table, ...]) -> Snapshot:
    ((sequence, incarnation),) = await rows.all(STATE)
    ((newest,),) = await rows.all(select(func.coalesce(func.max(schema.policies.c.number), 0)))
    return Snapshot(rows, tables, revision, int(sequence), str(incarnation), int(newest))
