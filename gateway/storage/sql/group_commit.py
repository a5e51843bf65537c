"""Group commit: works that arrive while another group is being made durable share the next transaction.

Each work runs as if in a savepoint of its own, so that one failing undoes itself only (``groups``); when the database
ends the whole transaction under a failing work, the others run again from the start. The change-log rows of all are
numbered by the locked counter row as the last statements, so that they are contiguous and in the order of commits;
behind them the entries of the audit log are chained.
"""

import asyncio
import contextvars
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import bindparam, delete, update

from gateway.ports.store import Change, Conflict, ForeseenReport, ForeseenWork, StoreUnavailable, Writing
from gateway.storage.audit_rows import Content, Seal, unsealed
from gateway.storage.change_rows import numbered
from gateway.storage.sql import schema as s
from gateway.storage.sql.audit import chain_entries
from gateway.storage.sql.goes_forward import GoesForward
from gateway.storage.sql.groups import Group
from gateway.storage.sql.rows import Rows

T = TypeVar("T")

log = structlog.get_logger()

UNITS_AT_MOST = 500
FORESEEN_AT_ONCE = 100
GROUP_SECONDS = 0.05
"""After this long a group takes in no more works."""
AHEAD_SECONDS = 1.0
"""Only those for which it has read ahead, for so long more: it would have been for nothing."""
WORK_SECONDS = 10.0
"""A work that takes longer is given up: it holds the lock that all others wait for."""
WAITING_AT_MOST = 20_000
ATTEMPTS = 3

_COUNT_UP = (
    update(s.store_state)
    .values(sequence=s.store_state.c.sequence + bindparam("rows"))
    .returning(s.store_state.c.sequence)
)
_ADD_CHANGES = s.changes.insert()
_TRIM = delete(s.changes).where(s.changes.c.sequence <= bindparam("upto"))


class Transaction(Protocol):
    """A write transaction of a database."""

    @property
    def rows(self) -> Rows:
        """Where its statements run."""
        ...

    @property
    def sequence(self) -> int:
        """The change log's at its beginning."""
        ...

    @property
    def incarnation(self) -> str:
        """The store's."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the database has ended it by itself."""
        ...

    @property
    def first_on(self) -> str:
        """What tells its server from others, where it is the first one of its connection; empty: it is not."""
        ...

    async def savepoint(self, statement: str) -> None:
        """SAVEPOINT, RELEASE or ROLLBACK TO; a RELEASE may be put off until the next one or ``settle``."""
        ...

    async def settle(self) -> None:
        """The last unit is done: only the change log comes, and the end."""
        ...

    def group(self, lease_clock: Callable[[], float] | None, now: Callable[[], float]) -> Group:
        """What keeps its units apart; for the whole of it."""
        ...

    async def commit(self) -> None:
        """Make it durable. Raises ``StoreUnavailable`` and ``Conflict``."""
        ...

    async def rollback(self) -> None:
        """End it without effects. Never raises."""
        ...


