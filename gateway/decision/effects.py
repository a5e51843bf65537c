"""What a policy did to people, for the audit log: the first refusal and each cut, by device and policy version.

Noted where the log line of a refusal is written, and told to the control process in batches. Bounded: beyond so many a
second, or so many that wait, they are counted and not noted, and the count is told as well.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict

log = structlog.get_logger()

PER_SECOND = 200.0
BURST = 2_000.0
REMEMBERED = 200_000
WAITING = 5_000
BATCH = 500


class EffectLog:
    """Collects effects in one process and hands them on."""

    def __init__(
        self, send: Callable[[Sequence[bytes]], Awaitable[None]], now: Callable[[], float] = time.time
    ) -> None:
        self._send = send
        self._now = now
        self._told: set[int] = set()
        """Hashes of the refusals that were noted."""
        self._waiting: list[dict[str, object]] = []
        self._tokens, self._tokens_at = BURST, now()
        self._untold = 0
        """Not noted, and not told of yet."""
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
            key = hash((event, request.login, device, verdict.policy_version, verdict.reason, verdict.ban, asker))
            if key in self._told:
                return
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told.add(key)
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
        if self._tokens < 1 or len(self._waiting) >= WAITING:
            return False
        self._tokens -= 1
        return True

    async def flush(self) -> None:
        """Hand on what waits; what cannot be sent now is kept, up to the bound."""
        while self._waiting or self._untold:
            batch, untold = self._waiting[:BATCH], self._untold
            rows: list[dict[str, object]] = [*batch, {"dropped": untold}] if untold else list(batch)
            try:
                await self._send([json.dumps(row).encode() for row in rows])
            except Exception as error:  # the sink is another machine's trouble; the effects wait
                log.warning("effects_not_sent", waiting=len(self._waiting), error=type(error).__name__)
                return
            del self._waiting[: len(batch)]
            self._untold -= untold

    async def run(self, every_seconds: float = 2.0) -> None:
        """Flush regularly until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(every_seconds)
                await self.flush()
        finally:
            await self.flush()
