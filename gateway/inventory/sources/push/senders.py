"""The sources whose secrets may have signed a report, as the store has them once the report has come.

Reports that come while a reading is under way share the next one: none is checked against what the store held before
it came, and a crowd of them costs two readings, not one each.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from gateway.ports.store import Reading, Source, Store


class Senders:
    """Reads the sources; one per receiver."""

    def __init__(self, store: Store, within_seconds: float) -> None:
        self._store = store
        self._within_seconds = within_seconds
        self._reading: asyncio.Task[Sequence[Source]] | None = None
        self._next: asyncio.Task[Sequence[Source]] | None = None

    async def now(self) -> Sequence[Source]:
        """The sources at a moment after this call. Raises ``StoreUnavailable`` and ``TimeoutError``."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._reading))
            self._next.add_done_callback(_heard)
        async with asyncio.timeout(self._within_seconds):
            # Shielded: whoever asked first may go away, the others still wait for the same reading.
            return await asyncio.shield(self._next)

    async def _after(self, earlier: "asyncio.Task[Sequence[Source]] | None") -> Sequence[Source]:
        if earlier is not None:
            await asyncio.wait({earlier})
            # An error keeps what its frames know: each reading that fails would keep the one before it.
            earlier = None
        self._reading, self._next = self._next, None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._within_seconds):
                return await self._store.read_at_once(_sources)
        # Another one: that of the timeout keeps this task, which keeps its error.
        raise TimeoutError


async def _sources(reading: Reading) -> Sequence[Source]:
    return await reading.sources()


def _heard(task: "asyncio.Task[Sequence[Source]]") -> None:
    """An error that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()
