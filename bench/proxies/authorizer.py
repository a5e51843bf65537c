"""A minimal authorization server for nginx's ``auth_request``, as kind to it as can be: it knows the phones by heart.

``python -m bench.proxies.authorizer PATH PEOPLE`` serves on a unix socket until killed.
"""

import asyncio
import re
import sys

import uvloop

from bench.fleet import device_of, holds_banned

_DEVICE = re.compile(rb"[?&]DeviceId=([^& ]*)")


class Authorizer(asyncio.Protocol):
    """Answers nginx's subrequests: 200 for a device that may, 403 for any other."""

    def __init__(self, known: frozenset[bytes]) -> None:
        self._known = known
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """nginx sends one small head at a time."""
        assert self._transport is not None
        found = _DEVICE.search(data)
        allowed = found is not None and found[1] in self._known
        status = b"200 OK" if allowed else b"403 Forbidden"
        self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


async def main(path: str, people: int) -> None:
    """Serve until killed; prints a line once it listens."""
    known = frozenset(device_of(each).upper().encode() for each in range(people) if not holds_banned(each))
    server = await asyncio.get_running_loop().create_unix_server(lambda: Authorizer(known), path, backlog=1024)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
