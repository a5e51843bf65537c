"""The next version takes over while the present one serves, and nobody's request is lost.

Its workers start beside the old ones, on the same listening sockets. Once all of them serve, its control process stands
by, the old one finishes what it has begun and ends, and the new one begins; whoever comes meanwhile waits in the
socket's queue. Then the old workers are told that others serve: they accept no more, finish, and end. Last, the
supervisor becomes the next version by exec(2). Until the old control process is told to end, a next version that does
not prove itself, or a new worker that dies, makes it dismissed and nothing has changed. From then on a new worker that
dies is started again like any other; where the new control process does not prove itself, the old one is started again.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from gateway.runtime.kept import Kept
from gateway.runtime.succession import NoSuccession, Plan, Successor

log = structlog.get_logger()

PLAN_SECONDS = 120.0
"""The next version may migrate the database in it."""
READY_SECONDS = 60.0
"""What its processes may take to start."""
HANDED_OVER = {"type": "drain", "handed_over": True}
"""Others serve on the same sockets already."""


class Household(Protocol):
    """What an upgrade needs of the supervisor."""

    @property
    def generation(self) -> int:
        """How many upgrades there were."""
        ...

    @property
    def kept(self) -> Sequence[Kept]:
        """The present children."""
        ...

    def take_on(self, kept: Kept) -> None:
        """Start a child and keep it."""
        ...

    async def let_go(self, group: Sequence[Kept], within_seconds: float) -> None:
        """Tell children to end for good, and wait; who does not in time is killed."""
        ...

    def install(self, fresh: Sequence[Kept]) -> None:
        """These are the present children from now on."""
        ...


class Upgrade:
    """One upgrade. ``run`` may be called once."""

    def __init__(
        self, household: Household, successor: Successor, *, worker_seconds: float, watcher_seconds: float
    ) -> None:
        """What the old workers and the old control process may take to end."""
        self._household = household
        self._successor = successor
        self._worker_seconds = worker_seconds
        self._watcher_seconds = watcher_seconds

    async def run(self) -> Plan | None:
        """The plan by which children of the next version serve now; None: the old ones go on, and the log says why."""
        try:
            async with asyncio.timeout(PLAN_SECONDS):
                plan = await self._successor.plan()
        except NoSuccession as error:
            log.error("upgrade_given_up", reason=str(error))
            return None
        except TimeoutError:
            log.error("upgrade_given_up", reason=f"the next version said nothing within {PLAN_SECONDS:.0f} s")
            return None
        except Exception as error:  # no process or thread may be had, for example: nothing has begun yet
            log.error("upgrade_given_up", reason=f"the next version cannot be asked ({error!r})")
            return None
        log.info("upgrade_begun", version=plan.version)
        old = list(self._household.kept)
        fresh = [Kept(spec, self._household.generation + 1, trial=True) for spec in plan.children]
        if reason := await self._proved(old, fresh):
            log.error("upgrade_given_up", version=plan.version, reason=reason)
            return None
        self._household.install(fresh)
        for kept in fresh:
            kept.trial = False
        # Where one died meanwhile and begins again, the old one beside it serves its queue until then.
        await _until(_workers(fresh), stand_by=False)
        await self._household.let_go(_workers(old), self._worker_seconds)
        # Only who lives can be handed over to the next version.
        await _until(fresh, stand_by=False)
        return plan

    async def _proved(self, old: Sequence[Kept], fresh: Sequence[Kept]) -> str:
        """Bring the fresh ones up to serving; why not, when they did not and are dismissed."""
        workers, watchers = _workers(fresh), _watchers(fresh)
        for kept in workers:
            self._household.take_on(kept)
        reason = await _until(workers, stand_by=False)
        if not reason:
            for kept in watchers:
                self._household.take_on(kept)
            reason = await _until(watchers, stand_by=True, beside=workers)
        if not reason:
            for kept in workers:
                # They have served: one that dies from here on is no reason to end, and is started again.
                kept.trial = False
            return await self._exchanged(old, fresh)
        await self._household.let_go(fresh, self._worker_seconds)
        return reason

    async def _exchanged(self, old: Sequence[Kept], fresh: Sequence[Kept]) -> str:
        """One control process ends, the other begins."""
        await self._household.let_go(_watchers(old), self._watcher_seconds)
        for kept in _watchers(fresh):
            kept.send({"type": "begin"})
        reason = await _until(_watchers(fresh), stand_by=False)
        if reason:
            await self._household.let_go(_watchers(fresh), self._watcher_seconds)
            again = [Kept(kept.spec, kept.generation) for kept in _watchers(old)]
            for kept in again:
                self._household.take_on(kept)
            self._household.install([*_workers(old), *again])
            await self._household.let_go(_workers(fresh), self._worker_seconds)
        return reason


async def _until(group: Sequence[Kept], *, stand_by: bool, beside: Sequence[Kept] = ()) -> str:
    """Wait until all serve (or ``stand_by``: wait for the word to begin); why they do not, when they do not.

    Those ``beside`` them serve already, and none of them may fail meanwhile.
    """
    everyone = [*group, *beside]
    loop = asyncio.get_running_loop()
    until = loop.time() + READY_SECONDS
    for kept in group:
        there = [kept.ready.wait(), *([kept.standing_by.wait()] if stand_by else [])]
        waits = [asyncio.ensure_future(each) for each in (*(one.failed.wait() for one in everyone), *there)]
        try:
            await asyncio.wait(waits, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if reason := _failure(everyone):
            return reason
        if not (kept.ready.is_set() or (stand_by and kept.standing_by.is_set())):
            return f"{kept.spec.name} was not ready within {READY_SECONDS:.0f} s"
    return _failure(everyone)


def _failure(group: Sequence[Kept]) -> str:
    return next((f"{each.spec.name}: {each.reason}" for each in group if each.failed.is_set()), "")


def _workers(group: Sequence[Kept]) -> list[Kept]:
    return [each for each in group if not each.spec.told_of_workers]


def _watchers(group: Sequence[Kept]) -> list[Kept]:
    return [each for each in group if each.spec.told_of_workers]
