"""PostgreSQL as the store: killed, restarted, stopped, failed over to its standby, slow, cut off."""

import asyncio
import random

from tests.faults.fault import fault
from tests.faults.postgres_pair import PostgresPair
from tests.faults.site import Site


def _pair(site: Site) -> PostgresPair:
    assert site.postgres is not None
    return site.postgres


@fault("postgres", told_by="report_not_stored sightings_not_stored change_log_unreadable")
async def postgres_killed(site: Site, rng: random.Random) -> None:
    """kill -9 of all its processes, and a start that recovers."""
    server = _pair(site).server
    await asyncio.to_thread(server.crash)
    await asyncio.sleep(rng.uniform(0.5, 2.5))
    await asyncio.to_thread(server.start)


@fault("postgres")
async def postgres_restarted(site: Site, rng: random.Random) -> None:
    """As for an update: stopped (fast) and started."""
    await asyncio.to_thread(_pair(site).server.restart)


@fault("postgres")
async def postgres_stopped(site: Site, rng: random.Random) -> None:
    """SIGSTOP of all its processes: connections are taken by the kernel, nothing is answered."""
    server = _pair(site).server
    server.pause(on=True)
    try:
        await asyncio.sleep(rng.uniform(2.0, 5.0))
    finally:
        server.pause(on=False)


# Told or not: a report that waits for the moment until the standby takes over is stored, and nothing is amiss.
@fault("postgres", short=True)
async def postgres_failed_over(site: Site, rng: random.Random) -> None:
    """The primary crashes and its synchronous standby is promoted; then the old one follows the new one."""
    pair = _pair(site)
    await asyncio.to_thread(pair.fail_over)
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    # Until there is a standby again no commit is acknowledged.
    await asyncio.to_thread(pair.make_standby)


@fault("postgres")
async def postgres_slow(site: Site, rng: random.Random) -> None:
    """Each piece takes a tenth of a second in each direction."""
    wire = _pair(site).wire
    wire.delay_seconds = 0.1
    await asyncio.sleep(4.0)
    wire.delay_seconds = 0.0


@fault("postgres", told_by="report_not_stored sightings_not_stored change_log_unreadable")
async def postgres_cut(site: Site, rng: random.Random) -> None:
    """No way there, and then there is again."""
    wire = _pair(site).wire
    await wire.cut()
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    await wire.open()


@fault("postgres")
async def postgres_silent(site: Site, rng: random.Random) -> None:
    """What is sent is swallowed, and connections stay."""
    wire = _pair(site).wire
    wire.silent = True
    await asyncio.sleep(rng.uniform(2.0, 5.0))
    wire.silent = False
    wire.drop()
