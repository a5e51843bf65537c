"""Rounds of the event loop: which one it is, and what is done when all that it brought has been read.

In each round the loop asks the kernel once which connections have something to read, and calls ``data_received`` for
each of them; what was given to ``call_soon`` meanwhile runs after the last of these calls. So at the end of a round
everything that had arrived at its beginning is known, on every connection.
"""

import asyncio
from collections.abc import Callable


class Rounds:
    """The rounds of the running loop in which something happened. Belongs to one loop."""

    __slots__ = ("_at_end", "_open", "number")

    def __init__(self, at_end: Callable[[], None] = lambda: None) -> None:
        """``at_end`` is called once at the end of each round that was entered."""
        self._at_end = at_end
        self._open = False
        self.number = 0

    def enter(self) -> None:
        """Called by whatever brings or changes something; the first call of a round counts."""
        if not self._open:
            self._open = True
            self.number += 1
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._open = False
        self._at_end()
