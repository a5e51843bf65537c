"""The mail server for bodies: takes any body whole, answers with as many octets as the command asks for, and counts.

``python -m bench.loads.bodies_server PORT`` serves until killed. ``Cmd=ItemOperations`` is answered with as many octets
as ``X-MS-PolicyKey`` says, all else with none. ``GET /_count`` tells the octets of bodies taken and given so far.
"""

import asyncio
import json
import re
import sys
from functools import lru_cache

import uvloop

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_WANTED = re.compile(rb"(?i)\r\nx-ms-policykey: *([0-9]+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
COUNTED = {"taken": 0, "given": 0}


@lru_cache(maxsize=4)
def answer(length: int) -> bytes:
    """A whole answer with a body of that length."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: "
    return f"{head}{length}\r\n\r\n".encode() + b"m" * length


class BodiesServer(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self._left = 0
        self._tail: bytes | None = None
        """The last octets of a chunked body so far; None: there is none."""
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Heads are looked at, bodies counted."""
        while data:
            if self._tail is not None:
                COUNTED["taken"] += len(data)
                self._tail = (self._tail + data)[-5:]
                if self._tail != b"0\r\n\r\n":
                    return
                self._tail, data = None, b""
                self._answer()
            elif self._left:
                taken = min(self._left, len(data))
                COUNTED["taken"] += taken
                self._left -= taken
                data = data[taken:]
                if not self._left:
                    self._answer()
            else:
                data = self._begin(data)

    def _begin(self, data: bytes) -> bytes:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self._head[: end + 2], self._head[end + 4 :]
        self._head = b""
        if head.startswith(b"GET /_count"):
            body = json.dumps(COUNTED).encode()
            self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return rest
        length, wanted = _LENGTH.search(head), _WANTED.search(head)
        self._wanted = int(wanted[1]) if wanted and b"Cmd=ItemOperations" in head else 0
        self._left = int(length[1]) if length else 0
        if _CHUNKED.search(head):
            self._tail = b""
        elif not self._left:
            self._answer()
        return rest

    def _answer(self) -> None:
        COUNTED["given"] += self._wanted
        self._write(answer(self._wanted))

    def _write(self, octets: bytes) -> None:
        assert self._transport is not None
        self._transport.write(octets)


async def main(port: int) -> None:
    """Serve until killed; prints a line once it listens."""
    server = await asyncio.get_running_loop().create_server(BodiesServer, "127.0.0.1", port, backlog=4096)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
