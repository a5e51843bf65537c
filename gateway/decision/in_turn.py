"""What falls due for many at one moment, as when a ban begins, is begun for a few at a time.

Timers that ring together are all served before the loop looks at its connections again: thousands of sessions that are
judged again and cut would be seconds in which nobody else is answered.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger()

AT_ONCE = 16
"""Begun in one round of the loop; each takes about a millisecond."""


class InTurn:
    """Work in the order in which it came; one per decision point."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._due = False

    def add(self, work: Callable[[], None]) -> None:
        """Begin it soon; what is not wanted any more then must do nothing."""
        self._waiting.append(work)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin_some)

    def _begin_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            try:
                self._waiting.popleft()()
            except Exception:  # a mistake about one must not keep the others from their turn
                log.exception("not_begun")
        self._due = bool(self._waiting)
        if self._due:
            asyncio.get_running_loop().call_soon(self._begin_some)
