"""Ends sessions at an asker by the asker's own means, once a verdict has turned.

Nobody waits for it: what is wanted stands in a bounded queue, once per session or user, and is done in batches within a
time. What fails is tried again with growing pauses, as long as the verdict is still DENY, and given up after a while.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.decision.refusal_log import RefusalLog
from gateway.domain.access import AccessRequest
from gateway.domain.errors import InvalidValue
from gateway.domain.verdict import Effect, Verdict
from gateway.observability.metrics import Metrics

log = structlog.get_logger()

WAITING_MOST = 100_000
"""Sessions that wait for their turn; one more is counted as given up."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
GIVE_UP_SECONDS = 300.0
YOUNG_SECONDS = 5.0
"""Whoever was let in so short a while ago may not be connected yet at the asker: it is cut once more after this."""


class CutFailed(Exception):  # noqa: N818
    """The asker's means could not be used now; the text says why, without a secret."""


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
        """End the sessions of all ``targets``; how many targets had any. Raises ``CutFailed``; may be repeated."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session, or all of a user's, to be ended."""

    asker: str
    request: AccessRequest
    verdict: Verdict
    let_in_at: float
    """A moment of the monotonic clock."""
    wanted_at: float


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
        self._waiting: dict[str, Wanted] = {}
        self._again: dict[str, tuple[float, Wanted]] = {}
        """Those that are cut once more, and when."""
        self.given_up: Callable[[str], None] = lambda target: None
        """Told of each target that is not tried again."""
        self._wake = asyncio.Event()
        self._failing = False
        self._pause = FIRST_PAUSE_SECONDS
        self._cuts = metrics.counter(
            "gatepost_asker_cuts_total", "Sessions at askers that were to be ended", "means", "outcome"
        )

    @property
    def waiting(self) -> int:
        """How many are to be ended."""
        return len(self._waiting)

    def cut(self, target: str, asker: str, request: AccessRequest, verdict: Verdict, let_in_at: float) -> None:
        """End a session soon; returns at once. One that is waiting already stays one."""
        if target in self._waiting:
            return
        try:
            exact = self.means.exact(target)
        except InvalidValue as error:
            self._count("not_possible")
            log.error("cut_not_possible", means=self.means.name, asker=asker, login=request.login, reason=str(error))
            return
        if len(self._waiting) >= WAITING_MOST:
            self._count("given_up")
            self.given_up(exact)
            return
        self._waiting[exact] = Wanted(asker, request, verdict, let_in_at, self._monotonic())
        self._wake.set()

    async def run(self) -> None:
        """Do what is wanted, until cancelled."""
        while True:
            await self._something_to_do()
            self._take_again()
            # Taken out before it is done: whoever is let in meanwhile and denied again is wanted anew.
            batch = {target: self._waiting.pop(target) for target in list(self._waiting)[: self.means.most]}
            if batch and not await self._done(batch):
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    async def _something_to_do(self) -> None:
        if self._waiting:
            return
        self._wake.clear()
        due = min((at for at, _ in self._again.values()), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    def _take_again(self) -> None:
        now = self._monotonic()
        for target in [each for each, (at, _) in self._again.items() if at <= now]:
            _, wanted = self._again.pop(target)
            if self._is_still_denied(wanted):
                self._waiting.setdefault(target, wanted)

    async def _done(self, batch: Mapping[str, Wanted]) -> bool:
        """Whether a batch was taken; of one that failed those come back that should be tried again."""
        try:
            ended = await self.means.cut(tuple(batch))
        except CutFailed as error:
            self._failed(batch, str(error))
            return False
        except Exception as error:  # a mistake of ours loses nobody of the batch
            self._failed(batch, type(error).__name__)
            raise
        if self._failing:
            self._failing = False
            log.info("cuts_go_on", means=self.means.name)
        self._pause = FIRST_PAUSE_SECONDS
        self._count("ended", ended)
        self._count("nobody_there", len(batch) - ended)
        for target, wanted in batch.items():
            self._settle(target, wanted)
        return True

    def _settle(self, target: str, wanted: Wanted) -> None:
        first = wanted.wanted_at - wanted.let_in_at
        if first < YOUNG_SECONDS and target not in self._again and len(self._again) < WAITING_MOST:
            # Once only: the second time its age is beyond that.
            later = self._monotonic() + YOUNG_SECONDS
            self._again[target] = (later, Wanted(wanted.asker, wanted.request, wanted.verdict, 0.0, later))
        if wanted.let_in_at:
            self._log.write_down("cut", wanted.request, wanted.verdict, wanted.asker)

    def _failed(self, batch: Mapping[str, Wanted], reason: str) -> None:
        if not self._failing:
            self._failing = True
            log.error("cut_failed", means=self.means.name, reason=reason, waiting=len(self._waiting) + len(batch))
        self._count("failed")
        now = self._monotonic()
        for target, wanted in batch.items():
            if now - wanted.wanted_at > GIVE_UP_SECONDS:
                self._count("given_up")
                self.given_up(target)
                log.error(
                    "cut_given_up",
                    means=self.means.name,
                    asker=wanted.asker,
                    login=wanted.request.login,
                    reason=reason,
                )
            elif self._is_still_denied(wanted):
                # Behind the others: one that always fails must not hold them up.
                self._waiting.setdefault(target, wanted)
            else:
                self.given_up(target)

    def _is_still_denied(self, wanted: Wanted) -> bool:
        verdict = self._judge(wanted.request)
        return verdict is None or verdict.effect is Effect.DENY

    def _count(self, outcome: str, by: int = 1) -> None:
        if by:
            self._cuts.inc(self.means.name, outcome, by=by)
