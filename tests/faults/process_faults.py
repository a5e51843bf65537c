"""Processes of the gateway that are killed, stopped, starved of time or of file descriptors."""

import asyncio
import os
import random
import resource
import signal
import time

from tests.faults.fault import fault
from tests.faults.site import Site
from tests.system.processes import kill, until_gone


@fault(short=True, told_by="child_ended")
async def control_killed(site: Site, rng: random.Random) -> None:
    """kill -9 while reports are on their way."""
    await _killed(site, "control", rng)


@fault(told_by="child_ended")
async def worker_killed(site: Site, rng: random.Random) -> None:
    """kill -9 of one of two."""
    await _killed(site, "worker", rng)


@fault(told_by="child_ended")
async def workers_killed(site: Site, rng: random.Random) -> None:
    """kill -9 of both at once."""
    for pid in site.gateway.pids("worker"):
        kill(pid)


@fault(told_by="cache_server_ended")
async def embedded_cache_killed(site: Site, rng: random.Random) -> None:
    """kill -9 of the embedded Valkey."""
    await _killed(site, "cache", rng)


@fault(told_by="child_ended")
async def control_and_cache_killed(site: Site, rng: random.Random) -> None:
    """Nobody publishes, and what was published is gone."""
    for kind in ("cache", "control"):
        await _killed(site, kind, rng)


@fault(short=True)
async def supervisor_killed(site: Site, rng: random.Random) -> None:
    """kill -9 of the supervisor: its children end with it; started again by whoever minds it."""
    children = [pid for kind in ("worker", "control", "cache") for pid in site.gateway.pids(kind)]
    site.gateway.kill()
    await site.gateway.until_dead()
    for pid in children:
        await until_gone(pid)
    await site.gateway.start()


async def _killed(site: Site, kind: str, rng: random.Random) -> None:
    pid = rng.choice(site.gateway.pids(kind))
    kill(pid)
    await until_gone(pid)


async def _stopped(site: Site, pid: int, seconds: float) -> None:
    kill(pid, signal.SIGSTOP)
    site.judge.note(f"{pid} is stopped")
    try:
        await asyncio.sleep(seconds)
    finally:
        site.judge.note(f"{pid} goes on")
        kill(pid, signal.SIGCONT)


@fault()
async def control_stopped(site: Site, rng: random.Random) -> None:
    """SIGSTOP, and SIGCONT seconds later."""
    (pid,) = site.gateway.pids("control")
    await _stopped(site, pid, rng.uniform(1.0, 5.0))


@fault(short=True, told_by="stood_still")
async def worker_stopped(site: Site, rng: random.Random) -> None:
    """One of two workers stands still for seconds, and goes on with what it knew."""
    await _stopped(site, rng.choice(site.gateway.pids("worker")), rng.uniform(2.3, 4.0))


@fault(told_by="stood_still")
async def workers_stopped(site: Site, rng: random.Random) -> None:
    """Both stand still; the requests of all phones wait in their sockets."""
    await asyncio.gather(*(_stopped(site, pid, 3.0 + rng.random()) for pid in site.gateway.pids("worker")))


@fault()
async def supervisor_stopped(site: Site, rng: random.Random) -> None:
    """The supervisor stands still; its children go on."""
    assert site.gateway.process is not None
    await _stopped(site, site.gateway.process.pid, rng.uniform(1.0, 4.0))


@fault()
async def embedded_cache_stopped(site: Site, rng: random.Random) -> None:
    """The embedded Valkey stands still: it takes connections and answers nothing."""
    (pid,) = site.gateway.pids("cache")
    await _stopped(site, pid, rng.uniform(2.0, 6.0))


@fault()
async def everything_stopped(site: Site, rng: random.Random) -> None:
    """As when a virtual machine is paused: all processes at once, phones and agents going on."""
    pids = [pid for kind in ("control", "worker", "cache") for pid in site.gateway.pids(kind)]
    await asyncio.gather(*(_stopped(site, pid, 3.0) for pid in pids))


@fault()
async def workers_starved(site: Site, rng: random.Random) -> None:
    """SIGSTOP and SIGCONT fifty times a second: half of the time there is none."""
    await _starved(site.gateway.pids("worker"), 3.0)


@fault()
async def control_starved(site: Site, rng: random.Random) -> None:
    """The same for the control process."""
    await _starved(site.gateway.pids("control"), 3.0)


async def _starved(pids: list[int], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                kill(pid, number)
            await asyncio.sleep(0.01)


@fault()
async def worker_without_descriptors(site: Site, rng: random.Random) -> None:
    """RLIMIT_NOFILE of a worker is what it has open: no connection more, to nobody."""
    await _without_descriptors(rng.choice(site.gateway.pids("worker")))


@fault()
async def control_without_descriptors(site: Site, rng: random.Random) -> None:
    """The same for the control process."""
    await _without_descriptors(site.gateway.pids("control")[0])


async def _without_descriptors(pid: int) -> None:
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = max(int(each) for each in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, before[1]))
    try:
        await asyncio.sleep(3)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@fault(told_by="refused")
async def log_unread(site: Site, rng: random.Random) -> None:
    """Whoever reads the log hangs, until pipes are full; nothing may wait for it, and no verdict grow old meanwhile."""
    site.gateway.read_log(False)
    try:
        await asyncio.sleep(rng.uniform(8.0, 14.0))
    finally:
        site.gateway.read_log(True)
