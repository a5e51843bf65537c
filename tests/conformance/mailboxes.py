"""Mail servers by IMAP and POP3 that accept every login; all that a verdict needs behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

IMAP_GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] ready\r\n"
POP3_GREETING = b"+OK ready\r\n"
POP3_CAN = b"+OK\r\nUSER\r\nSASL PLAIN\r\nUIDL\r\n.\r\n"


def _imap(line: bytes) -> bytes:
    tag, _, command = line.partition(b" ")
    if command.startswith(b"AUTHENTICATE PLAIN "):
        return tag + b" OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n"
    return tag + b" OK done\r\n"


def _pop3(line: bytes) -> bytes:
    return POP3_CAN if line.startswith(b"CAPA") else b"+OK done\r\n"


@asynccontextmanager
async def _mailbox(greeting: bytes, says: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        while line := await reader.readline():
            writer.write(says(line))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


def imap_mailbox() -> AbstractAsyncContextManager[int]:
    """Its port."""
    return _mailbox(IMAP_GREETING, _imap)


def pop3_mailbox() -> AbstractAsyncContextManager[int]:
    """Its port."""
    return _mailbox(POP3_GREETING, _pop3)
