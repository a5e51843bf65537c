"""Ends sessions at an asker by the asker's own means, once a verdict has turned.

Nobody waits for it: what is wanted stands in a bounded queue, once per session or user, and is done in batches within a
time. What fails is tried again with growing pauses, as long as the verdict is still DENY, and given up after a while.
One target that always fails costs the others of its batch nothing: they are ended, and not once more for each try.
Whoever was not ended is followed on, and if it is wanted again after that it is tried once, behind all others.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.decision.refusal_log import RefusalLog
from gateway.domain.access import AccessRequest
from gateway.domain.errors import InvalidValue
from gateway.domain.verdict import Effect, Verdict
from gateway.observability.metrics import Metrics

if TYPE_CHECKING:
    from gateway.authz.let_in import AskedSession

log = structlog.get_logger()

WAITING_MOST = 100_000
"""Sessions that wait for their turn; one more is counted as given up."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
GIVE_UP_SECONDS = 300.0
JUDGED_ANEW_SECONDS = 1.0
"""Who has waited for longer is judged once more before it is ended."""
YOUNG_SECONDS = 5.0
"""Whoever was let in so short a while ago may not be connected yet at the asker: it is cut once more after this."""
AT_A_TIME = 100
"""Targets whose sessions are judged anew before everybody else gets a turn."""


class CutFailed(Exception):  # noqa: N818
    """The asker's means could not be used now; the text says why, without a secret."""

    def __init__(self, reason: str, failed: Collection[str] | None = None, ended: int = 0) -> None:
        """``failed``: the targets it is about, if that is known; ``ended``: how many of the others had sessions."""
        super().__init__(reason)
        self.failed = failed
        self.ended = ended


class Means(Protocol):
    """A way to end sessions."""

    @property
    def name(self) -> str:
        """For log and metrics: ``doveadm``, ``haproxy``, ``command``."""
        ...

    @property
    def most(self) -> int:
        """How many targets are taken at a time."""
        ...

    def exact(self, target: str) -> str:
        """``target`` as these means take it. Raises ``InvalidValue`` if it would mean others too."""
        ...

    async def cut(self, targets: Sequence[str]) -> int:
        """End the sessions of all ``targets``; how many targets had any. May be repeated.

        Raises ``CutFailed``, which says of which targets wherever that can be known.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session that is to be ended."""

    session: "AskedSession"
    verdict: Verdict
    wanted_at: float
    """A moment of the monotonic clock."""
    once_more: bool = False
    """It has been ended once already, and may not have been connected then."""


class Waiting:
    """Sessions that are to be ended, by the target that ends them, in their order."""

    def __init__(self) -> None:
        self._by_target: dict[str, dict[str, Wanted]] = {}
        self.sessions = 0
        """How many."""

    def __len__(self) -> int:
        """How many targets."""
        return len(self._by_target)

    def put(self, target: str, wanted: Wanted) -> None:
        """One more. Of two that are the same but for when they were let in, the later one."""
        there = self._by_target.setdefault(target, {})
        known = there.get(wanted.session.key)
        if known is None or known.session.at <= wanted.session.at:
            self.sessions += known is None
            there[wanted.session.key] = wanted

    def first(self, most: int) -> list[str]:
        """So many targets at most."""
        return list(islice(self._by_target, most))

    def take(self, target: str) -> list[Wanted]:
        """All of a target's, which wait no more."""
        taken = list(self._by_target.pop(target, {}).values())
        self.sessions -= len(taken)
        return taken

    def take_older(self, target: str, before: float) -> list[Wanted]:
        """Those of a target that have been wanted since before a moment; they wait no more."""
        there = self._by_target.get(target, {})
        taken = [each for each in there.values() if each.wanted_at < before]
        for each in taken:
            del there[each.session.key]
        if not there:
            self._by_target.pop(target, None)
        self.sessions -= len(taken)
        return taken


