"""The tasks of a child process: the first one that ends takes all others along.

One that fails is a fault of ours. What is under way is finished all the same; then the process ends with a code other
than 0, so that whoever looks at how it ended sees no end in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

log = structlog.get_logger()


class TaskFailed(Exception):  # noqa: N818  (what happened)
    """Raised when all is ended; what failed stands in the log."""


class Tasks:
    """Those of one process; they run from now on."""

    def __init__(self, works: Iterable[Awaitable[object]], tell: Callable[[object], bool]) -> None:
        """``tell`` logs how one ended, where somebody should know, and says whether that was a fault."""
        self.running = [asyncio.ensure_future(work) for work in works]
        self._tell = tell
        self._faults = 0

    async def until_one_ends(self) -> None:
        """Wait for the first."""
        await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)

    async def end(self, within_seconds: float | None = None) -> None:
        """Cancel what still runs, and tell how each one ended; who does not end in time is waited for no longer."""
        for task in self.running:
            task.cancel()
        await asyncio.wait(self.running, timeout=within_seconds)
        ended = [task for task in self.running if task.done()]
        if len(ended) < len(self.running):
            log.warning("tasks_do_not_end", tasks=len(self.running) - len(ended))
        for outcome in await asyncio.gather(*ended, return_exceptions=True):
            self._faults += self._tell(outcome)

    def see_that_none_failed(self) -> None:
        """Called when everything is closed. Raises ``TaskFailed``."""
        if self._faults:
            raise TaskFailed
