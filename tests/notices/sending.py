"""The process that sends, to be killed: ``python -m tests.notices.sending DATABASE PORT BEGAN TRANSMIT_SECONDS``.

Its clock goes a hundred times as fast as time, so that leases, retries and batches are those of the settings.
"""

import asyncio
import sys
import time
from dataclasses import replace

from gateway.domain.batches import Batches
from gateway.notices.outbox import Outbox
from gateway.notices.outbox_settings import OutboxSettings
from gateway.storage.sql import open_store
from tests.notices.stage import NOON, composer, smtp

TIMES_AS_FAST = 100.0
SETTINGS = OutboxSettings(
    batches=Batches(first=20, factor=4, every_seconds=60.0), per_second=400.0, at_once=4, every_seconds=0.02
)


def fast_clock(began: float) -> float:
    return NOON + (time.time() - began) * TIMES_AS_FAST


async def send(database: str, port: int, began: float, transmit_seconds: float) -> None:
    store = await open_store(database, writable=True)
    settings = replace(SETTINGS, transmit_seconds=transmit_seconds)
    outbox = Outbox(store, smtp(port), composer(), lambda: fast_clock(began), settings)
    print("sending", flush=True)
    await outbox.run()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
