"""What a worker tells the control process of in batches: rows that wait, are handed on, and wait on where that fails.

How rows are collected, bounded and put back is the business of each log; the shape of handing on is one.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence

Send = Callable[[Sequence[bytes]], Awaitable[None]]
Rows = Sequence[Mapping[str, object]]

BATCH = 500
EVERY_SECONDS = 2.0


class Batched(ABC):
    """Rows on their way."""

    def __init__(self, send: Send) -> None:
        self._send = send

    @abstractmethod
    def _next(self) -> Rows:
        """Rows that are under way from now on, about ``BATCH`` at most; empty: nothing waits."""

    @abstractmethod
    def _back(self) -> None:
        """What is under way waits again, before what has come meanwhile."""

    @abstractmethod
    def _not_sent(self, error: str) -> None:
        """Say in the log that they could not be sent; ``error``: the kind of trouble."""

    async def flush(self) -> None:
        """Hand on what waits; what cannot be sent now is kept, up to the bound."""
        while rows := self._next():
            try:
                await self._send([json.dumps(row).encode() for row in rows])
            except Exception as error:  # the sink is another machine's trouble; the rows wait
                self._back()
                self._not_sent(type(error).__name__)
                return
            except BaseException:
                # Ended in the middle: whether they have arrived nobody knows.
                self._back()
                raise

    async def run(self, every_seconds: float = EVERY_SECONDS) -> None:
        """Flush regularly until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(every_seconds)
                await self.flush()
        finally:
            await self.flush()
