"""A wire between the gateway and a server it depends on, that can be slow, silent or cut.

Between two unix sockets, or two ports of this machine. Octets pass as they are, each piece after the present delay.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

Place: TypeAlias = Path | int
"""A unix socket, or a port of 127.0.0.1."""


class Wire:
    """One place to connect to, and where it leads."""

    def __init__(self, socket: Place, target: Place) -> None:
        self.socket = socket
        self.target = target
        self.delay_seconds = 0.0
        self.silent = False
        """What is sent is swallowed, in both directions."""
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take connections."""
        if isinstance(self.socket, Path):
            self.socket.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, str(self.socket))
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.socket)

    async def cut(self) -> None:
        """End every connection and take no more, until ``open``."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if isinstance(self.socket, Path):
            self.socket.unlink(missing_ok=True)
        self.drop()
        await asyncio.sleep(0)

    def drop(self) -> None:
        """End every connection; new ones are taken."""
        for writer in tuple(self._pairs):
            writer.transport.abort()

    async def close(self) -> None:
        """End for good."""
        await self.cut()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self.target, Path):
                there, back = await asyncio.open_unix_connection(str(self.target))
            else:
                there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._pairs |= {writer, back}
        pumps = {asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))}
        self._pumps |= pumps
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (writer, back):
                self._pairs.discard(each)
                each.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._pumps -= pumps

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while octets := await reader.read(65536):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if not self.silent:
                    writer.write(octets)
                    await writer.drain()
