"""A mail server that tells the judge which request of which device it received, and that can misbehave as told.

It knows one password, answers a command with one short line that names the device, and parks a Ping until mail comes,
which it does at random. It reads nothing but what the harness's phones and the gateway itself send.
"""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from tests.support.raw_http import WBXML, basic

MAIL_WITHIN_SECONDS = 1.5


class Mood(StrEnum):
    """How it answers a command."""

    SERVE = "serve"
    HANG = "hang"
    HALF = "half"
    """Half an answer, and then nothing."""
    CLOSE = "close"
    """Half an answer, then closed."""
    RESET = "reset"


class FaultyOrigin:
    """The mail server; one for a site."""

    def __init__(self, relayed: Callable[[str, str], None], rng: random.Random) -> None:
        self.mood = Mood.SERVE
        self.relayed = relayed
        self.rng = rng
        self.received: Counter[str] = Counter()
        self.parked: Counter[str] = Counter()
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def listen(self) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024, reuse_address=True
        )

    def refuse(self) -> None:
        """Take none, and end those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.end_all()

    def end_all(self) -> None:
        """End every connection."""
        for connection in tuple(self.connections):
            connection.end()


class _Connection(asyncio.Protocol):
    def __init__(self, origin: FaultyOrigin) -> None:
        self._origin = origin
        self._rest = b""
        self._parked = ""
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._origin.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.connections.discard(self)
        self._unpark()

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while b"\r\n\r\n" in self._rest:
            head, _, after = self._rest.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            length = int(fields.get(b"content-length", b"0"))
            if len(after) < length:
                return
            self._rest = after[length:]
            self._take(head.decode("latin-1"))

    def _take(self, head: str) -> None:
        method, target, _ = head.split(" ", 2)
        query = parse_qs(urlsplit(target).query)
        user = query.get("User", [""])[0]
        authorization = next((line[15:] for line in head.split("\r\n") if line.lower().startswith("authorization")), "")
        if authorization not in (basic(user), basic(user.partition("@")[0])):
            self._send(401, b"who are you", 'WWW-Authenticate: Basic realm="mail"\r\n')
        elif method == "OPTIONS":
            self._send(200, b"", "MS-ASProtocolVersions: 2.5,12.1,14.1\r\nMS-ASProtocolCommands: Sync,Ping\r\n")
        else:
            self._command(query["Cmd"][0], query["DeviceId"][0])

    def _command(self, command: str, device: str) -> None:
        origin = self._origin
        origin.received[device] += 1
        origin.relayed(device, command)
        if origin.mood is Mood.HANG:
            self._park(device)
        elif origin.mood is not Mood.SERVE:
            self._misbehave(device)
        elif command == "Ping":
            self._park(device)
            after = origin.rng.uniform(0.05, MAIL_WITHIN_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(after, self._mail_came, device)
        else:
            self._mail_came(device)

    def _misbehave(self, device: str) -> None:
        assert self.transport is not None
        if self._origin.mood is Mood.RESET:
            self.end()
            return
        half = b"mail for " + device.encode()
        self.transport.write(_head(200, len(half) * 2) + half)
        if self._origin.mood is Mood.CLOSE:
            self.transport.close()

    def _park(self, device: str) -> None:
        self._parked = device
        self._origin.parked[device] += 1

    def _unpark(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._parked:
            self._origin.parked[self._parked] -= 1
            self._parked = ""

    def _mail_came(self, device: str) -> None:
        self._unpark()
        self._send(200, b"mail for " + device.encode())

    def _send(self, status: int, body: bytes, more: str = "") -> None:
        assert self.transport is not None
        with suppress(OSError):
            self.transport.write(_head(status, len(body), more) + body)


def _head(status: int, length: int, more: str = "") -> bytes:
    reason = {200: "OK", 401: "Unauthorized"}[status]
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {WBXML}\r\n{more}Content-Length: {length}\r\n\r\n".encode()
