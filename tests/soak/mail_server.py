"""The mail server of a soak: answers each phone with mail of its own, parks a Ping until mail comes, and tells of it.

A phone is known by its login, which stands in its credentials; one password is right. ``ItemOperations`` is answered
with as many octets as the policy key says, so that phones can ask for large ones.
"""

import asyncio
import base64
import random
import re
from typing import Protocol, cast

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.query import parse_query

PASSWORD = "secret"
MAIL_EVERY_SECONDS = 40.0
"""On the average, for one waiting phone."""
WBXML = "application/vnd.ms-sync.wbxml"
_BASIC = re.compile(rb"(?i)\r\nauthorization: basic ([^\r]+)")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_WANTED = re.compile(rb"(?i)\r\nx-ms-policykey: *([0-9]+)")


def device_of(login: str) -> str:
    """Each login has one device."""
    return "soak" + login.partition("@")[0]


def mail_for(device: str, length: int = 0) -> bytes:
    """What a phone gets: recognisable, and as long as it was asked for."""
    return (b"mail for " + device.encode()).ljust(length, b".")


class Hearer(Protocol):
    """Who is told what happens at the mail server, at once."""

    def relayed(self, device: str, command: str) -> None:
        """A request is here."""
        ...

    def parked(self, device: str) -> None:
        """A Ping waits from now on."""
        ...

    def unparked(self, device: str) -> None:
        """It does no more."""
        ...

    def connected(self, number: int) -> None:
        """So many connections there are now."""
        ...


class MailServer:
    """All connections of it."""

    def __init__(self, hearer: Hearer, rng: random.Random) -> None:
        self.hearer = hearer
        self.rng = rng
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        """Take connections; the URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def came(self, connection: "_Connection") -> None:
        """One more."""
        self._connections.add(connection)
        self.hearer.connected(len(self._connections))

    def went(self, connection: "_Connection") -> None:
        """One less."""
        self._connections.discard(connection)
        self.hearer.connected(len(self._connections))

    async def close(self) -> None:
        """Take no more, and end those that are there."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.end()
        while self._connections:  # noqa: ASYNC110  (each is told in one of the loop's next rounds)
            await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._head = b""
        self._left = 0
        self._parked = ""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._server.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.went(self)
        self._unpark()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
            self._end_of_body()
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._head[: end + 2])
        self._left = (int(length[1]) if length else 0) - (len(self._head) - end - 4)
        self._head = self._head[: end + 2]
        self._end_of_body()

    def _end_of_body(self) -> None:
        if self._left > 0:
            return
        # The gateway sends one request at a time on a connection: nothing can follow a body.
        head, self._head, self._left = self._head, b"", 0
        self._take(head)

    def _take(self, head: bytes) -> None:
        line = head.partition(b"\r\n")[0].split(b" ")
        credentials = _BASIC.search(head)
        login, _, password = base64.b64decode(credentials[1] if credentials else b"").decode().rpartition(":")
        if password != PASSWORD:
            self._send(401, b"who are you", 'WWW-Authenticate: Basic realm="mail"\r\n')
        elif line[0] == b"OPTIONS":
            self._send(200, b"", "MS-ASProtocolVersions: 2.5,12.1,14.1\r\nMS-ASProtocolCommands: Sync,Ping\r\n")
        else:
            self._command(device_of(login), line[1], head)

    def _command(self, device: str, target: bytes, head: bytes) -> None:
        try:
            command = parse_query(target.partition(b"?")[2]).command.value
        except InvalidValue:
            command = "unreadable"
        self._server.hearer.relayed(device, command)
        if command == "Ping":
            self._park(device)
            return
        wanted = _WANTED.search(head) if command == "ItemOperations" else None
        self._send(200, mail_for(device, int(wanted[1]) if wanted else 0))

    def _park(self, device: str) -> None:
        self._parked = device
        self._server.hearer.parked(device)
        after = self._server.rng.expovariate(1 / MAIL_EVERY_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(after, self._mail_came, device)

    def _unpark(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._parked:
            self._server.hearer.unparked(self._parked)
            self._parked = ""

    def _mail_came(self, device: str) -> None:
        self._unpark()
        self._send(200, mail_for(device))

    def _send(self, status: int, body: bytes, more: str = "") -> None:
        assert self._transport is not None
        reason = {200: "OK", 401: "Unauthorized"}[status]
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {WBXML}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
