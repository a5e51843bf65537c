"""Kills the process that writes down who is told, again and again: ``python -m tests.notices.planning_kills``.

``[--people 20000] [--kills 30]``: in the end everybody has one notice, nobody was left out, and the figures are true.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.domain.notice import Mailing, MailingState, NoticeKind, NoticeState
from gateway.storage.sql import open_store
from tests.notices.stage import fill, ordered, people, wanted

CUT = NoticeKind.CUT
SECONDS_AT_MOST = 600.0


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


async def run(number: int, kills: int, seed: int) -> Found:
    """Plan, kill, plan … until everybody is written down."""
    began, chance = time.time(), random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        database = f"sqlite:///{Path(directory) / 'gatepost.db'}"
        crowd = people(number)
        # Every hundredth has an address that is none.
        fitting = [replace(each, address="" if place % 100 else "nowhere") for place, each in enumerate(crowd)]
        store = await open_store(database, writable=True)
        await fill(store, fitting)
        await ordered(store, wanted(hold=600.0))
        await store.close()
        middle = done = 0
        while True:
            over = await _written_for_a_while(database, number, chance.uniform(0.0, 0.3) if done < kills else None)
            if over:
                break
            done += 1
            notices, _ = await _stands(database)
            middle += 0 < notices < number
        notices, mailing = await _stands(database)
        return Found(
            done,
            middle,
            notices,
            mailing.plan.without_address,
            mailing.state,
            number - notices - mailing.plan.without_address,
            time.time() - began,
        )


async def _written_for_a_while(database: str, number: int, seconds: float | None) -> bool:
    """One life of the process: killed after so long, or let finish."""
    words = ("-m", "tests.notices.writing_down", database, str(number))
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(SECONDS_AT_MOST):
            assert await child.stdout.readline() == b"planning\n"
            if seconds is not None:
                await asyncio.sleep(seconds)
                return False
            while (await _stands(database))[1].state is MailingState.PLANNING:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.1)
            return True
    finally:
        child.kill()
        await child.wait()


async def _stands(database: str) -> tuple[int, Mailing]:
    store = await open_store(database, writable=False)
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
    given = parser.parse_args()
    found = asyncio.run(run(given.people, given.kills, given.seed))
    print(found)
    sys.exit(1 if found.left_out else 0)


if __name__ == "__main__":
    main()
