"""The mail server behind a gateway with waiting phones: parks every Ping and Sync, as little work as possible.

In this process with a ``Tally``, or as one of its own (``python -m bench.mailbox``), since two ends of 10,000 waiting
phones are more open files than many a machine allows one process. It accepts the password ``secret`` and no other.
"""

import asyncio
import base64
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

from bench.machine import LOAD_CORE, child, raise_open_files

_BASIC = re.compile(rb"(?i)\r\nauthorization: basic ([^\r]+)")
_USER = re.compile(rb"[?&]user=([^& ]*)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)")
_EMPTY = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nMS-Server-ActiveSync: 14.1\r\n"
    b"MS-ASProtocolVersions: 2.5,12.0,12.1,14.0,14.1\r\nMS-ASProtocolCommands: Sync,Ping\r\n\r\n"
)
_WRONG = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="mail"\r\nContent-Length: 0\r\n\r\n'


class Mailbox(asyncio.Protocol):
    """One connection: parks Ping and Sync until released, answers everything else at once with an empty 200."""

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
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            stated = self._buffer[:end]
            head = stated.lower()
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            self._answer(head, _BASIC.search(stated))

    def _answer(self, head: bytes, credentials: "re.Match[bytes] | None") -> None:
        assert self._transport is not None
        line = head.split(b"\r\n", 1)[0]
        if line.startswith(b"get /_count"):
            body = str(self._tally.parked).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        elif credentials is None or not base64.b64decode(credentials[1]).endswith(b":secret"):
            self._transport.write(_WRONG)
        elif b"cmd=ping" in line or b"cmd=sync" in line:
            self._parked = True
            user = _USER.search(line)
            if user is not None:
                self._tally.parks(user[1].decode(), self)
            self._tally.count(1)
        else:
            self._transport.write(_EMPTY)

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
        self._awaited: dict[str, asyncio.Future[None]] = {}

    def parks(self, login: str, mailbox: "Mailbox") -> None:
        """A login's request is parked."""
        self.waiting[login] = mailbox
        awaited = self._awaited.pop(login, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)

    def next_of(self, login: str) -> "asyncio.Future[None]":
        """A future that is done as soon as the login's next request is parked."""
        self._awaited[login] = asyncio.get_running_loop().create_future()
        return self._awaited[login]

    def count(self, by: int) -> None:
        """One more parked request, or one less."""
        self.parked += by
        for goal in [each for each in self._goals if self.parked >= each[0]]:
            if not goal[1].done():
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


@contextmanager
def mailbox_process() -> Iterator[str]:
    """A mailbox server as a process of its own: its URL."""
    with child(LOAD_CORE, sys.executable, "-m", "bench.mailbox") as started:
        assert started.stdout is not None
        yield started.stdout.readline().strip()


async def parked_at(url: str) -> int:
    """How many are parked at a mailbox server of another process."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 10)
    try:
        writer.write(b"GET /_count HTTP/1.1\r\nHost: mail\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return int(await asyncio.wait_for(reader.read(20), 10))
    finally:
        writer.close()


async def main() -> None:
    """Serve until killed; the first line is the URL."""
    server, url = await mailbox(Tally())
    print(url, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    raise_open_files()
    uvloop.run(main())
