"""Which devices asked for mail, with credentials the upstream accepted.

Recorded on the request path, so it costs one dictionary look-up in the ordinary case; told to the control process in
batches. Bounded and lossy by design: a flood of invented DeviceIds pushes out nothing but other sightings.
"""

import time
from collections.abc import Callable

import structlog

from gateway.decision.batched import BATCH, Batched, Rows, Send

log = structlog.get_logger()

AGAIN_AFTER_SECONDS = 3600.0
"""A device seen again is told again only after this long, unless it says something new about itself."""
REMEMBERED = 200_000
WAITING = 10_000


class SightingLog(Batched):
    """Collects sightings in one process and hands them on."""

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__(send)
        self._now = now
        self._told: dict[int, int] = {}
        """By the hash of login and DeviceId, in whole seconds: of a hundred thousand devices there is one each."""
        self._waiting: dict[tuple[str, str], dict[str, object]] = {}
        self._batch: dict[tuple[str, str], dict[str, object]] = {}
        """Under way."""
        self.dropped = 0

    def due_at(self, login: str, device_id: str) -> float:
        """From when on a device that has nothing new to say of itself is to be told of (epoch seconds)."""
        told_at = self._told.get(hash((login, device_id)))
        return 0.0 if told_at is None else told_at + AGAIN_AFTER_SECONDS

    def is_due(self, login: str, device_id: str) -> bool:
        """Whether it is that moment."""
        return self._now() >= self.due_at(login, device_id)

    def record(
        self,
        *,
        login: str,
        device_id: str,
        device_type: str,
        user_agent: str,
        protocol_version: str,
        client_address: str,
        device_information: str = "",
    ) -> None:
        """Note that a device asked with accepted credentials."""
        key = (login, device_id)
        now = self._now()
        if not device_information and now < self.due_at(login, device_id):
            return
        if len(self._waiting) >= WAITING and key not in self._waiting:
            self.dropped += 1
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[hash(key)] = int(now)
        earlier = self._waiting.get(key)
        self._waiting[key] = {
            "login": login,
            "device_id": device_id,
            "device_type": device_type[:64],
            "user_agent": user_agent[:256],
            "protocol_version": protocol_version,
            "client_address": client_address,
            "device_information": device_information or (earlier["device_information"] if earlier else ""),
            "at": now,
        }

    def _next(self) -> Rows:
        keys = list(self._waiting)[:BATCH]
        self._batch = {key: self._waiting.pop(key) for key in keys}
        return list(self._batch.values())

    def _back(self) -> None:
        # What was said anew meanwhile is newer.
        self._waiting, self._batch = {**self._batch, **self._waiting}, {}

    def _not_sent(self, error: str) -> None:
        log.warning("sightings_not_sent", waiting=len(self._waiting), error=error)
