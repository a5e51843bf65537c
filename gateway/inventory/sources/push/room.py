"""Memory for what is made of reports, from before they are unpacked until they are answered.

The sender is known by then, so each source has a share of its own: who has one secret takes the room of no other
source, nor, since so little of one's is before it, more than a moment of the time in which large reports are read.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.inventory.sources.push.intake import ReceiverLimits, busy

HELD_TIMES = 8
"""What is kept of a report, by the octets of its JSON; measured: most where apps have nothing but a short id."""
SHARES = 4
"""So many sources can have all that is theirs at once."""


class Room:
    """Counts the reports and the room of each source; who finds no room waits for it."""

    def __init__(self, limits: ReceiverLimits) -> None:
        self._limits = limits
        # The largest report that there may be always fits.
        self._share = max(HELD_TIMES * max(limits.body_bytes, limits.unpacked_bytes), limits.memory_bytes // 2)
        self._reports: Counter[str] = Counter()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._freed = asyncio.Event()
        self.held_bytes = 0
        self.held_by: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, source: str, octets: int) -> AsyncIterator[None]:
        """Room for a report of so many octets of JSON; raises ``Refused``, also when there is none in good time."""
        if self._reports[source] >= self._limits.reports_at_once:
            raise busy(429, f"the source {source} sends faster than its reports are stored", 1)
        self._reports[source] += 1
        try:
            await self._take(source, HELD_TIMES * octets)
            try:
                yield
            finally:
                self._count(source, -HELD_TIMES * octets)
                self._freed.set()
                self._freed = asyncio.Event()
        finally:
            self._reports[source] -= 1
            if not self._reports[source]:
                del self._reports[source]
                self._turns.pop(source, None)

    async def _take(self, source: str, needed: int) -> None:
        try:
            # In the order in which they came: a large one would never find room between many small ones.
            async with asyncio.timeout(self._limits.store_seconds), self._turns[source]:
                while not self._fits(source, needed):
                    await self._freed.wait()
                self._count(source, needed)
        except TimeoutError:
            raise busy(503, "too many reports wait to be stored", self._limits.retry_after_seconds) from None

    def _fits(self, source: str, needed: int) -> bool:
        return self.held_by[source] + needed <= self._share and self.held_bytes + needed <= SHARES * self._share

    def _count(self, source: str, octets: int) -> None:
        self.held_bytes += octets
        self.held_by[source] += octets
        if not self.held_by[source]:
            del self.held_by[source]
