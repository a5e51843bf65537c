"""What a turn of many sessions leaves to be written down until the last of them has been told.

An edit may turn thousands of verdicts at once, and its lines in the log would take as long again as telling everybody.
So they wait, with the moment at which it happened, and are written in rounds between which other work gets its turn. At
any other time they are written at once. What waits is bounded by the sessions that there are; a worker that is killed
in that moment loses it, as it loses the effects that it has not handed on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import structlog

from gateway.observability.lines import STDERR

log = structlog.get_logger()

AT_ONCE = 64
"""Notes written before other work gets its turn, …"""
SHARE = 16
"""… or this part of those that wait."""

Note: TypeAlias = Callable[[float | None], None]
"""Writes something down; the moment at which it happened (epoch seconds), or None: now."""


class Afterwards:
    """One per decision point."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._turns = 0
        self._waiting: deque[tuple[Note, float]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def write(self, note: Note) -> None:
        """Write it down, at once or behind what waits already."""
        if self._turns or self._waiting:
            self._waiting.append((note, self._now()))
        else:
            note(None)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Many are told within; what is to be written of it waits for the end."""
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1
            if self._waiting and self._writing is None:
                self._writing = asyncio.get_running_loop().create_task(self._write_in_rounds())

    async def _write_in_rounds(self) -> None:
        try:
            # Another turn is not held up: its end begins this again.
            while self._waiting and not self._turns:
                # Answers that are on their way go out first.
                await asyncio.sleep(0)
                if not self._turns:
                    # More where more waits: others go on refusing meanwhile, and what they write comes behind it.
                    self._write(max(AT_ONCE, len(self._waiting) // SHARE))
        finally:
            self._writing = None

    def _write(self, most: int) -> None:
        with STDERR.together():
            for _ in range(min(most, len(self._waiting))):
                note, at = self._waiting.popleft()
                try:
                    note(at)
                except Exception:  # a mistake about one must not keep the others from being written
                    log.exception("not_written_down")

    async def close(self) -> None:
        """Write what waits."""
        writing = self._writing
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        while self._waiting:
            self._write(AT_ONCE)
