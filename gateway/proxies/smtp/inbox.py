"""What a client has sent and nobody has read yet: lines while it gives commands, pieces while it sends a message.

It stands where aiosmtpd has a stream reader, which takes a bare LF for the end of a line, and to which nothing can be
given back that was read too far. Bounded: while too much waits, the transport is not read. One reads at a time.
"""

import asyncio

from gateway.protocols.lines import LineReader
from gateway.protocols.sasl import RESPONSE_LONGEST

LINE_LONGEST = RESPONSE_LONGEST + 64
"""A response of SASL is the longest of lines (RFC 4954 §4); how long a command may be, aiosmtpd knows."""
WAITING_MOST = 64 << 10


class Inbox:
    """The octets of one connection, until TLS begins on it."""

    __slots__ = ("_ended", "_lines", "_more", "_paused", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._lines = LineReader(LINE_LONGEST, WAITING_MOST)
        self._more: asyncio.Future[None] | None = None
        self._paused = False
        self._ended = False

    @property
    def empty(self) -> bool:
        """Whether everything that came was read."""
        return self._lines.empty

    def receive(self, octets: bytes) -> None:
        """More has come. Raises ``Unframeable`` if it comes although nothing more is taken."""
        self._lines.receive(octets)
        self._hold()
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    async def line(self) -> bytes:
        """The next line without its end. Raises ``Unframeable``, and ``CancelledError`` when there will be none."""
        while (line := self._lines.line()) is None:
            await self._until_more()
        self._go_on()
        return line

    async def piece(self) -> bytes:
        """All that is there, and at least one octet. Raises ``CancelledError`` when nothing more will come."""
        while self._lines.empty:
            await self._until_more()
        octets = self._lines.rest()
        self._go_on()
        return octets

    def put_back(self, octets: bytes) -> None:
        """Octets of a piece that somebody else is to read."""
        self._lines.receive(octets + self._lines.rest())
        self._hold()

    async def _until_more(self) -> None:
        if self._ended:
            # As aiosmtpd ends a session whose client is gone.
            raise asyncio.CancelledError
        self._more = asyncio.get_running_loop().create_future()
        try:
            await self._more
        finally:
            self._more = None

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _hold(self) -> None:
        if self._lines.crowded and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        if self._paused and not self._lines.crowded:
            self._paused = False
            self.transport.resume_reading()
