"""The shared cache and feed: killed, emptied, full, stopped, slow, cut, or back as an old copy of itself."""

import asyncio
import random
import signal

from tests.faults.cache_under_test import CacheUnderTest
from tests.faults.fault import fault
from tests.faults.site import Site
from tests.faults.wire import Wire


def _parts(site: Site) -> tuple[CacheUnderTest, Wire]:
    assert site.cache is not None
    assert site.wire is not None
    return site.cache, site.wire


@fault("cache", told_by="feed_unavailable")
async def cache_killed(site: Site, rng: random.Random) -> None:
    """kill -9; back after a while with the dump of its last life."""
    cache, _ = _parts(site)
    await cache.kill()
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    await cache.start()


@fault("cache", told_by="feed_unavailable")
async def cache_restarted_empty(site: Site, rng: random.Random) -> None:
    """kill -9; back with nothing."""
    cache, _ = _parts(site)
    await cache.kill()
    cache.forget()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    await cache.start()


@fault("cache", short=True)
async def cache_flushed(site: Site, rng: random.Random) -> None:
    """FLUSHALL: the same life of the server, and nothing in it."""
    cache, _ = _parts(site)
    await cache.order("FLUSHALL")
    await asyncio.sleep(rng.uniform(0.2, 1.0))


@fault("cache")
async def cache_back_as_old_copy(site: Site, rng: random.Random) -> None:
    """Its dump is put back after reports have turned devices: what it holds is of the past."""
    cache, _ = _parts(site)
    await cache.keep_copy()
    await asyncio.sleep(rng.uniform(1.0, 2.0))
    await cache.kill()
    cache.put_back()
    await cache.start()


@fault("cache")
async def cache_failed_over_and_back(site: Site, rng: random.Random) -> None:
    """Another server takes its place and gives it back: the first one lives on, with what it knew before."""
    cache, wire = _parts(site)
    other = CacheUnderTest(cache.directory.parent / "other")
    other.forget()
    await other.start()
    try:
        wire.target = other.socket
        wire.drop()
        await asyncio.sleep(rng.uniform(2.0, 3.0))
        wire.target = cache.socket
        wire.drop()
    finally:
        await other.kill()


async def _full(site: Site, policy: str, rng: random.Random) -> None:
    cache, _ = _parts(site)
    await cache.order("CONFIG", "SET", "maxmemory-policy", policy)
    await cache.order("CONFIG", "SET", "maxmemory", "100kb")
    await asyncio.sleep(rng.uniform(1.5, 4.0))
    await cache.order("CONFIG", "SET", "maxmemory", "0")


@fault("cache")
async def cache_full_noeviction(site: Site, rng: random.Random) -> None:
    """No room, and nothing is thrown out: every write is refused."""
    await _full(site, "noeviction", rng)


@fault("cache")
async def cache_full_volatile_lru(site: Site, rng: random.Random) -> None:
    """No room, and all records are thrown out."""
    await _full(site, "volatile-lru", rng)


@fault("cache")
async def cache_full_allkeys_lru(site: Site, rng: random.Random) -> None:
    """Set up wrongly: the feed itself may be thrown out."""
    await _full(site, "allkeys-lru", rng)


@fault("cache", short=True)
async def cache_stopped(site: Site, rng: random.Random) -> None:
    """SIGSTOP: connections are taken, nothing is answered."""
    cache, _ = _parts(site)
    cache.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(rng.uniform(2.0, 6.0))
    finally:
        cache.signal(signal.SIGCONT)


@fault("cache")
async def cache_slow(site: Site, rng: random.Random) -> None:
    """Each piece takes a fifth of a second in each direction."""
    await _delayed(site, 0.2, 4.0)


@fault("cache")
async def cache_too_slow(site: Site, rng: random.Random) -> None:
    """Each piece takes longer than anybody waits."""
    await _delayed(site, 1.5, 5.0)


async def _delayed(site: Site, delay: float, seconds: float) -> None:
    _, wire = _parts(site)
    wire.delay_seconds = delay
    await asyncio.sleep(seconds)
    wire.delay_seconds = 0.0


@fault("cache")
async def cache_silent(site: Site, rng: random.Random) -> None:
    """What is sent is swallowed, and connections stay."""
    _, wire = _parts(site)
    wire.silent = True
    await asyncio.sleep(rng.uniform(2.0, 5.0))
    wire.silent = False
    # Of what was swallowed nothing comes any more: a middle box forgets such connections.
    wire.drop()


@fault("cache", told_by="feed_unavailable")
async def cache_cut(site: Site, rng: random.Random) -> None:
    """No way there, and then there is again."""
    _, wire = _parts(site)
    await wire.cut()
    await asyncio.sleep(rng.uniform(0.5, 4.0))
    await wire.open()
