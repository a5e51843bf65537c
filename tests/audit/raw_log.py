"""Somebody who can write the database, without the triggers: SQLite by its file, PostgreSQL as its owner."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from gateway.domain.audit.chain import AuditHead, GrowingLog, head_before
from gateway.domain.audit.stored import StoredEntry

TABLES = ("audit_entries", "audit_head", "audit_checkpoints", "audit_dropped")


class RawLog(Protocol):
    """Statements with values in the place of question marks."""

    async def run(self, statement: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        """Run a statement once for each row of values."""
        ...

    async def all(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        ...

    async def without_triggers(self) -> None:
        """Take them out of the way."""
        ...


class RawSqlite:
    """By the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _do(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self._path)
        try:
            with connection:
                if len(rows) == 1:
                    return connection.execute(statement, rows[0]).fetchall()
                connection.executemany(statement, rows)
                return []
        finally:
            connection.close()

    async def run(self, statement: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        if rows:
            await asyncio.to_thread(self._do, statement, rows)

    async def all(self, statement: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._do, statement, ((),))

    async def without_triggers(self) -> None:
        for (name,) in await self.all(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
        ):
            await self.run(f"DROP TRIGGER {name}")


class RawPostgres:
    """As the role that owns the tables."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def run(self, statement: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        for place in range(statement.count("?")):
            statement = statement.replace("?", f"${place + 1}", 1)
        connection = await asyncpg.connect(self._url)
        try:
            if rows == ((),):
                await connection.execute(statement)
            else:
                await connection.executemany(statement, rows)
        finally:
            await connection.close()

    async def all(self, statement: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def without_triggers(self) -> None:
        for table in TABLES:
            await self.run(f"ALTER TABLE {table} DISABLE TRIGGER ALL")


async def entries(raw: RawLog) -> list[StoredEntry]:
    """All rows."""
    found = await raw.all("SELECT seq, entry, leaf, chain, seal FROM audit_entries ORDER BY seq")
    return [StoredEntry(row[0], *map(bytes, row[1:])) for row in found]


async def origin_of(raw: RawLog) -> str:
    """The log's name."""
    ((origin,),) = await raw.all("SELECT origin FROM audit_head")
    return str(origin)


async def put_entries(raw: RawLog, rows: Sequence[StoredEntry]) -> None:
    """In the place of all that there are; the head stays as it is."""
    await raw.run("DELETE FROM audit_entries")
    await raw.run(
        "INSERT INTO audit_entries (seq, entry, leaf, chain, seal) VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in rows]
    )


async def put_head(raw: RawLog, head: AuditHead) -> None:
    """Make the log's own head fit what is there now."""
    frontier = b"".join(head.frontier)
    await raw.run("UPDATE audit_head SET size = ?, chain = ?, frontier = ?", [(head.size, head.chain, frontier)])


async def head_of(raw: RawLog, rows: Sequence[StoredEntry]) -> AuditHead:
    """The head that fits those rows."""
    log = GrowingLog(head_before(await origin_of(raw)))
    for row in rows:
        log.add(row.entry)
    return log.head()
