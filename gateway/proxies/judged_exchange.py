"""One request through the gateway: judge, forward, judge again, pass on or cut; the same for every HTTP protocol.

The exchange is registered as a live session before it is judged, with no await between; it is judged once more when the
mail server's answer begins, and whenever the verdict turns. Up to the first octet of the answer it is refused in its
protocol's own words; after that the connection is cut. What has had its effect is let finish. A protocol says by the
methods of the first part what is peculiar to it.
"""

import asyncio
from abc import ABC, abstractmethod
from operator import is_
from typing import TYPE_CHECKING

import structlog

from gateway.decision.live_sessions import LiveSession
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import Pair
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange_state import State
from gateway.proxies.forwarding import more
from gateway.proxies.judged_answer import JudgedAnswer
from gateway.proxies.refusing import Question, Told
from gateway.proxies.verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

log = structlog.get_logger()

HELD_MOST = 64 << 10
"""Octets of a body held while nothing may be forwarded yet."""


class JudgedExchange(ABC):
    """Answers one request (``Exchange``, ``LiveSession``); ``begin`` is the protocol's."""

    __slots__ = (
        "__weakref__",
        "_basis",
        "_body",
        "_body_complete",
        "_client",
        "_front",
        "_head",
        "_in_chunks",
        "_task",
        "_timer",
        "_upstream",
        "_verdict",
        "_watch",
        "finishing",
        "state",
    )

    asked: Question
    """What is asked; a slot of the protocol's own."""

    def __init__(self, front: "HttpFront", client: ClientConnection, head: RequestHead | None = None) -> None:
        self._front = front
        self._client = client
        self._head = head
        self._verdict: Verdict | None = None
        self._basis: tuple[object, ...] = ()
        """What the verdict follows from, while the request is held."""
        self._body = b""
        """What is held back; later what a protocol keeps of it."""
        self._body_complete = False
        self._in_chunks = False
        self._upstream: UpstreamConnection | None = None
        self.finishing = False
        """The verdict turned, but the request has had its effect: its answer may still pass."""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Until a refusal that is held back is told."""
        self._watch: VerdictWatch | None = None
        self.state = State.HELD

    # --- what is the protocol's

    @property
    @abstractmethod
    def name(self) -> str:
        """What is asked, in one word or two, for metrics and logs."""

    @abstractmethod
    def begin(self) -> None:
        """Identify; then ``_begin_judged``, or answer, or leave ``asked.request`` empty: nothing is to be judged."""

    def _ready(self) -> bool:
        """Whether as much of the body is here as it takes; it may be answered instead."""
        return True

    @abstractmethod
    def _octets(self, head: RequestHead, body: bytes, *, complete: bool) -> tuple[bytes, bool]:
        """What goes to the mail server, and whether more of it goes in chunks. What is not needed then is dropped."""

    @property
    def _has_effect(self) -> bool:
        """Whether a client that does not hear of it would do it once more; its answer is small."""
        return False

    def _await_answer(self) -> None:
        """All of the request is at the mail server."""
        self._client.wait_at_most(self._front.settings.upstream_response_seconds)

    def _cut(self, verdict: Verdict) -> bool:
        """End a request that merely waits with a word of its own; False: it is no such request, or has no word."""
        return False

    @abstractmethod
    def fields_for_client(self, head: ResponseHead) -> list[Pair] | None:
        """The headers of the answer that pass; None: this answer does not pass, the client was told another."""

    def streams(self, head: ResponseHead) -> bool:
        """Whether the answer is there for what may come later: its head does not wait for the body."""
        return False

    # --- before it is forwarded

    @property
    def request(self) -> AccessRequest:
        """What is judged (``LiveSession``)."""
        assert self.asked.request is not None
        return self.asked.request

    def is_by_the_same(self, session: LiveSession) -> bool:
        """Whether another session of this login came with the same credentials."""
        return isinstance(session, JudgedExchange) and session.asked.credentials == self.asked.credentials

    def _begin_judged(self) -> None:
        front = self._front
        front.decision.sessions.add(self)
        self._judge()
        if front.over_session_limit(self):
            self.tell(front.refusing.deferred("too_many_sessions"))
        elif self._verdict is None:
            self._task = asyncio.create_task(self._judge_loading())
        elif self._verdict.effect is not Effect.ALLOW:
            self._refuse(self._verdict)

    async def _judge_loading(self) -> None:
        verdict = await self._front.decision.judge_loading(self.request)
        self._forget_task()
        if self.state is State.HELD:
            self._verdict, self._basis = verdict, self._front.decision.basis(self.request.login)
            self._proceed()

    def _judge(self) -> None:
        """From memory; no verdict when the record is not at hand."""
        decision, request = self._front.decision, self.request
        self._verdict = decision.judge(request)
        self._basis = decision.basis(request.login)

    def _stands(self, verdict: Verdict) -> bool:
        """Whether nothing was heard of since that would change it.

        A change that was heard counts before anybody is judged by it: its record may have to be read first, and many
        sessions may come first.
        """
        decision = self._front.decision
        if verdict.valid_until <= self._front.now() or decision.untrusted_for > 0.0:
            return False
        return all(map(is_, decision.basis(self.request.login), self._basis))

    def _forget_task(self) -> None:
        """The task that calls this is through; another may have taken its place."""
        if self._task is asyncio.current_task():
            self._task = None

    def body(self, octets: bytes, *, last: bool) -> None:
        """Hold or forward a piece of the body."""
        if self.state is State.HELD:
            self._body_complete = last
            self._body += octets
            if len(self._body) > HELD_MOST:
                self._client.pause()
            self._proceed()
        elif self._upstream is not None and self._is_under_way and (not last or self._may_happen(octets)):
            self._write_more(self._upstream, octets, last=last)

    @property
    def _is_under_way(self) -> bool:
        return self.state in (State.FORWARDED, State.RESPONDING)

    def _write_more(self, upstream: UpstreamConnection, octets: bytes, *, last: bool) -> None:
        self._body_complete = last
        upstream.write(more(octets, last=last) if self._in_chunks else octets, complete=last)
        if last:
            self._await_answer()

    def _may_happen(self, octets: bytes) -> bool:
        """Whether what a request does may be done, which its last piece does; else that is kept, or it is refused.

        Its body may have taken an hour to come.
        """
        if self.asked.request is None:
            return True
        verdict = self._front.decision.judge(self.request)
        if verdict is None:
            # The client has sent everything: from now on it waits for us.
            self._client.wait_at_most(self._front.settings.upstream_response_seconds)
            self._task = asyncio.create_task(self._end_when_judged(octets))
        elif verdict.effect is Effect.ALLOW:
            return True
        else:
            self.verdict_turned(verdict)
        return False

    async def _end_when_judged(self, last_piece: bytes) -> None:
        verdict = await self._front.decision.judge_loading(self.request)
        self._forget_task()
        if self._upstream is None or not self._is_under_way:
            return
        if verdict.effect is Effect.ALLOW:
            self._write_more(self._upstream, last_piece, last=True)
        else:
            self.verdict_turned(verdict)

    def _proceed(self) -> None:
        """Forward or refuse as soon as all that it takes is known."""
        if self.state is not State.HELD or self._task is not None or not self._allowed() or not self._ready():
            return
        connection = self._at_hand()
        if connection is None:
            self._task = asyncio.create_task(self._connect())
        else:
            self._send(connection)

    @property
    def _pool(self) -> UpstreamPool:
        request = self.asked.request
        return self._front.upstreams.of(request.login if request else "")

    def _at_hand(self) -> UpstreamConnection | None:
        """A connection to the mail server that is there already; None: one has to be opened."""
        return self._pool.take()

    async def _opened(self) -> UpstreamConnection:
        """Another one. Raises ``UpstreamUnavailable``."""
        return await self._pool.connect()

    def _receiver(self) -> JudgedAnswer:
        """What takes the answer."""
        return JudgedAnswer(self, self._front, self._client)

    def _allowed(self) -> bool:
        """Whether the request may be forwarded at this moment; else it is refused, or its verdict is on its way."""
        if self.asked.request is None:
            return True
        if self._verdict is not None and not self._stands(self._verdict):
            self._judge()
        verdict = self._verdict
        if verdict is None:
            self._task = asyncio.create_task(self._judge_loading())
        elif verdict.effect is Effect.ALLOW:
            return True
        else:
            self._refuse(verdict)
        return False

    async def _connect(self) -> None:
        try:
            connection = await self._opened()
        except UpstreamUnavailable as error:
            self._forget_task()
            log.warning("upstream_unavailable", reason=str(error))
            if self.state is State.HELD:
                self.tell(self._front.refusing.deferred("upstream_unavailable"))
            return
        self._forget_task()
        if self.state is State.HELD and self._allowed():
            self._send(connection)
        else:
            connection.give_back()

    def _send(self, connection: UpstreamConnection) -> None:
        """Forward the head with what there is of the body."""
        head, body, complete = self._head, self._body, self._body_complete
        assert head is not None
        # What is not needed any more goes: a parked request lives for an hour.
        self._head, self._body, self._basis = None, b"", ()
        octets, self._in_chunks = self._octets(head, body, complete=complete)
        # Before the write: what the mail server does not take at once stops the client again.
        self._client.resume()
        self.state = State.FORWARDED
        self._upstream = connection
        connection.begin(self._receiver(), head.method, octets, complete=complete)
        if complete:
            self._await_answer()

    # --- at the mail server

    def judge_now(self) -> None:
        """Judge again, reading the record: it is not at hand."""
        if self._watch is None:
            self._watch = VerdictWatch(self, self._front.decision, self._front.now)
        self._watch.at_once()

    def _judge_when_due(self, within_seconds: float) -> None:
        """Judge again when the verdict may change by itself, if that is within the time for which this may go on."""
        verdict = self._verdict
        if self._watch is None and verdict is not None and verdict.valid_until < self._front.now() + within_seconds:
            self._watch = VerdictWatch(self, self._front.decision, self._front.now)
            self._watch.until(verdict.valid_until)

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer (``LiveSession``)."""
        if self.state is State.HELD:
            self._refuse(verdict)
        elif not self._is_under_way or self.finishing:
            return
        elif self._has_effect and self._body_complete:
            # It is happening already. Without its answer the client would do it once more.
            self.finishing = True
        elif self.state is State.RESPONDING:
            self._front.refusing.log.write_down("cut", self.request, verdict)
            self.break_off("cut_short")
        elif not self._cut(verdict):
            self.leave_upstream()
            self._refuse(verdict)

    # --- its answer (called by ``JudgedAnswer``)

    def responding(self) -> None:
        """A piece of the answer is about to reach the client; the next one must not take for ever."""
        self.state = State.RESPONDING
        self._client.wait_at_most(self._front.settings.upstream_response_seconds)

    def answered(self, tail: bytes) -> None:
        """The answer is whole; ``tail`` is its last piece."""
        if tail:
            self._client.write(tail)
        self._front.requests.inc(self.name, "forwarded")
        self._end()
        self._client.answered()

    def upstream_done(self) -> None:
        """The connection to the mail server is somebody else's from now on."""
        self._upstream = None

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole. The request is not sent again: it may have had its effect."""
        self._upstream = None
        log.warning("upstream_lost", reason=reason, command=self.name)
        if self.state is State.FORWARDED:
            self.tell(self._front.refusing.deferred("upstream_lost"))
        elif self.state is State.RESPONDING:
            self.break_off("upstream_lost")

    def client_writable(self, *, writable: bool) -> None:
        """Read from the mail server no faster than the client takes it."""
        if self._upstream is None:
            return
        if writable:
            self._upstream.resume()
        else:
            self._upstream.pause()

    def leave_upstream(self) -> None:
        """Wait for the mail server no longer."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    # --- answers of ours

    def _refuse(self, verdict: Verdict) -> None:
        """Tell the client in its protocol's words, if its credentials are good."""
        self.state = State.REFUSING
        self._front.decision.sessions.discard(self)
        self._body = b""
        self._client.resume()
        told = self._front.refusing.at_once(self.asked, verdict)
        if told is not None:
            self._tell_in_time(told)
        else:
            self._task = asyncio.create_task(self._refuse_after_check(verdict))

    async def _refuse_after_check(self, verdict: Verdict) -> None:
        told = await self._front.refusing.after_check(self.asked, verdict, self._client.host)
        self._forget_task()
        if self.state is State.REFUSING:
            self._tell_in_time(told)

    def _tell_in_time(self, told: Told) -> None:
        if told.delay:
            self._timer = asyncio.get_running_loop().call_later(told.delay, self.tell, told)
        else:
            self.tell(told)

    def tell(self, told: Told) -> None:
        """End with an answer of ours."""
        if self.state is State.ENDED:
            return
        self._front.requests.inc(self.name, told.outcome)
        self._end()
        self._client.answer(told.answer)

    # --- the end

    def break_off(self, outcome: str) -> None:
        """End with the connection, in the middle of an answer."""
        self._front.requests.inc(self.name, outcome)
        self._end()
        self._client.abort()

    def _end(self) -> None:
        self.state = State.ENDED
        if self.asked.request is not None:
            self._front.decision.sessions.discard(self)
        self.leave_upstream()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        if self.state is not State.ENDED:
            self._front.requests.inc(self.name, "client_gone")
            self._end()

    def out_of_time(self) -> None:
        """The connection's deadline has passed."""
        # At the mail server the only task is about a last piece that is held.
        has_come = self._body_complete or (self.state is State.FORWARDED and self._task is not None)
        if self.state in (State.HELD, State.FORWARDED) and has_come:
            self.tell(self._front.refusing.deferred("upstream_silent"))
        else:
            self.break_off("out_of_time")

    def drain(self) -> None:  # noqa: B027  (as a rule there is nothing to do)
        """The gateway stops; an answer may be just on its way."""
