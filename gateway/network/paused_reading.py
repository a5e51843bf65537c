"""A connection that can be told to read no more for now: what its peer sends then waits in the kernel."""

import asyncio


class PausedReading(asyncio.Protocol):
    """Part of a protocol that has its transport in ``transport``, and None there while there is none."""

    __slots__ = ("_paused", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._paused = False

    def pause(self) -> None:
        """Read no more for now."""
        if self.transport is not None and not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None and self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
