"""Kills the sending process again and again, and compares what it says with what the mail server has got.

``python -m tests.notices.kills [--notices 1000] [--kills 30]``: the server is slow, refuses, greylists, says later and
cuts inside DATA and behind the final dot. Nobody may be told twice and nobody forgotten but the uncertain ones.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.notice import MailingState, NoticeKind, NoticeState
from gateway.notices.releasing import resume
from gateway.ports.store import Store
from gateway.storage.sql import open_store
from tests.notices.receiving import Manners, Receiving, receiving_server
from tests.notices.sending import fast_clock
from tests.notices.stage import NOON, fill, people, planned

CUT = NoticeKind.CUT
OVER = frozenset({NoticeState.SENT, NoticeState.FAILED, NoticeState.UNCERTAIN})
SECONDS_AT_MOST = 600.0


@dataclass(frozen=True)
class Found:
    """What it came to."""

    kills: int
    resumed: int
    states: Mapping[str, int]
    uncertain_arrived: int
    twice: int
    sent_not_arrived: int
    failed_but_arrived: int
    unfinished: int
    cut_behind_dot: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Nobody twice, nobody forgotten, and every word true."""
        return not (self.twice or self.sent_not_arrived or self.failed_but_arrived or self.unfinished)


def manners(number: int, seed: int) -> Manners:
    """A bad server: 1 % of the readers are unknown there."""
    refused = frozenset(f"user{each:04}@corp.example" for each in range(0, number, 100))
    return Manners(0.1, 0.05, refused, 0.005, 0.005, 0.02, seed=seed)


async def run(number: int, kills: int, seed: int, transmit_seconds: float = 1_200.0) -> Found:
    """Send, kill, send … until every notice stands where it stays."""
    began, chance = time.time(), random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        database = f"sqlite:///{Path(directory) / 'gatepost.db'}"
        store = await open_store(database, writable=True)
        crowd = people(number)
        await fill(store, crowd)
        await planned(store, crowd, now=NOON)
        await store.close()
        async with receiving_server(manners(number, seed)) as server:
            done = resumed = 0
            while True:
                over, again = await _sent_for_a_while(
                    database, server, (began, transmit_seconds), chance.uniform(0.05, 0.6) if done < kills else None
                )
                resumed += again
                if over:
                    break
                done += 1
            store = await open_store(database, writable=True)
            found = await _compared(store, server, done, resumed, time.time() - began)
            await store.close()
    return found


async def _sent_for_a_while(
    database: str, server: Receiving, times: tuple[float, float], seconds: float | None
) -> tuple[bool, int]:
    """One life of the sending process: killed after so long, or let finish; whether it finished, and resumptions."""
    words = ("-m", "tests.notices.sending", database, str(server.port), *map(repr, times))
    child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=None)
    assert child.stdout is not None
    resumed = 0
    try:
        async with asyncio.timeout(SECONDS_AT_MOST):
            assert await child.stdout.readline() == b"sending\n"
            if seconds is not None:
                await asyncio.sleep(seconds)
                return False, resumed
            while True:
                await asyncio.sleep(0.2)
                over, stopped = await _look(database)
                if over:
                    return True, resumed
                if stopped:
                    await _resume(database, times[0])
                    resumed += 1
    finally:
        child.kill()
        await child.wait()


async def _look(database: str) -> tuple[bool, bool]:
    store = await open_store(database, writable=False)
    try:
        async with store.read() as reading:
            counts = await reading.notice_counts(1, CUT)
            mailing = await reading.mailing(1, CUT)
    finally:
        await store.close()
    assert mailing is not None
    return not set(counts) - OVER, mailing.state is MailingState.STOPPED


async def _resume(database: str, began: float) -> None:
    """What an operator does who has looked at the figures."""
    store = await open_store(database, writable=True)
    await resume(store, 1, CUT, "ann", fast_clock(began))
    await store.close()


async def _compared(store: Store, server: Receiving, kills: int, resumed: int, seconds: float) -> Found:
    async with store.read() as reading:
        notices = await reading.notices(1, list(NoticeState), limit=100_000)
    arrived = {each.reader.address: len(server.mailboxes.get(each.reader.address, ())) for each in notices}
    by_state = Counter(str(each.state) for each in notices)

    def number(state: NoticeState, copies: int) -> int:
        return sum(1 for each in notices if each.state is state and arrived[each.reader.address] == copies)

    return Found(
        kills,
        resumed,
        dict(by_state),
        number(NoticeState.UNCERTAIN, 1),
        sum(1 for copies in arrived.values() if copies > 1),
        number(NoticeState.SENT, 0),
        sum(1 for each in notices if each.state is NoticeState.FAILED and arrived[each.reader.address]),
        sum(1 for each in notices if each.state not in OVER),
        len(server.cut_behind_dot),
        seconds,
    )


def main() -> None:
    """Say what was found; exit 1 where somebody was told twice or forgotten."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--notices", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = asyncio.run(run(given.notices, given.kills, given.seed))
    print(found)
    sys.exit(0 if found.sound else 1)


if __name__ == "__main__":
    main()
