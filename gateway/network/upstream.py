"""Pooled connections to mail servers: one request at a time on each, answers parsed as they come.

A connection goes back to its pool only after a complete request and a complete answer that allows it; one that is
readable, closed or old while idle is dropped before use. Nothing is ever sent twice.

Octets that a mail server sends unasked on an idle connection would be taken for the next answer, which may be another
person's. So before a connection is used again, the kernel is asked once more whether it has any: by ``take`` for this
one connection, by ``take_settled`` together with all others, as the loop does in each of its rounds.
"""

import asyncio
import os
import re
import select
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast
from urllib.parse import urlsplit

from gateway.network.rounds import Rounds
from gateway.protocols.http.chunked import BadChunk, ChunkedReader
from gateway.protocols.http.response_head import HEAD_LONGEST, BadResponse, ResponseHead, parse_response

_ANOTHER_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""
INTERIM_MOST = 8
"""1xx answers before the final one."""


class UpstreamUnavailable(Exception):  # noqa: N818
    """No connection to the mail server is to be had; the text says why."""


class ResponseHandler(Protocol):
    """Receives one answer. After ``response_ended`` or ``upstream_lost`` nothing more is called."""

    def whole_answer(self, octets: bytes) -> bool:
        """Take the answer as it came, if this is all of it and the connection may be used again; else nothing happens.

        Asked once, of the first octets that come. Whoever answers False may have put another handler in its place
        (``UpstreamConnection.hand_over``).
        """
        ...

    def response_began(self, head: ResponseHead) -> None:
        """The final head is there."""
        ...

    def response_data(self, octets: bytes) -> None:
        """A piece of the body, without transfer coding."""
        ...

    def response_ended(self) -> None:
        """The answer is whole."""
        ...

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole."""
        ...

    def upstream_writable(self, *, writable: bool) -> None:
        """Whether more of the request may be written now."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection to a mail server."""

    __slots__ = (
        "_after",
        "_begun",
        "_buffer",
        "_chunks",
        "_handler",
        "_head",
        "_interim",
        "_left",
        "_method",
        "_paused",
        "_poll",
        "_pool",
        "idle_round",
        "idle_since",
        "request_complete",
        "transport",
    )

    def __init__(self, pool: "UpstreamPool") -> None:
        self._pool = pool
        self._handler: ResponseHandler | None = None
        self._buffer = b""
        self._head: ResponseHead | None = None
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._method = b""
        self._interim = 0
        self._begun = False
        """Whether anything of the answer has come."""
        self._after: Callable[[], None] | None = None
        self._paused = False
        self._poll: select.poll | None = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.idle_round = 0
        self.request_complete = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast("asyncio.Transport", transport)

    def begin(self, handler: ResponseHandler, method: bytes, octets: bytes, *, complete: bool) -> None:
        """Send a request's head with what there is of its body; ``complete``: that is all of it."""
        self._handler = handler
        self._method = method
        self._head = None
        self._interim = 0
        self._begun = False
        self.request_complete = complete
        assert self.transport is not None
        self.transport.write(octets)

    def hand_over(self, handler: ResponseHandler) -> None:
        """From here on another handler receives the answer."""
        self._handler = handler

    def write(self, octets: bytes, *, complete: bool) -> None:
        """Send more of the body."""
        self.request_complete = complete
        if self.transport is not None and octets:
            self.transport.write(octets)

    def pause(self) -> None:
        """Read no more of the answer for now."""
        if self.transport is not None and not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None and self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    @property
    def unasked(self) -> bool:
        """Whether there is something to read, or an end, that the loop has not come to yet."""
        if self._poll is None:
            assert self.transport is not None
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def abort(self, after: Callable[[], None] | None = None) -> None:
        """Close at once; nothing more reaches the handler. ``after`` is called when the connection is closed."""
        self._handler = None
        if self.transport is not None:
            self._after = after
            self.transport.abort()
        elif after is not None:
            after()

    def data_received(self, data: bytes) -> None:
        """Parse what came and hand it on."""
        if self._handler is None:
            # Unasked octets on an idle connection: whose answer would they be taken for?
            self.abort()
            return
        if not self._begun:
            self._begun = True
            if self._handler.whole_answer(data):
                # Small, and sent at once on an idle connection: the kernel has had it all (otherwise ``_all_sent``).
                self._handler = None
                self._pool.put_back(self)
                return
        try:
            if self._head is None:
                self._read_head(data)
            else:
                self._read_body(data)
        except (BadResponse, BadChunk) as error:
            self._fail(str(error))

    def _read_head(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n", 0, HEAD_LONGEST)
        if end < 0:
            if len(data) >= HEAD_LONGEST:
                raise BadResponse("the mail server's answer has a head that is too long")
            return
        self._buffer = b""
        head = parse_response(data[: end + 4], self._method)
        rest = data[end + 4 :]
        if head.status < 200:
            self._interim += 1
            # HTTP/1.0 has none, and with ``close`` there is a reader that expects nothing behind it.
            if head.status == 101 or self._interim > INTERIM_MOST or not head.keep_alive:
                raise BadResponse("the mail server sent an unexpected interim answer")
            if rest:
                self._read_head(rest)
            return
        self._head = head
        self._left = -1 if head.content_length is None else head.content_length
        self._chunks = ChunkedReader() if head.chunked else None
        handler = self._handler
        assert handler is not None
        handler.response_began(head)
        if self._handler is handler and (rest or not self._left):
            self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        handler = self._handler
        assert handler is not None
        beyond = b""
        if self._chunks is not None:
            data, beyond = self._chunks.feed(data)
            ended = self._chunks.done
        elif self._left >= 0:
            data, beyond = data[: self._left], data[self._left :]
            self._left -= len(data)
            ended = not self._left
        else:
            ended = False
        if data:
            handler.response_data(data)
        if ended and self._handler is handler:
            self._end(reusable=not beyond)

    def _end(self, *, reusable: bool) -> None:
        handler, head = self._handler, self._head
        self._handler = self._head = self._chunks = None
        assert handler is not None
        assert head is not None
        # Whoever paused it is through with it; the next one would wait for ever.
        self.resume()
        if reusable and head.keep_alive and self.request_complete and self._all_sent:
            self._pool.put_back(self)
        elif self.transport is not None:
            self.transport.abort()
        handler.response_ended()

    @property
    def _all_sent(self) -> bool:
        """Whether the kernel has the whole request.

        A server that answers before it has the body may take what still comes for the next request.
        """
        return self.transport is not None and not self.transport.get_write_buffer_size()

    def _fail(self, reason: str) -> None:
        handler, self._handler = self._handler, None
        if self.transport is not None:
            self.transport.abort()
        if handler is not None:
            handler.upstream_lost(reason)

    def eof_received(self) -> bool:
        """The server sends no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without length ends so; any other is broken."""
        self._pool.gone(self)
        until_close = self._head is not None and self._chunks is None and self._left < 0
        if self._handler is not None and until_close and exc is None:
            self._end(reusable=False)
        elif self._handler is not None:
            self._fail("the mail server closed the connection before its answer was whole")
        self.transport = None
        if self._after is not None:
            # Once more round the loop: the socket itself is closed when this callback is through.
            asyncio.get_running_loop().call_soon(self._after)

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        if self._handler is not None:
            self._handler.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        """The kernel takes more again."""
        if self._handler is not None:
            self._handler.upstream_writable(writable=True)


class UpstreamPool:
    """Connections to one mail server."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        *,
        connections: int = 20_000,
        connect_seconds: float = 10.0,
        idle_seconds: float = 4.0,
        now: Callable[[], float] = time.monotonic,
        rounds: Rounds | None = None,
    ) -> None:
        address = urlsplit(url)
        self.url = url
        self.host = address.hostname or ""
        self.port = address.port or (443 if address.scheme == "https" else 80)
        self._context = context if address.scheme == "https" else None
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._now = now
        self._rounds = rounds or Rounds()
        self._idle: deque[UpstreamConnection] = deque()
        self._open: set[UpstreamConnection] = set()
        self.connecting = 0
        self._failures = 0
        self._down_until = 0.0
        self.closed = False

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._open)

    @property
    def reached(self) -> bool:
        """Whether the last attempt to connect worked; also before the first."""
        return not self._failures

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to connect worked, or is long enough ago to try again."""
        return self._now() >= self._down_until

    def take(self) -> UpstreamConnection | None:
        """An idle connection that is fit for use; None: connect."""
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            fresh = self._now() - connection.idle_since < self._idle_seconds
            if fresh and transport is not None and not transport.is_closing() and not connection.unasked:
                return connection
            connection.abort()
        return None

    def take_settled(self, clock: float) -> UpstreamConnection | None:
        """An idle connection, to be used at the end of a round of the loop; None: ``take``, or connect.

        It was idle when the round began, so what it had to say unasked has been read. ``clock`` is the present.
        """
        idle, number = self._idle, self._rounds.number
        while idle:
            # The youngest one, so that the others may grow old; else the one that has been idle for longest.
            at = -1 if idle[-1].idle_round != number else 0
            connection = idle[at]
            if connection.idle_round == number:
                return None
            del idle[at]
            transport = connection.transport
            if (
                clock - connection.idle_since < self._idle_seconds
                and transport is not None
                and not transport.is_closing()
            ):
                return connection
            connection.abort()
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises ``UpstreamUnavailable``."""
        if len(self._open) + self.connecting >= self._connections:
            raise UpstreamUnavailable(f"{self.url}: all {self._connections} connections are in use")
        self.connecting += 1
        try:
            connection = await self._opened()
        except (OSError, TimeoutError, ssl.SSLError) as error:
            self._failures += 1
            self._down_until = self._now() + min(10.0, 0.5 * 2 ** min(self._failures, 6))
            raise UpstreamUnavailable(f"{self.url}: {reason_of(error)}") from None
        finally:
            self.connecting -= 1
        self._failures, self._down_until = 0, 0.0
        if self._context is None and connection.unasked:
            # With TLS something may rightly be there: session tickets.
            connection.abort()
            raise UpstreamUnavailable(f"{self.url}: it speaks, or hangs up, before it is asked")
        self._open.add(connection)
        return connection

    async def _opened(self) -> UpstreamConnection:
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(self),
                self.host,
                self.port,
                ssl=self._context,
                server_hostname=self.host if self._context else None,
            )
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keep for the next request."""
        if self.closed:
            connection.abort()
            return
        self._rounds.enter()
        connection.idle_round = self._rounds.number
        connection.idle_since = self._now()
        self._idle.append(connection)

    def gone(self, connection: UpstreamConnection) -> None:
        """A connection was lost."""
        self._open.discard(connection)

    def drop_old(self) -> None:
        """Close what has been idle for too long; called now and then."""
        while self._idle and self._now() - self._idle[0].idle_since >= self._idle_seconds:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close everything."""
        self.closed = True
        for connection in tuple(self._open):
            connection.abort()


def reason_of(error: BaseException, part: str = "http") -> str:
    """What went wrong with a connection to the mail server of a section, in words for an operator."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        if error.verify_code in _ANOTHER_NAME:
            return f"its certificate is for another name ({said}): write the name that it is for into [{part}] upstream"
        return f"its certificate is not trusted ({said}): name its issuer's certificate in [{part}] upstream_ca"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    if isinstance(error, TimeoutError):
        return "no connection within the time-out"
    if isinstance(error, ConnectionError) and not error.args:
        # So asyncio says it: no version of TLS in common, for example.
        return "it closed the connection during the TLS handshake"
    # asyncio writes addresses in between; of several attempts it has the numbers in its text only.
    number = re.search(r"\[Errno (\d+)\]", str(error))
    if isinstance(error, OSError) and number:
        return os.strerror(int(number[1])).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
