"""Which devices asked for mail, with credentials the upstream accepted.

Recorded on the request path, so it costs one dictionary look-up in the ordinary case; told to the control process in
batches. Bounded and lossy by design: a flood of invented DeviceIds pushes out nothing but other sightings.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

log = structlog.get_logger()

AGAIN_AFTER_SECONDS = 3600.0
"""A device seen again is told again only after this long, unless it says something new about itself."""
REMEMBERED = 200_000
WAITING = 10_000
BATCH = 500


class SightingLog:
    """Collects sightings in one process and hands them on."""

    def __init__(
        self, send: Callable[[Sequence[bytes]], Awaitable[None]], now: Callable[[], float] = time.time
    ) -> None:
        self._send = send
        self._now = now
        self._told: dict[int, int] = {}
        """By the hash of login and DeviceId, in whole seconds: of a hundred thousand devices there is one each."""
        self._waiting: dict[tuple[str, str], dict[str, object]] = {}
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

    async def flush(self) -> None:
        """Hand on what is waiting; what cannot be sent now is kept, up to the bound."""
        while self._waiting:
            keys = list(self._waiting)[:BATCH]
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                await self._send([json.dumps(row).encode() for row in batch.values()])
            except Exception as error:  # the sink is another machine's trouble; the sightings wait
                self._waiting = {**batch, **self._waiting}
                log.warning("sightings_not_sent", waiting=len(self._waiting), error=type(error).__name__)
                return

    async def run(self, every_seconds: float = 2.0) -> None:
        """Flush regularly until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(every_seconds)
                await self.flush()
        finally:
            await self.flush()
