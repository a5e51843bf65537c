"""One repetition of a fault on a running site, and what must hold during and after it."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.faults.fault import Fault
from tests.faults.site import Site

REST_SECONDS = 15.0
HOLDS_SECONDS = 40.0


@dataclass(slots=True)
class Outcome:
    """What one repetition showed."""

    longest_stale: float = 0.0
    recovery_seconds: float = 0.0
    """From the fault's end until all is healthy and each phone has had the right answer."""
    acknowledged: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


async def repeat(site: Site, fault: Fault, rng: random.Random) -> Outcome:
    """Make the fault once; never raises for what goes wrong."""
    outcome = Outcome()
    before = sum(each.total for each in site.reporters)
    seen = len(site.gateway.log)
    site.judge.begin(fault.bound_seconds)
    site.load(on=True)
    await asyncio.sleep(rng.uniform(0.3, 1.0))
    try:
        await _made(site, fault, rng)
        await _recovered(site, fault, outcome)
    except (AssertionError, TimeoutError, OSError) as error:
        outcome.wrong.append(f"{type(error).__name__}: {error}")
    outcome.wrong += site.judge.violations
    if fault.told_by and not {str(entry["event"]) for entry in site.gateway.log[seen:]} & set(fault.told_by.split()):
        outcome.wrong.append(f"the log tells nothing of it: none of {fault.told_by}")
    outcome.longest_stale = site.judge.longest_stale
    outcome.acknowledged = sum(each.total for each in site.reporters) - before
    return outcome


async def _made(site: Site, fault: Fault, rng: random.Random) -> None:
    site.judge.note(f"fault begins: {fault.name}")
    async with asyncio.timeout(HOLDS_SECONDS):
        await fault.make(site, rng)
    site.judge.note(f"fault ended: {fault.name}")


async def _recovered(site: Site, fault: Fault, outcome: Outcome) -> None:
    ended = time.monotonic()
    await site.until_healthy(fault.recovers_seconds)
    try:
        async with asyncio.timeout(REST_SECONDS):
            await site.rest()
    except TimeoutError:
        raise TimeoutError(f"reports stuck: {[each.last for each in site.reporters]}") from None
    stuck = await site.until_right(time.monotonic())
    outcome.recovery_seconds = time.monotonic() - ended
    outcome.wrong += stuck
    if not fault.loses:
        lost = await site.lost()
        outcome.lost = len(lost)
        outcome.wrong += lost
