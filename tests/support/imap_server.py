"""A mail server of IMAP that answers by itself, logins by password and IDLE, and remembers what it was asked."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"
PASSWORD = "secret"


@dataclass(slots=True)
class ImapServer:
    """The server and its memory."""

    port: int = 0
    tried: list[tuple[str, str]] = field(default_factory=list)
    """User and password of each login."""

    @property
    def url(self) -> str:
        """As the gateway is told of it."""
        return f"imap://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from the gateway."""
        writer.write(GREETING)
        try:
            while line := await reader.readline():
                writer.write(self._answer(line))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        tag, _, command = line.rstrip(b"\r\n").partition(b" ")
        name, _, rest = command.partition(b" ")
        if name == b"AUTHENTICATE":
            _, user, password = base64.b64decode(rest.split(b" ")[1]).decode().split("\0")
            self.tried.append((user, password))
            said = b"OK Logged in" if password == PASSWORD else b"NO [AUTHENTICATIONFAILED] Wrong password"
            return b"%b %b\r\n" % (tag, said)
        if name == b"IDLE":
            return b"+ idling\r\n"
        return b"%b OK done\r\n" % tag if name else b""


@asynccontextmanager
async def imap_server() -> AsyncIterator[ImapServer]:
    """A server on a free port."""
    server = ImapServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
