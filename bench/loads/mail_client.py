"""Mail programs as a load: one connection each, plain or TLS, that says a line and waits for the answer to it.

As little work as possible, and the moment at which the connection ended. Whatever is answered otherwise than expected
ends the run: a proxy that refuses everybody would be fast.
"""

import asyncio
import base64
import re
import ssl
import time
from typing import cast

from bench.fleet import login_of

PATIENCE_SECONDS = 60.0
PASSWORD = "secret"
_ANNOUNCED = re.compile(rb"\{([0-9]+)\}\r\n")


class WrongAnswer(Exception):  # noqa: N818
    """Something else came than was expected, or the end of the connection."""


class MailClient(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.received = b""
        """What was not asked for yet."""
        self.octets = 0
        """All that ever came."""
        self.ended_at = 0.0
        """When the connection ended, by ``time.perf_counter``; 0: it stands."""
        self.reset = False
        """Whether it ended by a reset."""
        self._transport: asyncio.Transport | None = None
        self._awaited = b""
        self._swallow = 0
        """Octets that are only counted."""
        self._more: asyncio.Future[None] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to speak."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Whoever waits is woken when what is awaited is there."""
        self.octets += len(data)
        if self._swallow:
            swallowed = min(self._swallow, len(data))
            self._swallow -= swallowed
            if self._swallow or swallowed == len(data):
                return
            data = data[swallowed:]
        self.received += data
        if self._awaited in self.received:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.ended_at, self.reset = time.perf_counter(), exc is not None
        self._transport = None
        self._wake()
        self.ended.set_result(None)

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    # --- for the load

    def say(self, octets: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(octets)

    async def until(self, mark: bytes) -> bytes:
        """What came up to ``mark``, with it. Raises ``WrongAnswer`` when the connection ends before, or in a minute."""
        self._awaited = mark
        while (at := self.received.find(mark)) < 0:
            if self.ended_at:
                raise WrongAnswer(f"the connection ended behind {self.received[-300:]!r}")
            self._more = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._more
            except TimeoutError:
                raise WrongAnswer(f"{mark!r} did not come behind {self.received[-300:]!r}") from None
        found, self.received = self.received[: at + len(mark)], self.received[at + len(mark) :]
        return found

    async def ask(self, octets: bytes, expected: bytes, end: bytes = b"\r\n") -> bytes:
        """Send, and take the answer up to ``end``, in which ``expected`` must stand."""
        self.say(octets)
        answer = await self.until(end)
        if expected not in answer:
            raise WrongAnswer(f"{octets[:60]!r} was answered {answer[-300:]!r}")
        return answer

    def swallow(self, octets: int) -> None:
        """Count the next octets without keeping them."""
        at_hand = min(octets, len(self.received))
        self.received = self.received[at_hand:]
        self._swallow = octets - at_hand

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def connected(port: int, trust: ssl.SSLContext | None, source: str | None = None) -> MailClient:
    """A mail program connected to ``port``, by TLS with ``trust``; ``source``: its address."""
    _, client = await asyncio.get_running_loop().create_connection(
        MailClient, "127.0.0.1", port, ssl=trust, local_addr=(source, 0) if source else None
    )
    return client


async def imap_login(client: MailClient, number: int) -> None:
    """The greeting, and LOGIN."""
    await client.until(b"\r\n")
    await client.ask(f"a LOGIN {login_of(number)} {PASSWORD}\r\n".encode(), b"a OK")


async def idle(client: MailClient) -> None:
    """Wait for mail (RFC 2177)."""
    await client.ask(b"b IDLE\r\n", b"+ ")


async def fetch(client: MailClient, octets: int) -> None:
    """A message of that size, whole."""
    client.say(b"c FETCH 1 BODY.PEEK[]<0.%d>\r\n" % octets)
    head = await client.until(b"}\r\n")
    announced = _ANNOUNCED.search(head)
    if announced is None or int(announced[1]) != octets:
        raise WrongAnswer(f"FETCH was answered {head[-300:]!r}")
    client.swallow(octets)
    await client.until(b"c OK fetched\r\n")


async def append(client: MailClient, message: bytes) -> None:
    """Store a message."""
    await client.ask(b"d APPEND INBOX {%d}\r\n" % len(message), b"+ ")
    client.say(message)
    client.say(b"\r\n")
    await client.until(b"d OK")
    await client.until(b"\r\n")


async def pop3_login(client: MailClient, number: int) -> None:
    """The greeting, USER and PASS."""
    await client.until(b"\r\n")
    await client.ask(f"USER {login_of(number)}\r\n".encode(), b"+OK")
    await client.ask(f"PASS {PASSWORD}\r\n".encode(), b"+OK")


async def smtp_login(client: MailClient, number: int) -> None:
    """The greeting, EHLO and AUTH PLAIN with an initial response."""
    await client.until(b"\r\n")
    await client.ask(b"EHLO phone.corp.example\r\n", b"250 ", b"\r\n250 ")
    await client.until(b"\r\n")
    response = base64.b64encode(f"\0{login_of(number)}\0{PASSWORD}".encode())
    await client.ask(b"AUTH PLAIN %b\r\n" % response, b"235 ")


async def begin_message(client: MailClient, number: int) -> None:
    """Up to the 354."""
    await client.ask(f"MAIL FROM:<{login_of(number)}>\r\n".encode(), b"250 ")
    await client.ask(b"RCPT TO:<bert@corp.example>\r\n", b"250 ")
    await client.ask(b"DATA\r\n", b"354 ")


async def submit(client: MailClient, number: int, message: bytes) -> None:
    """A message, whose last dot is in it."""
    await begin_message(client, number)
    await client.ask(message, b"250 ")


def message_of(octets: int) -> bytes:
    """A message of about that size with its last dot, in lines of 78 octets."""
    head = b"From: anna@corp.example\r\nTo: bert@corp.example\r\nSubject: bench\r\n\r\n"
    line = b"x" * 76 + b"\r\n"
    return head + line * max(1, (octets - len(head)) // len(line)) + b".\r\n"
