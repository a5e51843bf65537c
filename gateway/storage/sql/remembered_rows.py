"""What has been read in a transaction is not read twice, until somebody in it writes to a table that was read.

A report compares the records of everybody concerned before and after, and most of what makes them up stays as it was.
Nobody else writes meanwhile: units of work run one after the other in the one transaction that holds the store's lock.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Delete, Insert, Select, Table, Update
from sqlalchemy.sql import CompoundSelect, Executable

from gateway.storage.sql import schema
from gateway.storage.sql.rows import Parameters, Rows

ROWS_AT_MOST = 64
"""Of one answer that is kept; longer ones are read page by page, each page once."""
ANSWERS_AT_MOST = 512

Remembered: TypeAlias = dict[tuple[object, ...], Sequence[Any]]

_TABLES: Mapping[str, Table] = schema.metadata.tables
_WORD = re.compile(r"\w+")


class RememberedRows:
    """``Rows`` for the units of one transaction."""

    def __init__(self, rows: Rows) -> None:
        self.dialect = rows.dialect
        self._rows = rows
        self._known: Remembered = {}

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        if not isinstance(statement, Select | CompoundSelect):
            # It may write as well, as UPDATE … RETURNING does.
            self._forget(statement)
            return await self._rows.all(statement, parameters)
        key = (statement, *(parameters.items() if parameters else ()))
        try:
            found = self._known.get(key)
        except TypeError:  # a list among the values
            return await self._rows.all(statement, parameters)
        if found is None:
            found = await self._rows.all(statement, parameters)
            if tables_read(statement) and len(found) <= ROWS_AT_MOST:
                if len(self._known) >= ANSWERS_AT_MOST:
                    self._known.clear()
                self._known[key] = found
        return found

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        self._forget(statement)
        return await self._rows.run(statement, parameters)

    def forget_all(self) -> None:
        """What was written is undone."""
        self._known.clear()

    def forget(self, written: Collection[str]) -> None:
        """Rows of these tables are others; none named: of any."""
        tables = frozenset(written)
        self._known = {
            key: found for key, found in self._known.items() if tables and tables.isdisjoint(tables_read(key[0]))
        }

    def remembered(self) -> Remembered:
        """What is known now, for ``remember``."""
        return self._known.copy()

    def remember(self, known: Remembered) -> None:
        """Know what was known then: what was done since is undone."""
        self._known = known

    def _forget(self, statement: Executable) -> None:
        self.forget(tables_written(statement))


@lru_cache(maxsize=512)
def tables_read(statement: object) -> frozenset[str]:
    """The tables that a SELECT may read: all whose name stands in it. None, such as for a clock: never remember it."""
    return frozenset(_TABLES.keys() & set(_WORD.findall(str(statement))))


@lru_cache(maxsize=512)
def tables_written(statement: Executable) -> frozenset[str]:
    """The tables that a statement may write to, those included from which a DELETE takes rows along; empty: any."""
    if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
        return frozenset()
    name = statement.table.name
    return _with_dependents(name) if isinstance(statement, Delete) else frozenset({name})


def _with_dependents(name: str) -> frozenset[str]:
    found, open_ = {name}, [name]
    while open_:
        referred = open_.pop()
        for table in _TABLES.values():
            names = {key.column.table.name for key in table.foreign_keys}
            if referred in names and table.name not in found:
                found.add(table.name)
                open_.append(table.name)
    return frozenset(found)
