"""What a policy did to people, for the audit log: the first refusal and each cut, by device and policy version.

Noted where the log line of a refusal is written, and told to the control process in batches. Bounded: beyond so many a
second, or so many that wait, they are counted and not noted, and the count is told as well.
"""

import time
from collections.abc import Callable

import structlog

from gateway.decision.batched import BATCH, Batched, Rows, Send
from gateway.decision.noted import Noted
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict

log = structlog.get_logger()

PER_SECOND = 200.0
BURST = 2_000.0
WAITING = 5_000


class EffectLog(Batched):
    """Collects effects in one process and hands them on."""

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__(send)
        self._now = now
        self._noted = Noted()
        self._waiting: list[dict[str, object]] = []
        self._batch: list[dict[str, object]] = []
        """Under way."""
        self._tokens, self._tokens_at = BURST, now()
        self._untold = 0
        """Not noted, and not told of yet."""
        self._telling = 0
        """Of these, told of in what is under way."""
        self.dropped = 0
        """Not noted, in all."""

    def record(
        self, event: str, request: AccessRequest, verdict: Verdict, asker: str = "", at: float | None = None
    ) -> None:
        """Note a refusal or a cut (``event``) of the moment ``at``; None: now.

        What was only put off is no effect of a policy.
        """
        if verdict.effect is not Effect.DENY:
            return
        device = request.device_id or verdict.device_id
        if event != "cut":
            key = hash((event, request.login, device, verdict.reason, verdict.ban, asker))
            if self._noted.has(verdict.policy_version, key):
                return
            self._noted.add(verdict.policy_version, key)
        if not self._has_room():
            self.dropped += 1
            self._untold += 1
            return
        self._waiting.append(
            {
                "event": event,
                "login": request.login,
                "device": device,
                "reason": verdict.reason.value,
                "ban": verdict.ban,
                "app": verdict.app.id if verdict.app else "",
                "policy_version": verdict.policy_version,
                "protocol": request.protocol.value,
                "asker": asker,
                "at": self._now() if at is None else at,
            }
        )

    def _has_room(self) -> bool:
        now = self._now()
        self._tokens = min(BURST, self._tokens + max(0.0, now - self._tokens_at) * PER_SECOND)
        self._tokens_at = now
        if self._tokens < 1 or len(self._waiting) + len(self._batch) >= WAITING:
            return False
        self._tokens -= 1
        return True

    def _next(self) -> Rows:
        self._batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        self._telling, self._untold = self._untold, 0
        return [*self._batch, {"dropped": self._telling}] if self._telling else self._batch

    def _back(self) -> None:
        self._waiting, self._batch = [*self._batch, *self._waiting], []
        self._untold, self._telling = self._untold + self._telling, 0

    def _not_sent(self, error: str) -> None:
        log.warning("effects_not_sent", waiting=len(self._waiting), error=error)
