"""The units of one transaction on PostgreSQL, where each statement costs a way there and back.

What reports will look at is read for all of them at once (``foreseeing``), what they write is put off and written for
all of them at once (``put_off``). Any other statement comes after what was put off, so that it finds what it would have
found without that; and the first one of a unit sets the unit's savepoint: a unit that has made none needs none to be
undone. Where rows that were put off cannot be written, nobody knows whose they are: the transaction ends, and its units
run again with nothing put off (``alone``).
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from weakref import proxy

from sqlalchemy import Select
from sqlalchemy.sql import CompoundSelect, Executable

from gateway.ports.store import Conflict, ForeseenReport, StoreUnavailable
from gateway.storage.sql.foreseeing import foresee
from gateway.storage.sql.gathered_writing import GatheredWriting
from gateway.storage.sql.group_memory import GroupMemory
from gateway.storage.sql.groups import Savepoints
from gateway.storage.sql.postgres_rows import PostgresRows
from gateway.storage.sql.put_off import PutOff
from gateway.storage.sql.remembered_rows import RememberedRows, tables_read, tables_written
from gateway.storage.sql.rows import Parameters


class Gathered:
    """``groups.Group`` that puts off what it can."""

    foresees = True

    def __init__(
        self,
        transaction: Savepoints,
        rows: PostgresRows,
        lease_clock: Callable[[], float] | None,
        now: Callable[[], float],
    ) -> None:
        """``rows`` are those of the transaction."""
        self.failed: StoreUnavailable | Conflict | None = None
        self._transaction = transaction
        self._database = rows
        self._lease_clock = lease_clock
        self._now = now
        self._rows = RememberedRows(_Direct(self, rows))
        self._memory = GroupMemory()
        self._put_off = PutOff()
        """By units that are done."""
        self._unit = self._writing()
        self._remembered = self._rows.remembered()
        self._alone = False
        self._marked = False
        """Whether the unit has its savepoint."""

    def _writing(self) -> GatheredWriting:
        state = self._transaction.sequence, self._transaction.incarnation
        return GatheredWriting(
            self._rows, *state, self._lease_clock, self._now, memory=self._memory.copy(), put_off=PutOff()
        )

    async def foresee(self, reports: Sequence[ForeseenReport]) -> None:
        """Read what they will look at, behind what was put off."""
        await self._write_put_off()
        await foresee(self._database, self._memory, reports)

    async def begin(self, *, alone: bool) -> GatheredWriting:
        """The next unit; where it is ``alone``, in a savepoint from the beginning."""
        self._unit, self._remembered = self._writing(), self._rows.remembered()
        self._alone, self._marked = alone, False
        if alone:
            await self._mark()
        return self._unit

    async def finish(self) -> None:
        """Of a unit alone nothing is put off."""
        if self._alone:
            await self._write_own()

    async def keep(self) -> None:
        """What it knows is what the next one knows."""
        self._memory = self._unit.memory
        self._memory.bound()
        self._put_off.take_in(self._unit.put_off)
        if self._marked:
            await self._transaction.savepoint("RELEASE unit")

    async def undo(self) -> None:
        """Forget what it has put off and what it knew; go back to its savepoint, if it has any."""
        self._rows.remember(self._remembered)
        if self._marked:
            await self._transaction.savepoint("ROLLBACK TO unit")
            await self._transaction.savepoint("RELEASE unit")

    async def settle(self) -> None:
        """Write what was put off."""
        await self._write_put_off()

    async def before(self, tables: Collection[str], *, writes: bool) -> None:
        """A statement of the unit comes that reads or writes these tables; none named: any."""
        if not self._marked:
            await self._mark()
        touched = self._unit.put_off.tables()
        if touched and (writes or not tables or not touched.isdisjoint(tables)):
            await self._write_own()

    def wrote(self, tables: Collection[str]) -> None:
        """A statement of the unit may have written to these tables; none named: to any."""
        self._unit.memory.forget(tables)

    async def _mark(self) -> None:
        """Set the unit's savepoint, behind what units before it have put off.

        Whoever gives the unit up does not cut that short: a statement that is cancelled costs the connection, and these
        rows are of others.
        """
        marking = asyncio.ensure_future(self._set_savepoint())
        given_up = False
        try:
            while not marking.done():
                try:
                    await asyncio.wait({marking})
                except asyncio.CancelledError:
                    given_up = True
            if given_up:
                # What it has met stands in ``failed``.
                marking.exception()
                raise asyncio.CancelledError
            marking.result()
        finally:
            # The error that it has goes through this frame.
            del marking

    async def _set_savepoint(self) -> None:
        try:
            await self._write_put_off()
            await self._transaction.savepoint("SAVEPOINT unit")
        except (StoreUnavailable, Conflict) as error:
            self.failed = error
            raise
        self._marked = True

    async def _write_put_off(self) -> None:
        try:
            await self._put_off.write(self._database)
        except (StoreUnavailable, Conflict) as error:
            self.failed = error
            raise
        self._put_off = PutOff()

    async def _write_own(self) -> None:
        await self._unit.put_off.write(self._database)
        self._unit.put_off = PutOff()


class _Direct:
    """``Rows`` straight to the database, each in its turn."""

    def __init__(self, group: Gathered, rows: PostgresRows) -> None:
        self.dialect = rows.dialect
        # Which holds these, and all that it remembers: in a circle it would stay until somebody collects garbage.
        self._group: Gathered = proxy(group)
        self._rows = rows

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        if isinstance(statement, Select | CompoundSelect):
            await self._group.before(tables_read(statement), writes=False)
            return await self._rows.all(statement, parameters)
        await self._group.before((), writes=True)
        self._group.wrote(tables_written(statement))
        return await self._rows.all(statement, parameters)

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        await self._group.before((), writes=True)
        self._group.wrote(tables_written(statement))
        return await self._rows.run(statement, parameters)
