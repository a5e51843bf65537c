"""A mail server that answers every request it is sent, and two independent opinions of what those were.

h11 reads the octets as they come and says when a request is whole; the same octets are then given to the parser of
Node.js (httptools). Both must see one request, the same one, and nothing behind it.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import h11

from tests.protocols.http.peers import by_httptools_request


class Reached(NamedTuple):
    """A request that reached the mail server whole."""

    method: bytes
    target: bytes
    user: bytes
    body: bytes


PASSED = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for"),
        *(b"authorization", b"content-type", b"ms-asprotocolversion", b"ms-asacceptmultipart", b"x-ms-policykey"),
        *(b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"cookie"),
        *(b"client-request-id", b"return-client-request-id"),
    )
)
"""Every header that may reach a mail server, with any value."""
STAYS = (b"connection", b"keep-alive")
"""What a phone says of its connection is as true of the next one."""


class Receiver:
    """What has reached the mail server."""

    def __init__(self) -> None:
        self.url = ""
        self.reached: list[Reached] = []
        self.wrong: list[str] = []
        """Whatever should not have come so."""
        self.connections = 0


class _Connection(asyncio.Protocol):
    """One connection from the gateway."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._raw = b""
        self._head: h11.Request | None = None
        self._body = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._receiver.connections += 1

    def data_received(self, data: bytes) -> None:
        self._raw += data
        self._http.receive_data(data)
        try:
            while self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._receiver.wrong.append(f"h11 refuses {self._raw[:2000]!r}: {error}")
            assert self._transport is not None
            self._transport.close()

    def _step(self) -> bool:
        event = self._http.next_event()
        if isinstance(event, h11.Request):
            self._head, self._body = event, b""
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self._note()
        else:
            return False
        return True

    def _note(self) -> None:
        head = self._head
        assert head is not None
        receiver, raw = self._receiver, self._raw
        fields = [(name, value) for name, value in head.headers]
        user = _user(dict(fields).get(b"authorization", b""))
        receiver.reached.append(Reached(head.method, head.target, user, self._body))
        if self._http.trailing_data[0]:
            receiver.wrong.append(f"octets behind a request: {self._http.trailing_data[0]!r}")
        seen = by_httptools_request(raw)
        theirs = [(name.lower(), value.strip(b" \t")) for name, value in seen.fields]
        if (seen.method, seen.target, seen.body, seen.whole, theirs) != (
            head.method,
            head.target,
            self._body,
            True,
            fields,
        ):
            receiver.wrong.append(f"httptools reads {seen} from {raw!r}")
        _check_fields(receiver, fields)
        assert self._transport is not None
        self._raw = b""
        body = b"mail for " + user
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)


def _check_fields(receiver: Receiver, fields: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in fields]
    strange = {name for name, value in fields if name not in PASSED and (name, value.lower()) != STAYS}
    if strange:
        receiver.wrong.append(f"passed on: {strange}")
    twice = {name for name in names if names.count(name) > 1} - {b"cookie", b"accept"}
    if twice or {b"content-length", b"transfer-encoding"} <= set(names):
        receiver.wrong.append(f"ambiguous: {fields}")
    if dict(fields).get(b"x-forwarded-for") != b"127.0.0.1":
        receiver.wrong.append(f"whose request is it: {fields}")


def _user(authorization: bytes) -> bytes:
    return base64.b64decode(authorization.removeprefix(b"Basic ")).partition(b":")[0]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A mail server on a free port."""
    made = Receiver()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(made), "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
