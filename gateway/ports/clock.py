"""The clock, so that time is an argument everywhere."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in seconds since the epoch, UTC."""

    def now(self) -> float:
        """The present moment."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> float:
        """The present moment by ``time.time``."""
        return time.time()
