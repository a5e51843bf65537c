"""How the units of one transaction are kept apart, and what is done for several of them at once.

``OneByOne`` runs each in a savepoint of its own and each of its statements when it comes: right for SQLite, where a
statement costs next to nothing. PostgreSQL gathers them (``gathered``).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.ports.store import Conflict, ForeseenReport, StoreUnavailable
from gateway.storage.sql.remembered_rows import RememberedRows
from gateway.storage.sql.rows import Rows
from gateway.storage.sql.writing import SqlWriting


class Group(Protocol):
    """The units of one transaction, one after the other: ``begin``, the work, ``finish``, then ``keep`` or ``undo``.

    All of it may raise ``StoreUnavailable`` and ``Conflict``.
    """

    failed: StoreUnavailable | Conflict | None
    """Why what was put off for units that are done could not be written; the transaction is of no use any more."""
    foresees: bool
    """Whether ``foresee`` does anything."""

    async def foresee(self, reports: Sequence[ForeseenReport]) -> None:
        """Read what units that come next will look at."""
        ...

    async def begin(self, *, alone: bool) -> SqlWriting:
        """The next unit. ``alone``: nothing of it is put off, so that what fails is its own."""
        ...

    async def finish(self) -> None:
        """The work is done; what is written here still counts as the unit's."""
        ...

    async def keep(self) -> None:
        """The unit stays."""
        ...

    async def undo(self) -> None:
        """The unit has not been."""
        ...

    async def settle(self) -> None:
        """No unit comes any more: write what was put off."""
        ...


class Savepoints(Protocol):
    """What a group needs of its transaction."""

    sequence: int
    incarnation: str

    @property
    def rows(self) -> Rows:
        """Where statements run."""
        ...

    async def savepoint(self, statement: str) -> None:
        """SAVEPOINT, RELEASE or ROLLBACK TO."""
        ...


class OneByOne:
    """``Group`` with a savepoint for each unit."""

    failed: StoreUnavailable | Conflict | None = None
    foresees = False

    def __init__(
        self, transaction: Savepoints, lease_clock: Callable[[], float] | None, now: Callable[[], float]
    ) -> None:
        self._transaction = transaction
        self._lease_clock = lease_clock
        self._now = now
        # For all of them: reports of one source ask for the same source, one after the other.
        self._rows = RememberedRows(transaction.rows)

    async def foresee(self, reports: Sequence[ForeseenReport]) -> None:
        """Nothing: a statement costs next to nothing."""

    async def begin(self, *, alone: bool) -> SqlWriting:
        """In a savepoint."""
        await self._transaction.savepoint("SAVEPOINT unit")
        state = self._transaction.sequence, self._transaction.incarnation
        return SqlWriting(self._rows, *state, self._lease_clock, self._now)

    async def finish(self) -> None:
        """Nothing was put off."""

    async def keep(self) -> None:
        """Let the savepoint go."""
        await self._transaction.savepoint("RELEASE unit")

    async def undo(self) -> None:
        """Go back to the savepoint."""
        # What it read of its own writes is undone.
        self._rows.forget_all()
        await self._transaction.savepoint("ROLLBACK TO unit")
        await self._transaction.savepoint("RELEASE unit")

    async def settle(self) -> None:
        """Nothing was put off."""
