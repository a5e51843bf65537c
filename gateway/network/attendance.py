"""Who is there at a front: its connections, and the TLS handshakes of those that have come and are no connection yet.

Counts, and lets a front that ends wait until everybody has gone. Who is let in is decided elsewhere.
"""

import asyncio
from contextlib import suppress
from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class Attendance(Generic[Connection]):
    """Those of one front."""

    __slots__ = ("_gone", "connections", "handshakes")

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.handshakes = 0
        """Under way."""
        self._gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self.connections) + self.handshakes

    def come(self, connection: Connection) -> None:
        """A connection stands."""
        self.connections.add(connection)

    def leave(self, connection: Connection) -> bool:
        """A connection is gone; whether it was there."""
        if connection not in self.connections:
            return False
        self.connections.discard(connection)
        self._look()
        return True

    def arrived(self) -> None:
        """A handshake is to come."""
        self.handshakes += 1

    def shaken(self) -> None:
        """It is over; what came of it has come by itself."""
        self.handshakes -= 1
        self._look()

    def _look(self) -> None:
        if not self.connections and not self.handshakes:
            self._gone.set()

    async def emptied(self, within_seconds: float) -> bool:
        """Wait until nobody is there, or for so long; whether nobody is."""
        if len(self) and within_seconds > 0:
            self._gone.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._gone.wait()
        return not len(self)
