"""Both ends of a TLS connection in a test: a protocol that writes down what it is told, and OpenSSL driven by hand."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import cast

from gateway.network.tls_connection import PIECE_BYTES, TlsConnection
from tests.network.authority import Authority

SECONDS = 20.0


class Heard(asyncio.Protocol):
    """Writes down what it is told; answers by ``on_data``."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._note("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.octets += data
        self.changed.set()
        self.on_data(data)

    def eof_received(self) -> bool:
        self._note("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")

    def pause_writing(self) -> None:
        self._note("full")

    def resume_writing(self) -> None:
        self._note("room")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Client:
    """A client that sends the records it wants to, in the pieces it wants to."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self._goes, server_hostname="localhost")
        self.wire = b""
        """All that the server sent, as it came."""

    async def send(self, octets: bytes, at_once: int = 1 << 30) -> None:
        loop = asyncio.get_running_loop()
        for begin in range(0, len(octets), at_once):
            await loop.sock_sendall(self.sock, octets[begin : begin + at_once])
            await asyncio.sleep(0)

    async def flush(self, at_once: int = 1 << 30) -> None:
        await self.send(self._goes.read(), at_once)

    async def more(self) -> bool:
        """Read once; whether there was anything."""
        octets = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.wire += octets
        self.came.write(octets)
        return bool(octets)

    async def shake(self, at_once: int = 1 << 30) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush(at_once)
                if not await self.more():
                    raise ConnectionResetError from None
            else:
                await self.flush(at_once)
                return

    def encrypted(self, octets: bytes) -> bytes:
        """The records of these."""
        for begin in range(0, len(octets), PIECE_BYTES):
            self.tls.write(octets[begin : begin + PIECE_BYTES])
        return self._goes.read()

    async def read(self, count: int) -> bytes:
        """So many octets, or all until the server says that it is all (``close_notify``)."""
        found = b""
        while len(found) < count:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                if not await self.more():
                    raise ConnectionResetError from None
                continue
            if not piece:
                break
            found += piece
        return found


class Bench:
    """A listener with one client."""

    def __init__(self, context: ssl.SSLContext, authority: Authority) -> None:
        self.server = Heard()
        self.ended: list[BaseException | None] = []
        self.connection = TlsConnection(context, lambda: self.server, self._end)
        self.over = asyncio.Event()
        self._authority = authority

    def _end(self, error: BaseException | None) -> None:
        self.ended.append(error)
        self.over.set()

    @contextlib.asynccontextmanager
    async def client(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        loop = asyncio.get_running_loop()
        ours, its = socket.socketpair()
        for each in (ours, its):
            each.setblocking(False)
        await loop.connect_accepted_socket(lambda: self.connection, its)
        try:
            yield Client(ours, context or self._authority.trust())
        finally:
            ours.close()
            self.connection.abort()
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def shaken(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        async with self.client(context) as client:
            await client.shake()
            await self.server.until(lambda: "made" in self.server.events)
            yield client
