"""A mailbox server that writes down what reaches it. It reads requests with h11, which is not our reader.

It knows one password for everybody, answers OPTIONS and every command with a small body that names the command, and
parks a Ping until it is told to let it go.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import h11

PASSWORD = "secret"

PING_CHANGES = bytes.fromhex("03016a00000d45470332000101")
"""Ping Status 2: there is mail ([MS-ASCMD] 2.2.3.177.11)."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it reached the mailbox server."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    user: str
    accepted: bool
    """Whether the password was right."""

    @property
    def command(self) -> str:
        """``Cmd`` of a plain query."""
        return parse_qs(urlsplit(self.target).query).get("Cmd", [""])[0]

    def header(self, name: str) -> str:
        """A header's value; empty when absent."""
        return next((value for key, value in self.headers if key == name.lower()), "")


@dataclass(slots=True)
class MailboxServer:
    """The server and its memory."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    parked: int = 0
    closed_while_parked: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    parking: set[str] = field(default_factory=lambda: {"Ping"})
    """Commands that wait until ``released``."""
    passwords: tuple[str, ...] = (PASSWORD,)
    challenges: tuple[str, ...] = ('Basic realm="mail"',)
    _waiters: list[tuple[Callable[[], bool], asyncio.Event]] = field(default_factory=list)

    def commands(self, *, accepted_only: bool = True) -> list[str]:
        """The commands that reached the mailbox, OPTIONS left out."""
        return [
            each.command for each in self.received if each.method == "POST" and (each.accepted or not accepted_only)
        ]

    async def until_parked(self, count: int) -> None:
        """Wait until so many Pings are parked."""
        await self._until(lambda: self.parked >= count)

    async def until_none_parked(self) -> None:
        """Wait until the gateway has let go of every parked Ping."""
        await self._until(lambda: self.parked == 0)

    async def _until(self, reached: Callable[[], bool]) -> None:
        if not reached():
            event = asyncio.Event()
            self._waiters.append((reached, event))
            await asyncio.wait_for(event.wait(), 20)

    def note_parked(self, more: int) -> None:
        """A Ping was parked, or is parked no more: wake whoever waits for it."""
        self.parked += more
        for reached, event in self._waiters:
            if reached():
                event.set()


@asynccontextmanager
async def mailbox_server() -> AsyncIterator[MailboxServer]:
    """A mailbox server on a free port."""
    mailbox = MailboxServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _Connection(mailbox, reader, writer).run()
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    mailbox.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield mailbox
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class _Connection:
    """One connection from the gateway."""

    def __init__(self, mailbox: MailboxServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mailbox = mailbox
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (request := await self._request()) is not None:
            await self._answer(request)
            if self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Received | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return self._note(head, body)
            elif isinstance(event, h11.ConnectionClosed):
                return None

    def _note(self, head: h11.Request, body: bytes) -> Received:
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
        authorization = dict(headers).get("authorization", "")
        user, password = "", ""
        if authorization.startswith("Basic "):
            with suppress(ValueError):
                user, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
        received = Received(
            head.method.decode(), head.target.decode(), headers, bytes(body), user, password in self._mailbox.passwords
        )
        self._mailbox.received.append(received)
        return received

    async def _answer(self, request: Received) -> None:
        if not request.accepted:
            challenges = [("WWW-Authenticate", value) for value in self._mailbox.challenges]
            await self._send(401, challenges, b"who are you")
        elif request.method == "OPTIONS":
            versions = [("MS-ASProtocolVersions", "2.5,12.0,12.1,14.0,14.1"), ("MS-ASProtocolCommands", "Sync,Ping")]
            await self._send(200, versions, b"")
        elif request.command in self._mailbox.parking:
            await self._park()
        else:
            await self._send(200, [("Content-Type", "text/plain")], f"mail for {request.user}".encode())

    async def _park(self) -> None:
        self._mailbox.note_parked(1)
        gone = asyncio.create_task(self._reader.read(1))
        released = asyncio.create_task(self._mailbox.released.wait())
        await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
        self._mailbox.note_parked(-1)
        released.cancel()
        if gone.done():
            self._mailbox.closed_while_parked += 1
            raise ConnectionResetError
        gone.cancel()
        # Until it is over nobody else may read.
        await asyncio.wait({gone})
        await self._send(
            200, [("Content-Type", "application/vnd.ms-sync.wbxml")], b"\x03\x01j\x00\x00\rEG\x032\x00\x01\x01"
        )

    async def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        fields = [*headers, ("Content-Length", str(len(body)))]
        for event in (h11.Response(status_code=status, headers=fields), h11.Data(data=body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()
