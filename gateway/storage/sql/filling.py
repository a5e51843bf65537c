"""Fills a new SQLite file in bulk, as no gateway does it: for the fleets of the demo and of the benchmarks.

Nothing is checked that reports and imports check, and there is no journal: nobody else has the file, and one that is
broken off is made anew. Rows should come in the order of their primary keys, so that they are appended.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.storage.sql import schema
from gateway.storage.sql.migrating import prepare_sqlite
from gateway.storage.sql.sqlite import BUSY_SECONDS

AT_ONCE = 5_000
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-400000")

Tick = Callable[[str, int, int], None]
"""Told of which table how many rows of how many are written."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What goes into one table."""

    table: str
    columns: tuple[str, ...]
    rows: Iterable[Sequence[object]]
    count: int
    """How many rows there are, for whoever watches."""


def fill(path: Path, tables: Iterable[Filled], tick: Tick = lambda table, done, whole: None) -> tuple[str, int]:
    """Write a new database with all its tables; the life of the store and its sequence, for an index beside it.

    Raises ``StoreUnavailable`` where the file cannot be made.
    """
    prepare_sqlite(path, True, BUSY_SECONDS)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()
        life, sequence = connection.execute("SELECT incarnation, sequence FROM store_state").fetchone()
        connection.execute("BEGIN")
        for each in tables:
            _write(connection, each, tick)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL").close()
    finally:
        connection.close()
    return life, sequence


def _write(connection: sqlite3.Connection, filled: Filled, tick: Tick) -> None:
    sql, rows, done = _statement(filled), iter(filled.rows), 0
    while batch := list(islice(rows, AT_ONCE)):
        connection.executemany(sql, batch)
        done += len(batch)
        tick(filled.table, done, filled.count)


def _statement(filled: Filled) -> str:
    """By the schema's own names: a column that is not there is a ``KeyError``."""
    table = schema.metadata.tables[filled.table]
    columns = ", ".join(f'"{table.c[name].name}"' for name in filled.columns)
    marks = ", ".join("?" * len(filled.columns))
    return f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})'  # noqa: S608  (names of the schema)
