"""One connection to a mail server: one request at a time, its answer parsed as it comes.

It goes back to its pool only after a complete request and a complete answer that allows it. Octets that nobody asked
for end it: whose answer would they be taken for?
"""

import asyncio
import select
from collections.abc import Callable
from typing import Protocol, cast

from gateway.network.paused_reading import PausedReading
from gateway.protocols.http.chunked import BadChunk, ChunkedReader
from gateway.protocols.http.response_head import HEAD_LONGEST, BadResponse, ResponseHead, parse_response

INTERIM_MOST = 8
"""1xx answers before the final one."""


class Keeper(Protocol):
    """Who has a connection between two requests: a pool, or its only user."""

    def put_back(self, connection: "UpstreamConnection") -> None:
        """Keep for the next request."""
        ...

    def gone(self, connection: "UpstreamConnection") -> None:
        """A connection was lost."""
        ...


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


class UpstreamConnection(PausedReading):
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
        "_poll",
        "_pool",
        "idle_round",
        "idle_since",
        "request_complete",
    )

    def __init__(self, pool: "Keeper") -> None:
        super().__init__()
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
        self._poll: select.poll | None = None
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

    def give_back(self) -> None:
        """Nothing was sent on it, and nothing will be: it is for the next request."""
        self._pool.put_back(self)

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
