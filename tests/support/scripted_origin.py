"""A mail server that does exactly what a test tells it, octet by octet, and reads only when told to.

It uses bare sockets: nothing is read in the background, so its receive buffer is real back-pressure, and a connection
can be asked without giving up control whether its peer has already closed it.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

PATIENCE_SECONDS = 20.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """A request as it reached the mail server."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0]

    def header(self, name: str) -> str:
        """A header's value; empty when absent."""
        found = re.search(rb"\r\n" + name.encode() + rb": ?([^\r]*)\r\n", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""


class OriginConnection:
    """One connection from the gateway."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    async def _more(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            octets = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not octets:
            raise EOFError(self._rest)
        self._rest += octets

    async def head(self) -> bytes:
        """Read a request's head and nothing of its body from what is already here."""
        while b"\r\n\r\n" not in self._rest:
            await self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    async def octets(self, count: int) -> bytes:
        """Read that many octets."""
        while len(self._rest) < count:
            await self._more()
        octets, self._rest = self._rest[:count], self._rest[count:]
        return octets

    async def until(self, end: bytes) -> bytes:
        """Read up to ``end`` inclusive."""
        while end not in self._rest:
            await self._more()
        found, _, self._rest = self._rest.partition(end)
        return found + end

    async def request(self) -> OriginRequest:
        """Read a whole request; of a chunked body the content."""
        head = await self.head()
        if _CHUNKED.search(head):
            return OriginRequest(head, await self._chunks())
        length = _LENGTH.search(head)
        return OriginRequest(head, await self.octets(int(length[1])) if length else b"")

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.until(b"\r\n"), 16):
            body += await self.octets(size)
            assert await self.octets(2) == b"\r\n"
        assert await self.octets(2) == b"\r\n"
        return body

    async def send(self, octets: bytes) -> None:
        """Send octets; returns when the kernel has them all."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.sock, octets)

    def send_now(self, octets: bytes) -> None:
        """Send a few octets without giving up control."""
        assert self.sock.send(octets) == len(octets)

    async def answer(self, body: bytes = b"mail", status: str = "200 OK", *fields: str) -> None:
        """Send a whole answer with a length."""
        lines = "".join(f"{field}\r\n" for field in fields)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        await self.send(head.encode() + body)

    @property
    def ended(self) -> bool:
        """Whether the gateway has closed this connection, as the kernel knows it at this very moment."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    @property
    def has_heard(self) -> bool:
        """Whether any octet has come that nobody has read, as the kernel knows it at this very moment."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except (BlockingIOError, ConnectionResetError):
            return False

    async def until_ended(self) -> None:
        """Wait until the gateway closes this connection; whatever still comes is thrown away."""
        try:
            while True:
                await self._more()
        except (EOFError, ConnectionResetError):
            pass

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


class Origin:
    """The mail server."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.connections: list[OriginConnection] = []

    async def connection(self, patience_seconds: float = PATIENCE_SECONDS) -> OriginConnection:
        """The next connection that the gateway opens."""
        async with asyncio.timeout(patience_seconds):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = OriginConnection(sock)
        self.connections.append(connection)
        return connection

    @property
    def unaccepted(self) -> bool:
        """Whether another connection is waiting to be accepted."""
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return False
        sock.close()
        return True

    def close(self) -> None:
        """Listen no more and close every connection."""
        self._listener.close()
        for connection in self.connections:
            connection.close()


@asynccontextmanager
async def scripted_origin(receive_buffer: int = 0) -> AsyncIterator[Origin]:
    """A scripted mail server on a free port; ``receive_buffer`` in octets makes its kernel take little."""
    listener = socket.socket()
    if receive_buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    origin = Origin(listener)
    try:
        yield origin
    finally:
        origin.close()
