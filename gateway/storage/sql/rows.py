"""How statements reach a database connection: the seam between the readings and a database's driver.

What is behind it is in ``sqlite_rows`` and ``postgres_rows``, what is before it in ``remembered_rows``.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

from gateway.storage.sql.errors import translated

T = TypeVar("T")

Parameters: TypeAlias = Mapping[str, object] | Sequence[Mapping[str, object]]


class Rows(Protocol):
    """Runs statements in one transaction. Raises ``StoreUnavailable`` and ``Conflict``, never the driver's errors."""

    dialect: str

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        """The rows of a statement that gives rows; columns are their attributes."""
        ...

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        """Run a statement that gives no rows, once per mapping; the number of rows it touched."""
        ...


def each_of(parameters: Parameters | None) -> Sequence[Mapping[str, object]]:
    """The values of each time that a statement is run; once without any."""
    if parameters is None or isinstance(parameters, Mapping):
        return [parameters or {}]
    return parameters


def guarded(call: Callable[[], T], place: str) -> T:
    """Call the driver and translate its errors."""
    try:
        return call()
    except (DBAPIError, sqlite3.Error) as error:
        raise translated(error, place) from error
