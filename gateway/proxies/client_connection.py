"""One client connection: requests strictly one after the other, each handed to the exchange that answers it.

What belongs to which request is decided here and nowhere else. A request that is answered before its body was read is
read to its end (within a bound) or the connection closed; nothing behind it is ever looked at early.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from gateway.domain.certificate import CertificateShown
from gateway.network.paused_reading import PausedReading
from gateway.network.resetting import reset
from gateway.protocols.activesync import refusals
from gateway.protocols.answer import Answer
from gateway.protocols.http.chunked import BadChunk
from gateway.protocols.http.request_body import RequestBody, request_body
from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request, why_hopeless
from gateway.protocols.http.writing import written
from gateway.proxies.exchange import Belonging, Exchange
from gateway.proxies.standing import certificate_mark

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

DISCARDED_MOST = 1 << 20
"""Octets of a body that are read for nothing, to keep the connection, after its request was answered."""
DISCARDING_SECONDS = 2.0
ARRIVED_MOST = 16 << 10
"""Octets of a request that wait for the end of the round; no request of the usual form is so long."""
PIPELINED_MOST = 64 << 10
NEVER = float("inf")


class ClientConnection(PausedReading):
    """Reads requests and writes answers."""

    __slots__ = (
        "_answered",
        "_arrived",
        "_body",
        "_buffer",
        "_choked",
        "_closing",
        "_continue_owed",
        "_idle",
        "_postponed",
        "_reading_head",
        "_requests",
        "address",
        "answer_begun",
        "belonging",
        "certificate",
        "certificate_mark",
        "deadline",
        "exchange",
        "forwarded_end",
        "front",
        "head_only",
        "host",
        "keep_alive",
        "modern",
        "secure",
    )

    def __init__(self, front: "HttpFront", *, secure: bool) -> None:
        super().__init__()
        self.front = front
        self.secure = secure
        self.address = ""
        self.certificate: CertificateShown | None = None
        """What the client has shown within TLS; read once."""
        self.certificate_mark = 0
        self.forwarded_end = b""
        """The line that tells the mail server whose request it is, and the empty one behind it."""
        self.exchange: Exchange | None = None
        self.belonging: Belonging | None = None
        """What its requests have made that lasts as long as it does."""
        self.keep_alive = True
        self.modern = True
        """Whether the present request is of HTTP/1.1, and its answer may come in chunks."""
        self.host = b""
        """The present request's Host."""
        self.answer_begun = False
        self.deadline = NEVER
        self._idle = True
        """Whether nothing is under way, and nothing here that was not looked at."""
        self._arrived = b""
        """What came on an idle connection in this round of the loop."""
        self._postponed = False
        """Whether what has arrived waits for a second round."""
        self._buffer = b""
        self._body: RequestBody | None = None
        """The present request's, while it is not whole."""
        self._answered = True
        self.head_only = False
        """Whether the present request is a HEAD, whose answer has no body."""
        self._continue_owed = False
        """The client waits for 100 before it sends the body, and may decide either way without it."""
        self._requests = 0
        self._reading_head = True
        self._choked = False
        """The client does not take what is written: nothing new is begun for it."""
        self._closing = False

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        self.forwarded_end = b"X-Forwarded-For: %b\r\n\r\n" % self.address.encode("ascii", "replace")
        self.wait_at_most(self.front.settings.head_seconds)
        if not self.front.admission.admit(self):
            self._closing, self._idle = True, False
            self.transport = None
        elif self.secure:
            self.certificate = self.front.certificate_of(transport)
            self.certificate_mark = certificate_mark(self.certificate)

    def data_received(self, data: bytes) -> None:
        """Octets of the present request's body, of the next request, or of one behind it."""
        if self._idle:
            # Only at the end of the round is it known what the mail servers' connections have brought.
            self._idle = False
            self._arrived = data
            self.front.arrived(self)
        elif self._closing:
            return
        elif self._arrived:
            self._arrived += data
            if len(self._arrived) > ARRIVED_MOST:
                # A large body: a round may bring megabytes of it, which the mail server may not take so fast.
                octets, self._arrived = self._arrived, b""
                self._read_on(octets)
        elif self._body is not None:
            self._take_body(self._body, data)
        else:
            self._read_on(data)

    def _read_on(self, octets: bytes) -> None:
        self._buffer = self._buffer + octets if self._buffer else octets
        self._advance()
        if len(self._buffer) > self._pipelined_most:
            # More requests than are answered meanwhile: they wait in the kernel, not here.
            self.pause()

    def take_arrived(self, now: float, clock: float) -> bool:
        """The round of the loop is over: begin with what it brought. ``now`` and ``clock``: the time by either.

        True: that is for the end of the next round.
        """
        octets, self._arrived = self._arrived, b""
        if not octets or self._closing or self.front.short_way.begin(self, octets, now, clock):
            return False
        if self.front.short_way.was_too_early() and not self._postponed:
            self._postponed, self._arrived = True, octets
            return True
        self._postponed = False
        self._read_on(octets)
        return False

    def eof_received(self) -> bool:
        """A client that sends no more is gone: phones do not half-close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._closing = True
        self._idle = False
        self.transport = None
        self.front.leave(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()
        belonging, self.belonging = self.belonging, None
        if belonging is not None:
            belonging.client_gone()

    def pause_writing(self) -> None:
        """The client takes no more for now."""
        self._choked = True
        self._idle = False
        self.wait_at_most(self.front.settings.write_seconds)
        if self.exchange is not None:
            self.exchange.client_writable(writable=False)
        else:
            self.pause()

    def resume_writing(self) -> None:
        """The client takes more again."""
        self._choked = False
        if self.exchange is not None:
            self.wait_at_most(self.front.settings.upstream_response_seconds)
            self.exchange.client_writable(writable=True)
        elif self._closing or self._arrived:
            # In the second case it is begun with at the end of the round.
            return
        elif self.body_to_come:
            # It was answered already; what is left of it is no request.
            self._read_rest_of_body()
        else:
            # What has come of a head has its own time.
            self._reading_head = False
            self._next()

    # --- requests

    @property
    def _pipelined_most(self) -> int:
        """Octets that may wait behind the present request; a head that is allowed must fit."""
        return max(PIPELINED_MOST, self.front.settings.max_head_bytes)

    def begin_usual(self, exchange: Exchange, deadline: float) -> None:
        """A whole request of the usual form is on its way."""
        self.exchange = exchange
        self.deadline = deadline
        self._requests += 1
        self._reading_head = self._postponed = False
        self.keep_alive = self._requests < self.front.settings.requests_per_connection
        self.modern, self.head_only = True, False
        self._answered = self.answer_begun = self._continue_owed = False

    def _advance(self) -> None:
        """Begin with the next request if its head is whole."""
        if self.exchange is not None or self._choked or not self._buffer:
            return
        limit = self.front.settings.max_head_bytes
        end = self._buffer.find(b"\r\n\r\n", 0, limit)
        if end < 0:
            self._wait_for_head(limit)
            return
        head, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
        try:
            parsed = parse_request(head)
        except BadRequest as error:
            self._refuse_head(error)
            return
        self._begin(parsed)

    def _wait_for_head(self, limit: int) -> None:
        error = why_hopeless(self._buffer, limit)
        if error is not None:
            self._refuse_head(error)
        elif not self._reading_head:
            # Once per head: a client that sends an octet now and then gains no time by it.
            self._reading_head = True
            self.wait_at_most(self.front.settings.head_seconds)

    def _begin(self, head: RequestHead) -> None:
        self._requests += 1
        self._reading_head = False
        self.keep_alive = head.keep_alive and self._requests < self.front.settings.requests_per_connection
        self.modern, self.host, self.head_only = head.modern, head.named[b"host"], head.method == b"HEAD"
        self._answered = self.answer_begun = False
        self._body = request_body(head)
        if self._body is not None and self._body.left > self.front.settings.max_body_bytes:
            self._refuse_head(BadRequest("body_too_large", 413))
            return
        self._continue_owed = head.expects_continue
        self.deadline = NEVER
        exchange = self.exchange = self.front.exchange_for(self, head)
        exchange.begin()
        if self.body_to_come:
            self._ask_for_body()
        elif self.exchange is exchange:
            exchange.body(b"", last=True)

    def _ask_for_body(self) -> None:
        if self._closing:
            return
        if self._continue_owed and self.transport is not None:
            self._continue_owed = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wait_at_most(self.front.settings.body_seconds)
        self.resume()
        rest, self._buffer = self._buffer, b""
        if rest and self._body is not None:
            self._take_body(self._body, rest)

    @property
    def body_to_come(self) -> bool:
        """Whether the present request's body is not whole yet."""
        return self._body is not None

    def _take_body(self, body: RequestBody, data: bytes) -> None:
        try:
            content, self._buffer = body.feed(data)
        except BadChunk:
            self._refuse_head(BadRequest("chunk"))
            return
        if body.whole:
            self._body = None
        if self._answered:
            self._discard(body)
        elif body.received > self.front.settings.max_body_bytes:
            self._refuse_head(BadRequest("body_too_large", 413))
        elif self.exchange is not None:
            if not body.whole:
                self.wait_at_most(self.front.settings.body_seconds)
            self.exchange.body(content, last=body.whole)

    def _discard(self, body: RequestBody) -> None:
        if body.whole:
            self._next()
        elif body.received > DISCARDED_MOST:
            self.close()

    # --- answers

    def stays(self) -> bool:
        """Whether the connection outlives the present answer; asked right before its head is written."""
        body = self._body
        if self.front.draining or (body is not None and (self._continue_owed or body.left > DISCARDED_MOST)):
            self.keep_alive = False
        return self.keep_alive

    def answer(self, answer: Answer) -> None:
        """Write an answer of ours and end the exchange."""
        self.write(written(answer, close=not self.stays(), head_only=self.head_only))
        self.answered()

    def answer_usual(self, octets: bytes) -> None:
        """Write a whole answer that was forwarded, to a request that is here whole; the connection stays."""
        front = self.front
        self.exchange = None
        self._answered = True
        self.deadline = front.clock() + front.settings.idle_seconds
        if self._buffer or self._paused or self._choked:
            if self.transport is not None:
                self.transport.write(octets)
            self._next()
        else:
            # Before it is written: a write may find that the client does not take it.
            self._idle = not self._closing
            if self.transport is not None:
                self.transport.write(octets)

    def answered(self) -> None:
        """The answer is written to its end; go on with the next request, or close."""
        self.exchange = None
        self._answered = True
        self.deadline = NEVER
        if self.body_to_come and not self._continue_owed:
            # Closing with unread octets resets the connection, and the client may lose its answer.
            self._read_rest_of_body()
        else:
            self._next()

    def _read_rest_of_body(self) -> None:
        if self._choked:
            # First the client is to take its answer.
            self.pause()
            self.wait_at_most(self.front.settings.write_seconds)
            return
        self.resume()
        self.wait_at_most(DISCARDING_SECONDS)

    def _next(self) -> None:
        if not self.keep_alive:
            self.close()
            return
        if self._choked:
            # A client that asks without reading the answers would have us hold them all.
            self.wait_at_most(self.front.settings.write_seconds)
            self.pause()
            return
        self.wait_at_most(self.front.settings.idle_seconds)
        if len(self._buffer) <= self._pipelined_most:
            self.resume()
        self._idle = not (self._buffer or self._arrived or self._closing)
        if self._buffer:
            # Not from here: a chain of pipelined requests must not become a chain of calls.
            asyncio.get_running_loop().call_soon(self._advance_later)

    def _advance_later(self) -> None:
        if not self._closing:
            self._advance()

    def _refuse_head(self, error: BadRequest) -> None:
        """Nothing after octets that were not understood can be understood: answer and close.

        In the rest of a body whose request was answered: only close, or a front proxy would take a second answer for
        that to somebody else's request.
        """
        self.front.bad_requests.inc(error.reason)
        if self._answered and self.body_to_come:
            self.close()
            return
        begun = self.answer_begun and not self._answered
        self._buffer = b""
        self._body = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()
        if begun:
            # Nothing of ours may stand in the middle of an answer.
            self.abort()
            return
        self.keep_alive = False
        answer = _answer_to(error)
        # The request before this head may have been a HEAD; what this one is nobody knows.
        self.write(written(answer, close=True, head_only=self.head_only and not self._answered))
        self.close()

    def write(self, octets: bytes) -> None:
        """Send octets of the present answer."""
        self.answer_begun = True
        if self.transport is not None:
            self.transport.write(octets)

    def wait_at_most(self, seconds: float) -> None:
        """Set the deadline; it is looked at about once a second."""
        self.deadline = self.front.clock() + seconds

    def deadline_passed(self) -> None:
        """Called when the deadline has passed."""
        self.deadline = NEVER
        if self.exchange is not None:
            self.exchange.out_of_time()
        elif self._choked or self._closing:
            self.abort()
        elif self._arrived:
            # Not too late: it is looked at in a moment.
            return
        elif self._buffer and self._reading_head:
            self._refuse_head(BadRequest("head_too_slow", 408))
        else:
            self.close()

    def drain(self, *, keep_idle: bool = False) -> None:
        """The gateway stops: finish what is under way, then close; ``keep_idle``: one more request may come."""
        self.keep_alive = False
        if self.exchange is not None:
            self.exchange.drain()
        elif not (self._arrived or keep_idle):
            self.close()

    def close_if_idle(self) -> None:
        """Close between two requests; a client that has come and not asked yet keeps its time for it."""
        begun = self.exchange is not None or self._arrived or self._buffer or self.body_to_come
        if self._requests and not begun:
            self.close()

    def take_no_more(self) -> None:
        """What it came by has ended, its certificate for example. A request under way is answered, or refused."""
        self.keep_alive = False
        if self.exchange is None and not self._arrived:
            self.close()

    def close(self) -> None:
        """Send what is written, then close; a client that takes none of it has no more time than for an answer."""
        if not self._closing:
            self.wait_at_most(self.front.settings.write_seconds)
        self._closing = True
        self._idle = False
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once, with a reset: what the kernel still holds of an answer does not leave either."""
        self._closing = True
        self._idle = False
        if self.transport is not None:
            reset(self.transport)


def _answer_to(error: BadRequest) -> Answer:
    refusal = refusals.content_too_large() if error.status == 413 else refusals.malformed()
    return Answer(error.status, HTTPStatus(error.status).phrase, refusal.headers, refusal.body)
