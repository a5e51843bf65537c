"""The mail server's answer to a judged request on its way to the client.

Its head is judged before any of it is passed on, and leaves together with the first octets of its body: as long as
nothing of the body is there, the client can still be told something else. What has no length is chunked anew, or ends
with the connection for HTTP/1.0.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import response_head
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange_state import State

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront
    from gateway.proxies.judged_exchange import JudgedExchange

FINISHING_MOST = 64 << 10
"""Octets of the small answer that a request with an effect still gets after the verdict turned."""
JUDGED_EVERY_SECONDS = 1.0
"""A long answer is judged again so often: its verdict may end by itself while the client takes its time."""


@dataclass(slots=True)
class Pending:
    """An answer as far as it has come while its verdict is being loaded."""

    pieces: list[ResponseHead | bytes]
    ended: bool = False
    task: asyncio.Task[None] | None = None


class JudgedAnswer:
    """Receives one answer (``ResponseHandler``) and passes it on."""

    __slots__ = ("_chunked", "_client", "_exchange", "_front", "_head", "_judge_at", "_length", "_pending")

    def __init__(self, exchange: "JudgedExchange", front: "HttpFront", client: ClientConnection) -> None:
        self._exchange = exchange
        self._front = front
        self._client = client
        self._head = b""
        """Our head for it, until it leaves."""
        self._chunked = False
        self._length = 0
        self._judge_at = 0.0
        """When a further piece is to be judged again; a moment of the front's clock."""
        self._pending: Pending | None = None

    def whole_answer(self, octets: bytes) -> bool:
        """Answers are read step by step here; ``UsualExchange`` takes whole ones."""
        return False

    def response_began(self, head: ResponseHead) -> None:
        """Judge once more, from memory if possible."""
        exchange = self._exchange
        request = exchange.asked.request
        if request is None or exchange.finishing:
            self._begin(head)
            return
        verdict = self._front.decision.judge(request)
        if verdict is None:
            self._wait(request, [head])
        elif verdict.effect is Effect.ALLOW:
            self._begin(head)
        else:
            exchange.verdict_turned(verdict)
            if exchange.finishing:
                self._begin(head)

    def _wait(self, request: AccessRequest, pieces: list[ResponseHead | bytes]) -> None:
        """Pass nothing on until it is known whether it may be."""
        self._exchange.client_writable(writable=False)
        self._pending = Pending(pieces)
        self._pending.task = asyncio.create_task(self._begin_when_judged(request))

    def _may_leave(self, *pieces: bytes) -> bool:
        """Whether a head that waited for more of its answer may leave with it: it was judged a while ago."""
        exchange, request = self._exchange, self._exchange.asked.request
        if not self._head or request is None or exchange.finishing or exchange.state is not State.FORWARDED:
            return True
        verdict = self._front.decision.judge(request)
        if verdict is None:
            self._wait(request, [*pieces])
        elif verdict.effect is not Effect.ALLOW:
            exchange.verdict_turned(verdict)
            return exchange.finishing
        return verdict is not None

    def _may_go_on(self) -> bool:
        """Whether a further piece may leave; else the answer was broken off."""
        exchange, request = self._exchange, self._exchange.asked.request
        if exchange.state is not State.RESPONDING or request is None or exchange.finishing:
            return True
        clock = self._front.clock()
        if clock < self._judge_at:
            return True
        self._judge_at = clock + JUDGED_EVERY_SECONDS
        verdict = self._front.decision.judge(request)
        if verdict is None:
            exchange.judge_now()
        elif verdict.effect is not Effect.ALLOW:
            exchange.verdict_turned(verdict)
            return exchange.finishing
        return True

    async def _begin_when_judged(self, request: AccessRequest) -> None:
        verdict = await self._front.decision.judge_loading(request)
        exchange, pending = self._exchange, self._pending
        if exchange.state is not State.FORWARDED or pending is None:
            return
        if verdict.effect is not Effect.ALLOW:
            exchange.verdict_turned(verdict)
        if verdict.effect is Effect.ALLOW or exchange.finishing:
            self._pending = None
            exchange.client_writable(writable=True)
            self._replay(pending)

    def _replay(self, pending: "Pending") -> None:
        for piece in pending.pieces:
            if isinstance(piece, ResponseHead):
                self._begin(piece)
            else:
                self._pass_on(piece)
        if pending.ended:
            self._pass_on_end()

    def _begin(self, head: ResponseHead) -> None:
        exchange = self._exchange
        fields = exchange.fields_for_client(head)
        if fields is None:
            return
        if head.status == 401 and not any(name.lower() == b"www-authenticate" for name, _ in fields):
            fields.append((b"WWW-Authenticate", b'Basic realm="mail", charset="UTF-8"'))
        self._chunked = head.content_length is None and self._client.modern
        self._head = response_head(head.status, head.reason, fields, self._framing(head))
        if exchange.streams(head):
            exchange.responding()
            self._client.write(self._head)
            self._head = b""

    def _framing(self, head: ResponseHead) -> bytes:
        """The lines that say where the answer ends."""
        if self._chunked:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif head.content_length is None or head.status in (204, 304) or self._client.head_only:
            framing = b""
        else:
            framing = b"Content-Length: %d\r\n" % head.content_length
        return framing if self._client.stays() else framing + b"Connection: close\r\n"

    def response_data(self, octets: bytes) -> None:
        """Pass on a piece of the body."""
        if self._pending is not None:
            self._pending.pieces.append(octets)
        elif self._may_leave(octets) and self._may_go_on():
            self._pass_on(octets)

    def _pass_on(self, octets: bytes) -> None:
        exchange = self._exchange
        if exchange.state is not State.FORWARDED and exchange.state is not State.RESPONDING:
            return
        self._length += len(octets)
        if exchange.finishing and self._length > FINISHING_MOST:
            exchange.break_off("cut_short")
            return
        piece = chunk(octets) if self._chunked else octets
        if self._head:
            piece, self._head = self._head + piece, b""
        exchange.responding()
        self._client.write(piece)

    def response_ended(self) -> None:
        """The answer is whole."""
        self._exchange.upstream_done()
        if self._pending is None and self._may_leave():
            self._pass_on_end()
        elif self._pending is not None:
            self._pending.ended = True

    def _pass_on_end(self) -> None:
        exchange = self._exchange
        if exchange.state is State.FORWARDED or exchange.state is State.RESPONDING:
            exchange.answered(self._head + (LAST_CHUNK if self._chunked else b""))

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole."""
        self._exchange.upstream_lost(reason)

    def upstream_writable(self, *, writable: bool) -> None:
        """Read from the client no faster than the mail server takes it."""
        if writable:
            self._client.resume()
        else:
            self._client.pause()
