"""A client without manners: octets on a bare socket, in any pieces, and answers read until nothing more comes."""

import asyncio
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import h11

PATIENCE_SECONDS = 2.0


class HostileClient:
    """One connection to the gateway."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""
        self._sending: list[asyncio.Task[None]] = []

    @classmethod
    async def connected(cls, url: str) -> "HostileClient":
        """A connection to the gateway."""
        address = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
        return cls(sock)

    def send(self, octets: bytes) -> None:
        """Send octets as they are, without waiting for anything."""
        self._sending.append(asyncio.create_task(self._send_all(octets)))

    async def _send_all(self, octets: bytes) -> None:
        with suppress(ConnectionResetError, BrokenPipeError):
            await asyncio.get_running_loop().sock_sendall(self._sock, octets)

    async def send_in(self, *pieces: bytes) -> None:
        """Send the pieces one after the other; the gateway reads each before the next comes, unless it is gone."""
        with suppress(ConnectionResetError, BrokenPipeError):
            for piece in pieces:
                if len(piece) > 1000:
                    await asyncio.get_running_loop().sock_sendall(self._sock, piece)
                else:
                    self._sock.send(piece)
                for _ in range(2):
                    await asyncio.sleep(0)

    async def answer(self, method: str = "POST") -> tuple[int, bytes]:
        """The next answer's status and body; 0: the connection has ended instead."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
            http.send(h11.Request(method=method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
            http.send(h11.EndOfMessage())
            if self._rest:
                http.receive_data(self._rest)
            elif not await self._feed(http):
                return 0, b""
            return await self._read(http)

    async def _read(self, http: h11.Connection) -> tuple[int, bytes]:
        status, body = 0, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if not await self._feed(http):
                    raise AssertionError(f"an answer that is not whole: {status} {body!r}")
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._rest = http.trailing_data[0]
                return status, body
            elif isinstance(event, h11.ConnectionClosed):
                raise AssertionError(f"an answer that is not whole: {status} {body!r}")

    async def _feed(self, http: h11.Connection) -> bool:
        """Read some; False: the connection has ended."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self._sock, 65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if data:
            http.receive_data(data)
        return bool(data)

    @property
    def silent(self) -> bool:
        """Whether nothing is there to be read at this moment."""
        if self._rest:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        return False

    async def close(self) -> None:
        """Hang up."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._sock.close()
