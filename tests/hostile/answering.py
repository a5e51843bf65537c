"""A mail server that answers anna as a case says, octet by octet if told so, and everybody else as is right."""

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11

from tests.hostile.answer_case import SECRET, AnswerCase

_RESET = struct.pack("ii", 1, 0)


class Answering:
    """What it is to answer, and which connection brought whose request."""

    def __init__(self) -> None:
        self.url = ""
        self.case: AnswerCase | None = None
        self.size = 0
        """Octets of a piece; 0: all at once."""
        self.asked: list[tuple[str, int]] = []
        """Each request: the user, and the number of the connection."""
        self.sent = asyncio.Event()
        """The case's answer is out."""
        self.connections: list[_Connection] = []

    def unasked(self, number: int, octets: bytes) -> None:
        """Send octets that nobody has asked for on an idle connection."""
        transport = self.connections[number].transport
        assert transport is not None
        transport.write(octets)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Answering) -> None:
        self._server = server
        self._number = len(server.connections)
        server.connections.append(self)
        self._http = h11.Connection(h11.SERVER)
        self._user = ""
        self.transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                word = dict(event.headers)[b"authorization"].removeprefix(b"Basic ")
                self._user = base64.b64decode(word).split(b":")[0].decode()
            elif isinstance(event, h11.EndOfMessage):
                self._answer()
                return
            elif not isinstance(event, h11.Data):
                return

    def _answer(self) -> None:
        self._http = h11.Connection(h11.SERVER)
        server, transport = self._server, self.transport
        assert transport is not None
        server.asked.append((self._user, self._number))
        if self._user == "anna" and server.case is not None:
            self._task = asyncio.create_task(self._hostile(server.case))
        else:
            body = f"mail for {self._user}".encode()
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _hostile(self, case: AnswerCase) -> None:
        size = self._server.size or max(1, len(case.octets))
        size = max(size, len(case.octets) // 3000)
        for at in range(0, len(case.octets), size):
            if self.transport is None:
                break
            self.transport.write(case.octets[at : at + size])
            for _ in range(2):
                await asyncio.sleep(0)
        if self.transport is not None and case.then in ("closes", "resets"):
            if case.then == "resets":
                # What was written is there before the reset, or it would overtake it.
                for _ in range(10):
                    await asyncio.sleep(0)
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.transport.abort()
            else:
                self.transport.close()
        self._server.sent.set()


@asynccontextmanager
async def answering() -> AsyncIterator[Answering]:
    """A mail server on a free port."""
    made = Answering()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(made), "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for connection in made.connections:
            if connection.transport is not None:
                connection.transport.abort()


__all__ = ["SECRET", "Answering", "answering"]
