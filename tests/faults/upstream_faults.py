"""A mail server that refuses, hangs, answers by half, closes and resets."""

import asyncio
import random

from tests.faults.fault import fault
from tests.faults.origin import Mood
from tests.faults.site import Site


@fault(told_by="upstream_unavailable")
async def upstream_refuses(site: Site, rng: random.Random) -> None:
    """Nobody listens there any more, and what was connected is reset."""
    site.origin.refuse()
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    await site.origin.listen()


async def _in(site: Site, mood: Mood, rng: random.Random) -> None:
    site.origin.mood = mood
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    site.origin.mood = Mood.SERVE
    # What it has half said stays half said: a mail server that comes back begins with new connections.
    site.origin.end_all()


@fault()
async def upstream_hangs(site: Site, rng: random.Random) -> None:
    """It takes everything and answers no command."""
    await _in(site, Mood.HANG, rng)


@fault()
async def upstream_half_answers(site: Site, rng: random.Random) -> None:
    """It sends half an answer and falls silent."""
    await _in(site, Mood.HALF, rng)


@fault(short=True, told_by="upstream_lost")
async def upstream_closes_midway(site: Site, rng: random.Random) -> None:
    """It sends half an answer and closes."""
    await _in(site, Mood.CLOSE, rng)


@fault(told_by="upstream_lost")
async def upstream_resets(site: Site, rng: random.Random) -> None:
    """It resets each connection once it has read a command."""
    await _in(site, Mood.RESET, rng)
