"""What of changes comes by itself: scheduled ones when they are due, stages with ``by_itself``, and stop rules.

One control process does it at a time, under a lease. A stage that somebody applied meanwhile is found in the store, so
nothing comes twice. A stop rule looks at figures before the next stage and while one is in force; beyond a limit the
change halts, which enforces nothing more and takes nothing back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from gateway.changes.applying import Applier, NotApplied
from gateway.changes.cut_devices import CutCount, counts_cuts
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.batches import tried_of
from gateway.domain.change import PolicyChange, State
from gateway.domain.errors import DomainError
from gateway.domain.stages import StopRule
from gateway.notices.taking_back import CLAIMS
from gateway.ports.store import Conflict, Reading, Store, StoreUnavailable

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 2.0
LOOKED_AT = 10_000
"""Written since the look before, at most; what is left out is found by the next whole one."""
WHOLE_EVERY_SECONDS = 300.0
"""In between only what was written since the look before is read: a change may carry a large policy file."""
MARGIN_SECONDS = 120.0
"""By which the clocks of two control processes may differ."""
OPEN = frozenset({State.SCHEDULED, State.APPLYING, State.HALTED})
AGAIN_AFTER_SECONDS = 300.0
"""So long a change rests that could not come into force."""


@dataclass(frozen=True, slots=True)
class StopFigures:
    """What stop rules compare, of one change."""

    cut_within_hour: int = 0
    undelivered: int = 0
    wrong: int = 0


Figures = Callable[[PolicyChange], Awaitable[StopFigures]]


@dataclass(frozen=True, slots=True)
class _Rest:
    """A change that could not come into force."""

    until: float
    stage: int
    reason: str
    """Empty where nothing but the time stands in the way."""


class Schedule:
    """One per control process."""

    def __init__(
        self, store: Store, applier: Applier, now: Callable[[], float] = time.time, figures: Figures | None = None
    ) -> None:
        """``figures``: without it what the change and its notices say; see ``_stored``."""
        self._store = store
        self._applier = applier
        self._now = now
        self._figures = figures or self._stored
        self._rests: dict[int, _Rest] = {}
        self._cut = CutCount()
        self._open: dict[int, PolicyChange] = {}
        """What may have to be done something about."""
        self._whole_at = self._looked_at = float("-inf")

    async def run(self, held: object) -> None:
        """Look regularly, while ``held`` is true."""
        self._whole_at = float("-inf")
        while held:
            try:
                await self.look()
            except (StoreUnavailable, Conflict) as error:
                log.warning("schedule_waits", error=str(error))
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Halt what must stop, apply what is due. What one change is in the way of does not hold up the others."""
        await self._read()
        for change in [self._open[number] for number in sorted(self._open)]:
            try:
                if not await self._stopped(change) and self._is_due(change):
                    await self._apply(change)
            except StoreUnavailable:
                raise
            except Conflict as error:
                log.warning("schedule_waits", error=str(error))
            except DomainError as error:
                # Somebody was quicker: withdrawn, halted, or touched by another change.
                self._rest(change, str(error))
            except Exception:  # a mistake of ours in one change stops no rule of another
                log.exception("change_not_due", change=change.number, reason="see the traceback")
                self._put_to_rest(change, "see change_not_due in the log")

    async def _read(self) -> None:
        now = self._now()
        whole = not 0 <= now - self._whole_at < WHOLE_EVERY_SECONDS
        since = self._looked_at - MARGIN_SECONDS
        async with self._store.read() as reading:
            if whole:
                changes = await reading.policy_changes_in(OPEN)
            else:
                changes = await reading.policy_changes(limit=LOOKED_AT, since=since)
        if whole:
            self._open, self._whole_at = {}, now
        self._looked_at = now
        for each in changes:
            if each.state in OPEN:
                self._open[each.number] = each
            else:
                self._open.pop(each.number, None)

    async def _stopped(self, change: PolicyChange) -> bool:
        if change.state is not State.APPLYING:
            return False
        stop = change.stages[change.done[-1].stage].stop
        if stop == StopRule():
            return False
        reasons = list(broken_rules(stop, await self._figures(change)))
        if reasons:
            await self._applier.halt(change.number, GATEPOST, "; ".join(reasons))
        return bool(reasons)

    def _is_due(self, change: PolicyChange) -> bool:
        now = self._now()
        rests = self._rests.get(change.number)
        if rests is not None and rests.until > now:
            return False
        if change.state is State.SCHEDULED:
            return change.starts_at is not None and change.starts_at <= now
        if change.state is not State.APPLYING or change.next_stage >= len(change.stages):
            return False
        stage, last = change.stages[change.next_stage], change.done[-1].at
        if change.starts_at is not None and change.starts_at > last:
            # Somebody has applied it, and people are warned first.
            return max(change.starts_at, last + stage.after_seconds) <= now
        return stage.by_itself and last + stage.after_seconds <= now

    async def _apply(self, change: PolicyChange) -> None:
        # Of a stage that somebody applied meanwhile nothing is left to do: the one behind it may wait for a hand.
        done = await self._applier.apply(change.number, GATEPOST, stage=change.next_stage)
        if isinstance(done, NotApplied):
            self._rest(change, done.sentence, in_the_way=done.comes_at is None)
        else:
            self._rests.pop(change.number, None)

    def _rest(self, change: PolicyChange, reason: str, *, in_the_way: bool = True) -> None:
        self._put_to_rest(change, reason if in_the_way else "")
        log.warning("change_not_due", change=change.number, reason=reason)

    def _put_to_rest(self, change: PolicyChange, reason: str) -> None:
        self._rests[change.number] = _Rest(self._now() + AGAIN_AFTER_SECONDS, change.next_stage, reason)

    async def _stored(self, change: PolicyChange) -> StopFigures:
        """Devices that the change has cut within the hour; what became of its notices."""
        async with self._store.read() as reading:
            undelivered, wrong = await told_badly(reading, change.number)
            cut = await self._cut.within_hour(reading, change.number, self._now()) if counts_cuts(change) else 0
        return StopFigures(cut, undelivered, wrong)

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        return [sentence for each in self._open.values() if (sentence := self._sentence(each))]

    def _sentence(self, change: PolicyChange) -> str:
        number, rests = change.number, self._rests.get(change.number)
        if change.state is State.HALTED:
            halted = next((step for step in reversed(change.history) if step.state is State.HALTED), None)
            words = (halted.words or f"by {halted.by}") if halted else "long ago"
            return f"change {number} halted: {words}; withdraw it, or go on: gatepost apply {number}"
        if rests is None or not rests.reason or rests.stage != change.next_stage:
            return ""
        return f"change {number} is due and cannot come into force, which is tried again: {rests.reason}"


async def told_badly(reading: Reading, number: int) -> tuple[int, int]:
    """Notices of a change that were refused, came back or are uncertain; and readers who say that theirs is wrong."""
    counts = [await reading.notice_counts(number, kind) for kind in CLAIMS]
    return sum(tried_of(count)[1] for count in counts), await reading.complaints(number)


def broken_rules(stop: StopRule, found: StopFigures) -> Iterator[str]:
    """Why a change must halt."""
    for limit, number, words in (
        (stop.cut_per_hour, found.cut_within_hour, "devices cut within an hour"),
        (stop.undelivered, found.undelivered, "notices that could not be delivered"),
        (stop.wrong, found.wrong, "people who say that their notice is wrong"),
    ):
        if limit is not None and number > limit:
            yield f"{number} {words}, the stop rule allows {limit}"
