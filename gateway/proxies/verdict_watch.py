"""Judges a waiting session again at the moments at which its verdict may change by itself (``valid_until``).

An edit or a report may set such a moment anew without turning the verdict, and then nobody is told. A session that may
live for days is judged regularly as well.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.live_sessions import LiveSession
from gateway.domain.verdict import FOREVER, Effect

log = structlog.get_logger()

LONGEST_SECONDS = 3600.0
"""A timer is never set for longer: a wall clock may be put forward meanwhile."""
SHORTEST_SECONDS = 0.01
AGAIN_SECONDS = 5.0
"""After a mistake of ours."""


class VerdictWatch:
    """The timer of one session."""

    __slots__ = ("_decision", "_ended", "_every", "_now", "_session", "_task", "_timer")

    def __init__(
        self, session: LiveSession, decision: DecisionPoint, now: Callable[[], float], *, every: float = 0.0
    ) -> None:
        """``every``: it is judged after so many seconds in any case; 0: only when its verdict ends."""
        self._session = session
        self._decision = decision
        self._now = now
        self._every = every
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def until(self, valid_until: float) -> None:
        """Judge again at that moment."""
        if self._timer is not None:
            self._timer.cancel()
        left = min(self._every or LONGEST_SECONDS, max(SHORTEST_SECONDS, valid_until - self._now()))
        self._timer = asyncio.get_running_loop().call_later(left, self._ring)

    def at_once(self) -> None:
        """Judge again now, and then as before."""
        if self._timer is not None:
            self._timer.cancel()
        self._ring()

    def _ring(self) -> None:
        # Where a ban begins, the timers of thousands ring at once.
        self._decision.in_turn.add(self._begin)

    def _begin(self) -> None:
        if not self._ended and self._task is None:
            self._task = asyncio.create_task(self._judge())

    async def _judge(self) -> None:
        try:
            verdict = await self._decision.judge_loading(self._session.request)
        except Exception:  # whatever it was, the session must not be left for ever with the verdict that it has
            log.exception("session_not_judged_again", login=self._session.request.login)
            self._task = None
            self._timer = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._ring)
            return
        self._task = None
        if verdict.effect is not Effect.ALLOW:
            self._session.verdict_turned(verdict)
        elif verdict.valid_until != FOREVER or self._every:
            self.until(verdict.valid_until)

    def end(self) -> None:
        """The session is over."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        # A task keeps the exception that it ends with, and so the frames that refer to this: not the other way as well.
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
