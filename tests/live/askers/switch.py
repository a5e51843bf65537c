"""The port that a real server asks at: Gatepost answers, at once or late, or nobody, or one who says nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from urllib.parse import urlsplit


class Switch:
    """One port; what is behind it can be changed while a server is configured with it."""

    def __init__(self, port: int, gatepost: str) -> None:
        self.port = port
        self._gatepost = urlsplit(gatepost)
        self.delay_seconds = 0.0
        """From an answer of Gatepost's until the server has it; of connections that stand, too."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def lead_to(self, gatepost: str) -> None:
        """Connections from now on go to another one."""
        self._gatepost = urlsplit(gatepost)

    async def on(self) -> None:
        """Gatepost answers, at once."""
        self.delay_seconds = 0.0
        await self._become(self._passed_on)

    async def silent(self) -> None:
        """Connections are taken, and nothing is ever said."""
        await self._become(self._held)

    async def off(self) -> None:
        """Nobody listens, and whoever was connected is not any more."""
        if self._server is not None:
            for sock in self._server.sockets:
                asyncio.get_running_loop().remove_reader(sock.fileno())
            # What the loop has accepted becomes a connection first: of a closed server it would be nobody's.
            for _ in range(3):
                await asyncio.sleep(0)
            self._server.close()
            self._server = None
        for task in tuple(self._tasks):
            task.cancel()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What the loop has closed is closed for the kernel after its next round.
        await asyncio.sleep(0)

    async def _become(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]
    ) -> None:
        await self.off()

        async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self._writers.add(writer)
            try:
                with suppress(OSError, asyncio.CancelledError):
                    await serve(reader, writer)
            finally:
                self._tasks.discard(task)
                self._writers.discard(writer)
                writer.close()

        self._server = await asyncio.start_server(kept, "127.0.0.1", self.port)

    async def _held(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    async def _passed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._gatepost.hostname, self._gatepost.port)
        ways = [
            asyncio.create_task(_copied(reader, far_writer, lambda: 0.0)),
            asyncio.create_task(_copied(far_reader, writer, lambda: self.delay_seconds)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            far_writer.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
    with suppress(OSError):
        while octets := await reader.read(65536):
            # The delay is what a test is about.
            await asyncio.sleep(delay())
            writer.write(octets)
            await writer.drain()