@dataclass(slots=True, eq=False)
class _Unit:
    """A work on its way."""

    work: Callable[[Writing], Awaitable[Any]]
    done: asyncio.Future[tuple[Any, tuple[Change, ...]]] | None
    """None: it has failed."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    task: asyncio.Task[Any] | None = None
    attempts: int = 0
    rows: list[Change] = field(default_factory=list)
    audit: list[Content] = field(default_factory=list)
    alone: bool = False
    """Nothing of it is put off: what was put off for a group could not be written."""
    blind: bool = False
    """What it will look at could not be read beforehand."""

    def foreseen(self) -> ForeseenReport | None:
        """What it will look at, as far as that is known and is of use."""
        blind = self.blind or self.alone or self.over
        return self.work.report if not blind and isinstance(self.work, ForeseenWork) else None

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.done is None or self.done.done()

    def fail(self, error: BaseException) -> None:
        # It lets go of who has the error: frames that the error has gone through, and so the error, may know the unit.
        done, self.done, self.task = self.done, None, None
        if done is not None and not done.done():
            done.set_exception(error)


class _TransactionLost(Exception):  # noqa: N818
    """The database ended the shared transaction before its commit; ``unit`` was met by it between two statements."""

    def __init__(self, cause: Exception, *unit: _Unit) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.unit = unit


class GroupCommit:
    """Runs works, many to a transaction."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[Transaction]],
        *,
        keep_changes: int,
        now: Callable[[], float],
        lease_clock: Callable[[], float] | None = None,
        seal: Seal = unsealed,
    ) -> None:
        """``lease_clock`` in place of the database's own; ``seal`` marks the entries of the audit log."""
        self._begin = begin
        self._lease_clock = lease_clock
        self._seal = seal
        self._keep_changes = keep_changes
        self._now = now
        self._waiting: deque[_Unit] = deque()
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        self._foresees = True
        """Whether what works will look at is read ahead, where the database gains by it."""
        self.forward = GoesForward()

    async def submit(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a work; returns after the commit."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(self._waiting) >= WAITING_AT_MOST:
            raise StoreUnavailable(f"{WAITING_AT_MOST} works wait for the store already")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[T, tuple[Change, ...]]] = loop.create_future()
        unit = _Unit(work, done)
        self._waiting.append(unit)
        if self._running is None:
            self._running = loop.create_task(self._run())
        try:
            return await done
        except asyncio.CancelledError:
            if unit.task is not None:
                unit.task.cancel()
            raise
        finally:
            # The error that they have would know them by this frame.
            del unit, done

    async def close(self) -> None:
        """Finish what is waiting and take no more."""
        self._closed = True
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=WORK_SECONDS)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._one_transaction()
        finally:
            self._running = None
            self._fail(list(self._waiting), StoreUnavailable("the store is closed"))
            self._waiting.clear()

    async def _one_transaction(self) -> None:
        try:
            transaction = await self._begin()
        except StoreUnavailable as error:
            self._fail(list(self._waiting), error)
            self._waiting.clear()
            return
        if objection := await self.forward.objection(transaction.sequence, transaction.first_on):
            await transaction.rollback()
            self._fail(list(self._waiting), StoreUnavailable(objection))
            self._waiting.clear()
            return
        done: list[tuple[_Unit, Any]] = []
        group = transaction.group(self._lease_clock, self._now)
        committing = False
        try:
            await self._collect(transaction, group, done)
            await self._settled(transaction, group)
            units = [unit for unit, _ in done]
            changes = await self._log(transaction, units)
            contents = [content for unit in units for content in unit.audit]
            await chain_entries(transaction.rows, contents, self._now(), self._seal)
            committing = True
            await transaction.commit()
        except _TransactionLost as error:
            alone = not transaction.lost
            await transaction.rollback()
            for unit in (*(unit for unit, _ in done), *error.unit):
                unit.alone = unit.alone or alone
            self._run_again([*(unit for unit, _ in done), *error.unit], error.cause)
        except (StoreUnavailable, Conflict) as error:
            again = transaction.lost and not committing
            await transaction.rollback()
            if again:
                # The connection went before anything was to be kept.
                self._run_again([unit for unit, _ in done], error)
            else:
                self._fail([unit for unit, _ in done], error)
        except Exception:  # a mistake of ours must not leave the callers waiting
            log.exception("commit_failed", units=len(done))
            await transaction.rollback()
            self._fail([unit for unit, _ in done], StoreUnavailable("the commit failed; the log says why"))
        else:
            self.forward.reached = transaction.sequence + sum(len(rows) for rows in changes)
            for (unit, result), rows in zip(done, changes, strict=True):
                if unit.done is not None and not unit.done.done():
                    unit.done.set_result((result, rows))
        finally:
            # The error that it has went through frames that know the group.
            group.failed = None

    async def _collect(self, transaction: Transaction, group: Group, done: list[tuple[_Unit, Any]]) -> None:
        """Run works until none is waiting or the group is full."""
        full_at = time.monotonic() + GROUP_SECONDS
        seen = taken = 0
        while self._waiting:
            if taken and time.monotonic() > full_at + (AHEAD_SECONDS if seen else 0.0):
                return
            if not seen:
                if len(done) >= UNITS_AT_MOST:
                    return
                seen = await self._foresee(group)
            seen, taken = max(0, seen - 1), taken + 1
            unit = self._waiting.popleft()
            if unit.over:
                continue
            try:
                await self._one(transaction, group, unit, done)
            except _TransactionLost:
                raise
            except BaseException:
                # The transaction itself fails: this unit has had its chance.
                unit.fail(StoreUnavailable("the database ended the transaction"))
                raise

    async def _foresee(self, group: Group) -> int:
        """Read at once what works that wait will look at; for how many of them, from the first on, that was done."""
        ahead = list(islice(self._waiting, FORESEEN_AT_ONCE))
        reports = [report for unit in ahead if (report := unit.foreseen()) is not None]
        if not (reports and group.foresees and self._foresees):
            return 0
        try:
            await group.foresee(reports)
        except Exception as error:
            for unit in ahead:
                # Not a second time: one of them may be why.
                unit.blind = True
            if not isinstance(error, StoreUnavailable | Conflict):
                # A mistake of ours would be made again with the next ones. Each can read for itself.
                log.exception("reading_ahead_failed")
                self._foresees = False
            raise _TransactionLost(error) from error
        return len(ahead)

    async def _one(self, transaction: Transaction, group: Group, unit: _Unit, done: list[tuple[_Unit, Any]]) -> None:
        """Run one work as if nobody ran beside it."""
        unit.attempts += 1
        writing = await self._between(transaction, group, unit, group.begin(alone=unit.alone))
        error, result = await self._attempt(unit, group, writing)
        if group.failed is not None:
            raise _TransactionLost(group.failed, unit)
        if transaction.lost:
            ended = StoreUnavailable("the database ended the transaction")
            unit.fail(error or ended)
            if isinstance(error, asyncio.CancelledError):
                # Its caller gave it up: nothing that the others, or the database, have done.
                for other, _ in done:
                    other.attempts -= 1
            raise _TransactionLost(ended)
        if error is None:
            await self._between(transaction, group, unit, group.keep())
            unit.rows, unit.audit = writing.rows(), writing.audit_contents
            done.append((unit, result))
        else:
            unit.fail(error)
            await self._between(transaction, group, unit, group.undo())

    @staticmethod
    async def _between(transaction: Transaction, group: Group, unit: _Unit, step: Awaitable[T]) -> T:
        """What is done before and after a work: if that fails, the work is not to blame."""
        try:
            return await step
        except (StoreUnavailable, Conflict) as error:
            if transaction.lost or group.failed is not None:
                raise _TransactionLost(error, unit) from error
            unit.fail(error)
            raise

    @staticmethod
    async def _settled(transaction: Transaction, group: Group) -> None:
        """No work comes any more."""
        try:
            await group.settle()
        except (StoreUnavailable, Conflict) as error:
            raise _TransactionLost(error) from error
        await transaction.settle()

    async def _attempt(self, unit: _Unit, group: Group, writing: Writing) -> tuple[BaseException | None, Any]:
        """Run one work as a task of its own, so that it can be given up; its error is its caller's."""
        unit.task = asyncio.get_running_loop().create_task(_call(unit.work, writing, group), context=unit.context)
        try:
            finished, _ = await asyncio.wait({unit.task}, timeout=WORK_SECONDS)
        finally:
            if not unit.task.done():
                unit.task.cancel()
                await asyncio.wait({unit.task}, timeout=WORK_SECONDS)
        if not finished:
            return StoreUnavailable(f"a unit of work took longer than {WORK_SECONDS:.0f} s"), None
        if unit.task.cancelled():
            return asyncio.CancelledError(), None
        error = unit.task.exception()
        return (error, None) if error is not None else (None, unit.task.result())

    async def _log(self, transaction: Transaction, units: Sequence[_Unit]) -> list[tuple[Change, ...]]:
        """The last statements: number the rows, write them, trim the log."""
        total = sum(len(unit.rows) for unit in units)
        if not total:
            return [()] * len(units)
        ((newest,),) = await transaction.rows.all(_COUNT_UP, {"rows": total})
        after, at = newest - total, self._now()
        changes = []
        for unit in units:
            changes.append(numbered(unit.rows, after, at))
            after += len(unit.rows)
        await transaction.rows.run(_ADD_CHANGES, [_row(change) for rows in changes for change in rows])
        # Not at every commit: a tenth of the log more or less does not matter.
        step = max(1, self._keep_changes // 10)
        if newest // step != (newest - total) // step:
            await transaction.rows.run(_TRIM, {"upto": newest - self._keep_changes})
        return changes

    def _run_again(self, units: Sequence[_Unit], cause: Exception) -> None:
        self._fail([unit for unit in units if unit.attempts >= ATTEMPTS], cause)
        self._waiting.extendleft(unit for unit in reversed(units) if unit.attempts < ATTEMPTS)

    @staticmethod
    def _fail(units: Sequence[_Unit], error: Exception) -> None:
        for unit in units:
            unit.fail(error)


async def _call(work: Callable[[Writing], Awaitable[T]], writing: Writing, group: Group) -> T:
    result = await work(writing)
    await group.finish()
    return result


def _row(change: Change) -> dict[str, object]:
    return {
        "sequence": change.sequence,
        "kind": change.kind.value,
        "names": json.dumps(change.names),
        "version": change.version,
        "at": change.at,
    }
