"""A minimal authorization server for nginx's ``auth_http``, as kind to it as can be: it knows the people by heart.

``python -m bench.proxies.mail_authorizer PATH KNOWN IMAP_PORT POP3_PORT`` serves on a unix socket until killed;
``KNOWN`` has the lines of nginx's map. nginx makes a connection for each question.
"""

import asyncio
import re
import sys
from pathlib import Path

import uvloop

_USER = re.compile(rb"\r\nAuth-User: ([^\r]*)")


class MailAuthorizer(asyncio.Protocol):
    """Answers one question."""

    def __init__(self, known: frozenset[bytes], imap: bytes, pop3: bytes) -> None:
        self._known = known
        self._ports = imap, pop3
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """nginx sends one small head."""
        assert self._transport is not None
        found = _USER.search(data)
        status = b"OK" if found is not None and found[1] in self._known else b"[CONTACTADMIN] blocked"
        port = self._ports[b"\r\nAuth-Protocol: pop3\r\n" in data]
        self._transport.write(
            b"HTTP/1.0 200 OK\r\nAuth-Status: %b\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: %b\r\n\r\n" % (status, port)
        )
        self._transport.close()


async def main(path: str, people: frozenset[bytes], imap: str, pop3: str) -> None:
    """Serve until killed; prints a line once it listens."""
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: MailAuthorizer(people, imap.encode(), pop3.encode()), path, backlog=1024
    )
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    known = frozenset(line.split(b" ")[0] for line in Path(sys.argv[2]).read_bytes().splitlines())
    uvloop.run(main(sys.argv[1], known, *sys.argv[3:5]))
