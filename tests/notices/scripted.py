"""A mail server of octets: what it says at each stage is the test's, without end, drop by drop, or nothing at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

GOOD: Mapping[str, bytes] = {
    "greeting": b"220 mail.test\r\n",
    "EHLO": b"250-mail.test\r\n250-DSN\r\n250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 taken\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}


@dataclass(frozen=True, slots=True)
class Flood:
    """The same again and again until the client has gone."""

    piece: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """An octet now and then."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """These octets, then the end of the connection."""

    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing more."""


@dataclass(frozen=True, slots=True)
class Late:
    """These octets, after so many seconds."""

    seconds: float
    octets: bytes


@dataclass(frozen=True, slots=True)
class First:
    """The first time so, then otherwise."""

    now: "Manner"
    then: "Manner"


Manner = bytes | Flood | Drip | Cut | Silence | Late | First


@dataclass
class Scripted:
    """The server and what it has heard."""

    says: dict[str, Manner] = field(default_factory=lambda: dict(GOOD))
    """By stage: greeting, the client's verbs, ``.`` behind a message; any other line is ``more``."""
    port: int = 0
    lines: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    flooded: int = 0
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    """A message has come whole."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def end_all(self) -> None:
        """Every connection, at once."""
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.writers.append(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._say("greeting", writer)
                while line := await reader.readline():
                    self.lines.append(line)
                    verb = line.split()[0].decode("latin-1").upper() if line.split() else ""
                    await self._say(verb if verb in self.says else "more", writer)
                    if verb == "DATA" and self.says["DATA"] == GOOD["DATA"]:
                        self.bodies.append(await reader.readuntil(b"\r\n.\r\n"))
                        self.taken.set()
                        await self._say(".", writer)
        finally:
            writer.transport.abort()

    async def _say(self, stage: str, writer: asyncio.StreamWriter) -> None:
        manner = self.says.get(stage, b"500 what\r\n")
        if isinstance(manner, First):
            self.says[stage] = manner.then
            manner = manner.now
        if isinstance(manner, bytes):
            writer.write(manner)
        elif isinstance(manner, Flood):
            while not writer.transport.is_closing():
                writer.write(manner.piece)
                await writer.drain()
                self.flooded += len(manner.piece)
                await asyncio.sleep(0)
            raise ConnectionAbortedError
        elif isinstance(manner, Drip):
            while not writer.transport.is_closing():
                writer.write(manner.octets)
                await asyncio.sleep(0.02)
            raise ConnectionAbortedError
        elif isinstance(manner, Cut):
            writer.write(manner.octets)
            await writer.drain()
            raise ConnectionAbortedError
        elif isinstance(manner, Late):
            await asyncio.sleep(manner.seconds)
            writer.write(manner.octets)
        else:
            await asyncio.Event().wait()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[Scripted]:
    """On a free port of this machine."""
    scripted = Scripted()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await scripted.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The sockets are closed in the next turn of the loop.
        await asyncio.sleep(0)
