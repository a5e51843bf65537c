"""One whole request and its whole answer: for small questions of our own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import request_head


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer read to its end."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        """The values of a header, by its lower-case name."""
        return [value for key, value in self.fields if key.lower() == name]


class _Collector:
    """Collects one answer into a future."""

    def __init__(self, body_longest: int, connection: UpstreamConnection) -> None:
        self.done: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        self._body_longest = body_longest
        self._connection = connection
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._length = 0

    def whole_answer(self, octets: bytes) -> bool:
        """Answers are collected piece by piece."""
        return False

    def response_began(self, head: ResponseHead) -> None:
        self._head = head

    def response_data(self, octets: bytes) -> None:
        self._body.append(octets)
        self._length += len(octets)
        if self._length > self._body_longest:
            self._connection.abort()
            self.upstream_lost("the mail server's answer is too long")

    def response_ended(self) -> None:
        if self._head is not None and not self.done.done():
            self.done.set_result(Fetched(self._head.status, tuple(self._head.fields), b"".join(self._body)))

    def upstream_lost(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(UpstreamUnavailable(reason))

    def upstream_writable(self, *, writable: bool) -> None:
        """Small requests never wait for room."""


async def fetch(
    pool: UpstreamPool,
    method: bytes,
    target: bytes,
    host: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    body: bytes = b"",
    *,
    timeout_seconds: float = 15.0,
    body_longest: int = 256 << 10,
) -> Fetched:
    """Ask by a connection of the pool. Raises ``UpstreamUnavailable``; a request is never sent twice."""
    asked = request_of(method, target, host, fields, body)
    connection = pool.take() or await pool.connect()
    return await fetch_by(
        connection, method, asked, of=pool.url, timeout_seconds=timeout_seconds, body_longest=body_longest
    )


def request_of(
    method: bytes, target: bytes, host: bytes, fields: Sequence[tuple[bytes, bytes]], body: bytes = b""
) -> bytes:
    """A small request as octets."""
    framing = b"Content-Length: %d\r\n" % len(body) if body or method == b"POST" else b""
    return request_head(method, target, host, fields, framing) + body


async def fetch_by(
    connection: UpstreamConnection,
    method: bytes,
    octets: bytes,
    *,
    of: str,
    timeout_seconds: float = 15.0,
    body_longest: int = 256 << 10,
) -> Fetched:
    """Ask by this connection and wait for the whole answer; ``of``: of whom. Raises ``UpstreamUnavailable``."""
    collector = _Collector(body_longest, connection)
    connection.begin(collector, method, octets, complete=True)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await collector.done
    except TimeoutError:
        raise UpstreamUnavailable(f"{of}: no answer within {timeout_seconds:.0f} s") from None
    finally:
        if not collector.done.done() or collector.done.cancelled() or collector.done.exception() is not None:
            connection.abort()
        # It holds the exception, which refers to this frame: it would stay, with what was asked.
        del collector
