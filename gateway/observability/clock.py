"""The time of day as everything that judges reads it: anchored to the monotonic clock, so that it cannot jump.

What is judged by its age (a list of apps, an exemption, a grace) must not age by a day because somebody set the clock.
A wall clock that differs by at most ``JUMP_SECONDS`` is followed at once. One that differs by more has jumped: that is
told, and ``now`` goes on at the pace of the monotonic clock, so nothing ages by the jump. Only when the wall clock has
kept its new time for ``HOLD_SECONDS`` is it believed. The monotonic clock is one that counts the sleep of a machine
where the kernel has such a one, because time that was slept through has passed.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

JUMP_SECONDS = 60.0
HOLD_SECONDS = 900.0
LOOK_EVERY_SECONDS = 1.0


def _monotonic() -> Callable[[], float]:
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot is None else lambda: time.clock_gettime(boot)


class SteadyClock:
    """One per process. ``watch`` must run for it to notice anything."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] | None = None) -> None:
        """``wall`` in epoch seconds."""
        self._wall = wall
        self._monotonic = monotonic or _monotonic()
        self._offset = self._wall() - self._monotonic()
        self._held_since = 0.0
        self.jumped_by = 0.0
        """Seconds by which the wall clock is ahead of ``now``, while it is not believed; 0: it is."""

    def now(self) -> float:
        """Epoch seconds."""
        return self._monotonic() + self._offset

    def look(self) -> None:
        """Compare with the wall clock."""
        at = self._monotonic()
        ahead = self._wall() - self._offset - at
        if abs(ahead) <= JUMP_SECONDS:
            self._offset += ahead
            if self.jumped_by:
                log.warning("clock_back", jumped_by=round(self.jumped_by, 1))
                self.jumped_by = 0.0
        elif abs(ahead - self.jumped_by) > JUMP_SECONDS:
            self.jumped_by, self._held_since = ahead, at
            log.error("clock_jumped", seconds=round(ahead, 1), believed_after_seconds=HOLD_SECONDS)
        elif at - self._held_since >= HOLD_SECONDS:
            log.error("clock_believed", seconds=round(ahead, 1))
            self._offset += ahead
            self.jumped_by = 0.0

    async def watch(self) -> None:
        """Look each second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)