class Cutter:
    """The queue of one means."""

    def __init__(
        self,
        means: Means,
        refusal_log: RefusalLog,
        metrics: Metrics,
        judge: Callable[[AccessRequest], Verdict | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``judge``: the verdict of now, if it is at hand."""
        self.means = means
        self._log = refusal_log
        self._judge = judge
        self._monotonic = monotonic
        self._waiting = Waiting()
        self._in_vain = Waiting()
        """Those that were given up before: each is tried once, while nobody else waits, …"""
        self._in_vain_from = -math.inf
        """… and from this moment on."""
        self._again: deque[tuple[float, str, Wanted]] = deque()
        """Those that are cut once more, by their targets, and when: the next one first.

        Each by itself: another device of the user may have come since.
        """
        self.given_up: Callable[[str, AskedSession], None] = lambda target, session: None
        """Told of each target, and session of it, that is not tried again."""
        self._wake = asyncio.Event()
        self._failing = False
        self._pause = FIRST_PAUSE_SECONDS
        self._at_once = means.most
        """How many targets are taken now."""
        self._cuts = metrics.counter(
            "gatepost_asker_cuts_total", "Sessions at askers that were to be ended", "means", "outcome"
        )

    @property
    def waiting(self) -> int:
        """How many are to be ended."""
        return len(self._waiting) + len(self._in_vain)

    def cut(self, session: "AskedSession", verdict: Verdict) -> None:
        """End a session soon; returns at once. Whoever else waits for the same target is ended with it."""
        try:
            target = self.means.exact(session.target)
        except InvalidValue as error:
            self._count("not_possible")
            login = session.request.login
            log.error("cut_not_possible", means=self.means.name, asker=session.asker, login=login, reason=str(error))
            return
        waiting = self._in_vain if session.in_vain else self._waiting
        if waiting.sessions >= WAITING_MOST:
            self._count("given_up")
            self.given_up(target, session)
            return
        waiting.put(target, Wanted(session, verdict, self._monotonic()))
        self._wake.set()

    async def run(self) -> None:
        """Do what is wanted, until cancelled."""
        while True:
            await self._something_to_do()
            await self._take_again()
            targets, in_vain = self._waiting.first(self._at_once), False
            if not targets and self._monotonic() >= self._in_vain_from:
                targets, in_vain = self._in_vain.first(self._at_once), True
            batch = await self._batch(targets)
            if not batch or await self._done(batch):
                continue
            if in_vain:
                # Whoever comes meanwhile does not wait until then.
                self._in_vain_from = self._monotonic() + LONGEST_PAUSE_SECONDS
            else:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    async def _something_to_do(self) -> None:
        if self._waiting:
            return
        self._wake.clear()
        moments = [at for at, _, _ in islice(self._again, 1)] + ([self._in_vain_from] if self._in_vain else [])
        due = min(moments, default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _batch(self, targets: Sequence[str]) -> dict[str, list[Wanted]]:
        """Taken out before it is done: whoever is let in meanwhile and denied again is wanted anew."""
        batch = {}
        for place, target in enumerate(targets):
            # Before the first as well: of many who turned back each batch may be empty, and nothing else waits here.
            if not place % AT_A_TIME:
                await asyncio.sleep(0)
            if wanted := self._taken(target):
                batch[target] = wanted
        return batch

    def _taken(self, target: str) -> list[Wanted]:
        """All that wait for a target, but for those that turned back meanwhile."""
        now, taken = self._monotonic(), []
        for wanted in self._waiting.take(target) + self._in_vain.take(target):
            if now - wanted.wanted_at <= JUDGED_ANEW_SECONDS or self._is_denied(wanted):
                taken.append(wanted)
            else:
                self.given_up(target, wanted.session)
        return taken

    async def _take_again(self) -> None:
        now, taken = self._monotonic(), 0
        while self._again and self._again[0][0] <= now:
            _, target, wanted = self._again.popleft()
            self._try_again(target, wanted)
            taken += 1
            if not taken % AT_A_TIME:
                await asyncio.sleep(0)

    def _try_again(self, target: str, wanted: Wanted) -> None:
        if self._is_denied(wanted):
            # Behind the others: one that always fails must not hold them up.
            self._waiting.put(target, wanted)
        else:
            self.given_up(target, wanted.session)

    def _is_denied(self, wanted: Wanted) -> bool:
        try:
            verdict = self._judge(wanted.session.request)
        except Exception:  # a mistake of ours lets nobody who was denied go on
            log.exception("session_not_judged_again", login=wanted.session.request.login)
            return True
        return verdict is None or verdict.effect is Effect.DENY

    async def _done(self, batch: Mapping[str, list[Wanted]]) -> bool:
        """Whether all of a batch was taken; of what failed those come back that should be tried again."""
        try:
            ended = await self.means.cut(tuple(batch))
        except CutFailed as error:
            if error.failed is None:
                await self._failed_blindly(batch, str(error))
                return False
            failed = {target: wanted for target, wanted in batch.items() if target in error.failed}
            self._ended({target: wanted for target, wanted in batch.items() if target not in failed}, error.ended)
            self._failed(failed, str(error), alone=len(failed) == len(batch))
            return False
        except Exception as error:  # a mistake of ours loses nobody of the batch
            await self._failed_blindly(batch, type(error).__name__)
            raise
        self._ended(batch, ended)
        return True

    def _ended(self, batch: Mapping[str, list[Wanted]], ended: int) -> None:
        if not batch:
            return
        if self._failing:
            self._failing = False
            log.info("cuts_go_on", means=self.means.name)
        self._at_once = min(2 * self._at_once, self.means.most)
        self._pause = FIRST_PAUSE_SECONDS
        self._count("ended", ended)
        self._count("nobody_there", len(batch) - ended)
        for target, wanted in batch.items():
            self._settle(target, wanted)

    def _settle(self, target: str, ended: list[Wanted]) -> None:
        first = [each for each in ended if not each.once_more]
        later = self._monotonic() + YOUNG_SECONDS
        for each in first:
            if each.wanted_at - each.session.at < YOUNG_SECONDS and len(self._again) < WAITING_MOST:
                self._again.append((later, target, replace(each, wanted_at=later, once_more=True)))
        for wanted in first[:1]:
            self._log.write_down("cut", wanted.session.request, wanted.verdict, wanted.session.asker)

    async def _failed_blindly(self, batch: Mapping[str, list[Wanted]], reason: str) -> None:
        # One of them may be to blame, and the others be ended each time: by fewer at a time it comes to stand alone.
        self._at_once = max(1, len(batch) // 2)
        self._failed(batch, reason)
        # By so few at a time the turn of some would not come in hours.
        before = self._monotonic() - GIVE_UP_SECONDS
        for place, target in enumerate(self._waiting.first(len(self._waiting)), 1):
            for wanted in self._waiting.take_older(target, before):
                self._give_up(target, wanted.session, reason)
            if not place % AT_A_TIME:
                await asyncio.sleep(0)

    def _failed(self, batch: Mapping[str, list[Wanted]], reason: str, *, alone: bool = True) -> None:
        """``alone``: nobody beside them was ended, so that the means may not work at all."""
        # Of whoever was given up before it has been said.
        said = self._failing or all(each.session.in_vain for group in batch.values() for each in group)
        if alone and not said:
            self._failing = True
            log.error("cut_failed", means=self.means.name, reason=reason, waiting=self.waiting + len(batch))
        self._count("failed")
        now = self._monotonic()
        for target, group in batch.items():
            for wanted in group:
                if wanted.session.in_vain:
                    self.given_up(target, wanted.session)
                elif now - wanted.wanted_at > GIVE_UP_SECONDS:
                    self._give_up(target, wanted.session, reason)
                else:
                    self._try_again(target, wanted)

    def _give_up(self, target: str, session: "AskedSession", reason: str) -> None:
        session.in_vain = True
        self._count("given_up")
        self.given_up(target, session)
        log.error(
            "cut_given_up",
            means=self.means.name,
            asker=session.asker,
            login=session.request.login,
            reason=reason,
        )

    def _count(self, outcome: str, by: int = 1) -> None:
        if by:
            self._cuts.inc(self.means.name, outcome, by=by)
