"""One repetition of a fault on a running site, and what must hold during and after it."""

import asyncio
import random
import time

from tests.faults.fault import Fault
from tests.faults.site import Site
from tests.faults.table import Outcome, Row

REST_SECONDS = 15.0
HOLDS_SECONDS = 40.0


async def run_fault(site: Site, fault: Fault, times: int, seed: int) -> Row:
    """One fault so many times; what goes wrong is printed with what happened around it."""
    row = Row(fault.name, fault.bound_seconds, seed)
    await site.rest()
    row.before = site.gateway.use()
    began = time.monotonic()
    for number in range(times):
        outcome = await repeat(site, fault, random.Random(f"{seed} {fault.name} {number}"))
        row.outcomes.append(outcome)
        if outcome.wrong:
            events = site.judge.around_first or site.judge.around()
            lines = [f"{fault.name} #{number}, seed {seed}:", *outcome.wrong[:12], "events:", *events[-60:]]
            print("\n    ".join(lines), flush=True)
    row.seconds = time.monotonic() - began
    row.after = site.gateway.use()
    row.outcomes[-1].wrong += row.grown()
    return row


async def repeat(site: Site, fault: Fault, rng: random.Random) -> Outcome:
    """Make the fault once; never raises for what goes wrong."""
    outcome = Outcome()
    before = sum(each.total for each in site.reporters)
    began = time.monotonic()
    site.judge.begin(fault.bound_seconds)
    site.load(on=True)
    await asyncio.sleep(rng.uniform(0.3, 1.0))
    try:
        await _made(site, fault, rng)
        await _recovered(site, fault, outcome)
    except (AssertionError, TimeoutError, OSError) as error:
        outcome.wrong.append(f"{type(error).__name__}: {error}")
    outcome.wrong += site.judge.violations
    if fault.told_by and not site.gateway.heard_since(began) & set(fault.told_by.split()):
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
