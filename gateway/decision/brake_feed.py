"""How a worker hears of the fleet brake: it reads one row of the store, every two seconds.

The row says how far evidence may age. Whoever does not hear of it any more goes no further than it was told, so a
worker that is cut off, or whose clock has jumped, makes no list stale that nobody has looked at. What was told stays as
long as the store cannot be read.
"""

import asyncio
import math
import time
from collections.abc import Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.ageing import Ageing
from gateway.domain.brake import Brake
from gateway.ports.store import Store, StoreUnavailable

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 2.0
STORE_SECONDS = 5.0
RENEWED_BEFORE_SECONDS = 300.0
"""A mere renewal is taken when less than this is left."""


class BrakeFeed:
    """Follows the brake for one decision point; ``run`` must run."""

    def __init__(self, store: Store, decision: DecisionPoint, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._decision = decision
        self._now = now
        self._away = False

    @property
    def until(self) -> float | None:
        """Up to when lists age here, epoch seconds; None: freely."""
        until = self._decision.given.ageing.until
        return until if math.isfinite(until) else None

    async def look(self) -> None:
        """Look once. Raises ``StoreUnavailable``."""
        try:
            async with asyncio.timeout(STORE_SECONDS), self._store.read() as reading:
                brake = await reading.brake()
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {STORE_SECONDS:.0f} s") from error
        await self._follow(brake)

    async def _follow(self, brake: Brake) -> None:
        ageing, known = brake.ageing, self._decision.given.ageing
        if ageing.held == known.held and self._mere_renewal(known, ageing):
            return
        for source in sorted(ageing.held.keys() - known.held.keys()):
            log.warning("ageing_held", source=source)
        for source in sorted(known.held.keys() - ageing.held.keys()):
            log.info("ageing_goes_on", source=source)
        await self._decision.let_age(ageing)

    def _mere_renewal(self, known: Ageing, ageing: Ageing) -> bool:
        return known.until <= ageing.until and known.until - self._now() > RENEWED_BEFORE_SECONDS

    async def run(self) -> None:
        """Look regularly, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.look()
                self._away = False
            except StoreUnavailable as error:
                if not self._away:
                    log.warning("brake_unread", error=str(error))
                self._away = True
