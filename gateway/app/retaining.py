"""What the control process lets go of by the settings: the past, hourly, and silent devices, daily."""

from collections.abc import Callable

import structlog

from gateway.inventory.consequences import Evidence
from gateway.inventory.retention import DAY_SECONDS, KeptFor, Retention
from gateway.ports.store import Conflict, StoreUnavailable
from gateway.runtime.leases import Held
from gateway.settings import Settings

log = structlog.get_logger()

ROUNDS_TO_A_DAY = 24


class Retaining:
    """One per control process."""

    def __init__(self, settings: Settings, evidence: Evidence, now: Callable[[], float]) -> None:
        told = settings.inventory
        kept = KeptFor(told.history_days * DAY_SECONDS, told.silent_days * DAY_SECONDS)
        self._retention = Retention(evidence, kept, now)

    async def run(self, held: Held) -> None:
        """Forget what is too old, while the lease is held."""
        rounds = 0
        async for _ in held.hourly():
            rounds += 1
            try:
                past = await self._retention.forget_past()
                # Not at the first: after a long standstill everybody has had an hour to come back.
                silent = await self._retention.forget_silent() if rounds % ROUNDS_TO_A_DAY == 2 else 0
            except (StoreUnavailable, Conflict) as error:
                log.warning("old_evidence_kept", error=str(error))
                continue
            if past or silent:
                log.info("old_evidence_forgotten", rows=past, devices=silent)
