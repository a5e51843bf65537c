"""Kills the sending process again and again, and compares what it says with what the mail server has got.

``python -m tests.notices.kills [--notices 1000] [--kills 30] [--postgresql]``: the server is slow, refuses, greylists,
says later and cuts inside DATA and behind the final dot. Nobody may be told twice and nobody forgotten but the
uncertain ones.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.domain.notice import MailingState, NoticeKind, NoticeState
from gateway.notices.releasing import resume
from gateway.ports.store import Store
from gateway.storage.sql import open_store
from tests.notices.killing import database, killed
from tests.notices.receiving import Manners, Receiving, receiving_server
from tests.notices.sending import fast_clock
from tests.notices.stage import NOON, fill, people, planned

CUT = NoticeKind.CUT
OVER = frozenset({NoticeState.SENT, NoticeState.FAILED, NoticeState.UNCERTAIN})
LIFE_SECONDS = 5.0
"""Of one that has nothing to send, since what it could send waits."""
EVER_SECONDS = 30 * 86_400.0


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
    greylisted: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Nobody twice, nobody forgotten, and every word true."""
        return not (self.twice or self.sent_not_arrived or self.failed_but_arrived or self.unfinished)


def manners(number: int, seed: int) -> Manners:
    """A bad server: 1 % of the readers are unknown there."""
    refused = frozenset(f"user{each:04}@corp.example" for each in range(0, number, 100))
    return Manners(0.1, 0.05, refused, 0.005, 0.005, 0.02, seed=seed)


class Operator:
    """Looks from outside, and lets go on what the stop rule has stopped."""

    def __init__(self, url: str, began: float) -> None:
        self._url = url
        self._began = began
        self.resumed = 0

    async def over(self) -> bool:
        """Whether every notice stands where it stays."""
        store = await open_store(self._url, writable=True)
        try:
            async with store.read() as reading:
                counts = await reading.notice_counts(1, CUT)
                mailing = await reading.mailing(1, CUT)
            assert mailing is not None
            if mailing.state is MailingState.STOPPED:
                await resume(store, 1, CUT, "ann", fast_clock(self._began))
                self.resumed += 1
        finally:
            await store.close()
        return not set(counts) - OVER


async def run(
    number: int, kills: int, seed: int, transmit_seconds: float = 1_200.0, *, postgresql: bool = False
) -> Found:
    """Send, kill, send … until every notice stands where it stays."""
    with database(postgresql=postgresql) as url:
        store = await open_store(url, writable=True)
        crowd = people(number)
        await fill(store, crowd)
        # On a slow machine the fast clock would come to the evening, and to the end of the time that notices have.
        await planned(store, crowd, now=NOON, urgent=True, expires_seconds=EVER_SECONDS)
        await store.close()
        began, chance = time.time(), random.Random(seed)
        operator = Operator(url, began)
        async with receiving_server(manners(number, seed)) as server:

            async def moment() -> None:
                """Somewhere among so many recipients more, to within milliseconds."""
                wanted = server.asked + chance.randrange(max(1, 2 * number // max(1, kills)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIFE_SECONDS):
                        while server.asked < wanted:  # noqa: ASYNC110  (the server counts)
                            await asyncio.sleep(0.002)
                await asyncio.sleep(chance.uniform(0.0, 0.02))

            await killed(
                "tests.notices.sending",
                *(url, str(server.port), repr(began), repr(transmit_seconds)),
                kills=kills,
                moment=moment,
                over=operator.over,
                after=operator.over,
            )
            store = await open_store(url, writable=True)
            found = await _compared(store, server, kills, operator.resumed, time.time() - began)
            await store.close()
    return found


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
        len(server.greylisted),
        seconds,
    )


def main() -> None:
    """Say what was found; exit 1 where somebody was told twice or forgotten."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--notices", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(run(given.notices, given.kills, given.seed, postgresql=given.postgresql))
    print(found)
    sys.exit(0 if found.sound else 1)


if __name__ == "__main__":
    main()
