"""What one control process does at a time, under a lease: taking what workers saw, and forgetting old message ids."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from gateway.inventory.mail_devices import MailDevices, read_sightings
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing
from gateway.runtime.leases import Held
from gateway.storage.redis import RedisConnection, SightingReceiver

log = structlog.get_logger()

SIGHTINGS_WAIT_SECONDS = 5.0
AGAIN_AFTER_SECONDS = 1.0
MESSAGES_KEPT_SECONDS = 7 * 86_400.0
"""A repeated message id is recognised for so long; Standard Webhooks gives up long before."""


async def take_sightings(redis: RedisConnection, devices: MailDevices, held: Held) -> None:
    """Store which devices asked for mail, while ``held``."""
    # From the start: who did it before may have ended over what it had read.
    receiver = SightingReceiver(redis)
    rows: Sequence[bytes] = ()
    while held:
        try:
            rows = await receiver.next(SIGHTINGS_WAIT_SECONDS)
            if held and (sightings := read_sightings(rows)):
                await devices.take(sightings)
        except CacheUnavailable:
            # Told by the publication already.
            await asyncio.sleep(AGAIN_AFTER_SECONDS)
        except (StoreUnavailable, Conflict) as error:
            # Lossy by design: each device is told again within the hour.
            log.warning("sightings_not_stored", sightings=len(rows), error=str(error))
            await asyncio.sleep(AGAIN_AFTER_SECONDS)


async def tidy(store: Store, now: Callable[[], float], held: Held) -> None:
    """Forget message ids that nobody repeats any more, hourly while ``held``."""

    async def work(writing: Writing) -> int:
        return await writing.forget_messages(now() - MESSAGES_KEPT_SECONDS)

    async for _ in held.hourly():
        try:
            forgotten, _ = await store.write(work)
            log.info("old_messages_forgotten", messages=forgotten)
        except (StoreUnavailable, Conflict) as error:
            log.warning("old_messages_kept", error=str(error))
