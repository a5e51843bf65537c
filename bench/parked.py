"""Phones with a parked Ping, and the mailbox server that parks it: as little work as possible on both ends."""

import asyncio
import base64
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

PING_BODY = bytes.fromhex("03016a00000d4548033630300001494a4b033500014c03456d61696c0001010101")
"""Ping with HeartbeatInterval 600 on folder 5, class Email ([MS-ASCMD] 2.2.1.13)."""
PING_CUT = bytes.fromhex("03016a00000d45470337000101")
"""Ping Status 7: the folder hierarchy is to be synchronised anew."""


def authorization(login: str, password: str = "secret") -> str:  # noqa: S107
    """The value of the header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


class Mailbox(asyncio.Protocol):
    """Parks every Ping and Sync until it is released and answers everything else at once with an empty 200."""

    def __init__(self, tally: "Tally") -> None:
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._parked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            length = 0
            if b"content-length:" in head:
                length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        assert self._transport is not None
        line = head.split(b"\r\n", 1)[0]
        if b"cmd=ping" in line or b"cmd=sync" in line:
            self._parked = True
            self._tally.waiting[line.split(b"user=", 1)[1].split(b"&", 1)[0].decode()] = self
            self._tally.count(1)
            return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nMS-Server-ActiveSync: 14.1\r\n"
            b"MS-ASProtocolVersions: 2.5,12.0,12.1,14.0,14.1\r\nMS-ASProtocolCommands: Sync,Ping\r\n\r\n"
        )

    def release(self, answer: bytes) -> None:
        """Answer the request that is parked here, if it still is."""
        if self._parked and self._transport is not None and not self._transport.is_closing():
            self._parked = False
            self._tally.count(-1)
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """A parked leg was closed."""
        if self._parked:
            self._tally.count(-1)
            self._tally.closed_at.append(time.perf_counter())


class Tally:
    """What the mailbox server sees."""

    def __init__(self) -> None:
        self.parked = 0
        self.waiting: dict[str, Mailbox] = {}
        """Where a login's last request was parked."""
        self.closed_at: list[float] = []
        self._goals: list[tuple[int, asyncio.Future[None]]] = []

    def count(self, by: int) -> None:
        """One more parked Ping, or one less."""
        self.parked += by
        for goal in [each for each in self._goals if self.parked >= each[0]]:
            goal[1].set_result(None)
            self._goals.remove(goal)

    def reaches(self, count: int) -> "asyncio.Future[None]":
        """A future that is done as soon as so many are parked."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._goals.append((count, reached))
        self.count(0)
        return reached


async def mailbox(tally: Tally) -> tuple[asyncio.Server, str]:
    """A mailbox server on a free port, and its URL."""
    server = await asyncio.get_running_loop().create_server(lambda: Mailbox(tally), "127.0.0.1", 0, backlog=4096)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Phone(asyncio.Protocol):
    """One connection of one phone; remembers when the answer's last octet came."""

    def __init__(self, login: str, device_id: str, answered: Callable[["Phone"], None]) -> None:
        self.login = login
        self.device_id = device_id
        self.answer = b""
        self.answered_at = 0.0
        self._answered = answered
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to ask."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, command: str = "Ping", body: bytes = PING_BODY) -> None:
        """Send one request."""
        assert self._transport is not None
        self.answer, self.answered_at = b"", 0.0
        self._transport.write(
            f"POST /Microsoft-Server-ActiveSync?Cmd={command}&User={self.login}&DeviceId={self.device_id}"
            f"&DeviceType=Android HTTP/1.1\r\nHost: mail.example\r\nAuthorization: {authorization(self.login)}\r\n"
            "MS-ASProtocolVersion: 14.1\r\nContent-Type: application/vnd.ms-sync.wbxml\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        self.answer += data
        head, _, body = self.answer.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and len(body) >= int(line[15:]):
                self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer may also end so."""
        if not self.answered_at:
            self._done()

    def _done(self) -> None:
        self.answered_at = time.perf_counter()
        self._answered(self)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


async def connect(url: str, login: str, device_id: str, answered: Callable[[Phone], None]) -> Phone:
    """A phone connected to the gateway."""
    address = urlsplit(url)
    _, phone = await asyncio.get_running_loop().create_connection(
        lambda: Phone(login, device_id, answered), address.hostname or "", address.port or 0
    )
    return phone
