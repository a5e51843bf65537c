"""A mailbox by IMAP that a test fills: the few commands that bounces are read with, and odd answers to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class ImapMailbox:
    """The server and what it has been told."""

    messages: dict[int, bytes] = field(default_factory=dict)
    password: str = "secret"
    starttls: ssl.SSLContext | None = None
    seen: set[int] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)
    says: dict[str, bytes] = field(default_factory=dict)
    """By command, in place of the usual answer; ``endless``: the same without end."""
    port: int = 0
    fetched: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody has asked for a message."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            writer.write(self.says.get("greeting", b"* OK ready\r\n"))
            while line := (await reader.readline()).decode().strip():
                tag, _, command = line.partition(" ")
                self.commands.append(command)
                if command.startswith("UID FETCH"):
                    self.fetched.set()
                name = " ".join(
                    command.upper().split()[:2] if command.upper().startswith("UID") else command.split()[:1]
                )
                if name.upper() in self.says:
                    await self._odd(self.says[name.upper()], tag, writer)
                    continue
                writer.write(self._answer(name.upper(), command).replace(b"TAG", tag.encode()))
                if name.upper() == "STARTTLS" and self.starttls is not None:
                    await writer.start_tls(self.starttls)
        writer.transport.abort()

    async def _odd(self, answer: bytes, tag: str, writer: asyncio.StreamWriter) -> None:
        if not answer:
            await asyncio.Event().wait()
        while True:
            writer.write(answer.replace(b"TAG", tag.encode()))
            await writer.drain()
            if b"endless" not in answer:
                return
            await asyncio.sleep(0)

    def _answer(self, name: str, command: str) -> bytes:
        if name == "CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK done\r\n"
        if name == "LOGIN":
            return b"TAG OK done\r\n" if f'"{self.password}"' in command else b"TAG NO [AUTHENTICATIONFAILED] wrong\r\n"
        if name == "SELECT":
            return b"* %d EXISTS\r\n* OK [UIDVALIDITY 7]\r\nTAG OK done\r\n" % len(self.messages)
        if name == "UID SEARCH":
            unread = " ".join(str(uid) for uid in sorted(self.messages) if uid not in self.seen)
            return f"* SEARCH {unread}\r\nTAG OK done\r\n".encode()
        if name == "UID FETCH":
            uid = int(command.split()[2])
            body = self.messages[uid][:65536]
            return b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n%b)\r\nTAG OK done\r\n" % (uid, len(body), body)
        if name == "UID STORE":
            self.seen |= {int(uid) for uid in command.split()[2].split(",")}
        return b"* BYE\r\nTAG OK done\r\n" if name == "LOGOUT" else b"TAG OK done\r\n"


@asynccontextmanager
async def imap_mailbox(context: ssl.SSLContext | None = None, *, first: bool = True) -> AsyncIterator[ImapMailbox]:
    """On a free port of this machine; with a context within TLS, by STARTTLS where not ``first``."""
    mailbox = ImapMailbox(starttls=None if first else context)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await mailbox.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if first else None)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The sockets are closed in the next turn of the loop.
        await asyncio.sleep(0)
