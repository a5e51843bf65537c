"""Kills the process that writes down who is told, again and again: ``python -m tests.notices.planning_kills``.

``[--people 20000] [--kills 30] [--postgresql]``: in the end everybody has one notice, nobody was left out, and the
figures are true.
"""

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass, replace

from gateway.domain.notice import Mailing, MailingState, NoticeKind, NoticeState
from gateway.storage.sql import open_store
from tests.notices.killing import database, killed
from tests.notices.stage import fill, ordered, people, wanted

CUT = NoticeKind.CUT
LIFE_SECONDS = 0.3


@dataclass(frozen=True)
class Found:
    """What it came to."""

    kills: int
    in_the_middle: int
    """Kills at which some were written down and some not."""
    notices: int
    without_address: int
    state: MailingState
    left_out: int
    seconds: float


async def run(number: int, kills: int, seed: int, *, postgresql: bool = False) -> Found:
    """Plan, kill, plan … until everybody is written down."""
    began, middle, chance = time.time(), 0, random.Random(seed)
    with database(postgresql=postgresql) as url:
        crowd = people(number)
        # Every hundredth has an address that is none.
        fitting = [replace(each, address="" if place % 100 else "nowhere") for place, each in enumerate(crowd)]
        store = await open_store(url, writable=True)
        await fill(store, fitting)
        await ordered(store, wanted(hold=600.0))
        await store.close()

        async def over() -> bool:
            return (await _stands(url))[1].state is not MailingState.PLANNING

        async def after() -> None:
            nonlocal middle
            middle += 0 < (await _stands(url))[0] < number

        await killed(
            "tests.notices.writing_down",
            *(url, str(number)),
            kills=kills,
            moment=lambda: asyncio.sleep(chance.uniform(0.0, LIFE_SECONDS)),
            over=over,
            after=after,
        )
        notices, mailing = await _stands(url)
        return Found(
            kills,
            middle,
            notices,
            mailing.plan.without_address,
            mailing.state,
            number - notices - mailing.plan.without_address,
            time.time() - began,
        )


async def _stands(url: str) -> tuple[int, Mailing]:
    store = await open_store(url, writable=False)
    try:
        async with store.read() as reading:
            counts = await reading.notice_counts(1, CUT)
            mailing = await reading.mailing(1, CUT)
    finally:
        await store.close()
    assert mailing is not None
    assert set(counts) <= {NoticeState.PLANNED}
    return sum(counts.values()), mailing


def main() -> None:
    """Say what was found; exit 1 where somebody was left out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(run(given.people, given.kills, given.seed, postgresql=given.postgresql))
    print(found)
    sys.exit(1 if found.left_out else 0)


if __name__ == "__main__":
    main()
