"""Wall clocks that jump, of the control process or of the workers; phones and agents keep the right time.

Nothing may age by the jump: unknowns are denied while these run, so a list that went stale would cut its phone.
"""

import asyncio
import random
import time

from tests.faults.fault import fault
from tests.faults.grounds import set_clocks
from tests.faults.site import Site

WATCHED_SECONDS = 2.5
DAY = 86_400.0


async def _jump(site: Site, ahead_seconds: float, *kinds: str) -> None:
    """Set clocks, watch for a while that everybody is treated as before, and set them right."""
    files = site.directory / "clocks"
    await site.deny_unknowns()
    set_clocks(files, ahead_seconds, kinds)
    site.judge.note(f"the wall clock of {kinds} jumps by {ahead_seconds:+.0f} s")
    began = time.monotonic()
    try:
        await asyncio.sleep(WATCHED_SECONDS)
        await site.rest()
        if wrong := await site.until_right(time.monotonic()):
            raise AssertionError(f"while the clock was wrong: {wrong}")
    finally:
        site.judge.note(f"the wall clock is right again after {time.monotonic() - began:.1f} s")
        set_clocks(files, 0.0)


@fault("clocks", told_by="clock_jumped", short=True)
async def clock_of_workers_a_day_ahead(site: Site, rng: random.Random) -> None:
    """+1 day."""
    await _jump(site, DAY, "worker")


@fault("clocks", told_by="clock_jumped")
async def clock_of_workers_a_day_back(site: Site, rng: random.Random) -> None:
    """-1 day."""
    await _jump(site, -DAY, "worker")


@fault("clocks", told_by="clock_jumped")
async def clock_of_workers_61_s_ahead(site: Site, rng: random.Random) -> None:
    """+61 s: just more than is followed."""
    await _jump(site, 61.0, "worker")


@fault("clocks", told_by="clock_jumped")
async def clock_of_control_a_day_ahead(site: Site, rng: random.Random) -> None:
    """+1 day."""
    await _jump(site, DAY, "control")


@fault("clocks", told_by="clock_jumped")
async def clock_of_control_a_day_back(site: Site, rng: random.Random) -> None:
    """-1 day."""
    await _jump(site, -DAY, "control")


@fault("clocks", told_by="clock_jumped")
async def clock_of_control_61_s_ahead(site: Site, rng: random.Random) -> None:
    """+61 s."""
    await _jump(site, 61.0, "control")


@fault("clocks", told_by="clock_jumped")
async def clock_of_all_a_year_ahead(site: Site, rng: random.Random) -> None:
    """+365 days, everywhere."""
    await _jump(site, 365 * DAY, "control", "worker")
