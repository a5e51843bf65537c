"""One ActiveSync request through the gateway: judge, forward, judge again, pass on or cut.

The exchange is registered as a live session before it is judged, with no await between; it is judged once more when the
mail server's answer begins, and whenever the verdict turns. Up to the first octet of the answer it is refused in the
phone's own words; after that the connection is cut. A command with an effect that has gone upstream is let finish.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.decision.live_sessions import LiveSession
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.network.upstream import UpstreamConnection, UpstreamPool, UpstreamUnavailable
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.commands import WITH_EFFECT, Command
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.activesync.root import NEED_MORE, body_agrees
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.eas_answer import EasAnswer
from gateway.proxies.eas_forward import forwarded, may_wait, more
from gateway.proxies.eas_state import State
from gateway.proxies.refusing import Told
from gateway.proxies.verdict_watch import VerdictWatch

PROMPT_SECONDS = 0.5
"""What the mail server does not answer so soon, it keeps waiting."""

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

log = structlog.get_logger()

HELD_MOST = 64 << 10
"""Octets of a body held while nothing may be forwarded yet."""
_TELLING = frozenset((Command.SETTINGS, Command.PROVISION))
"""Commands in which a phone says what it is ([MS-ASCMD] 2.2.3.45)."""


class EasExchange:
    """Answers one ActiveSync request."""

    __slots__ = (
        "__weakref__",
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
        "asked",
        "finishing",
        "state",
    )

    def __init__(self, front: "HttpFront", client: ClientConnection, head: RequestHead | None = None) -> None:
        self._front = front
        self._client = client
        self._head = head
        self.asked: Asked
        self._verdict: Verdict | None = None
        self._body = b""
        """What is held back; later what DeviceInformation is read from."""
        self._body_complete = False
        self._in_chunks = False
        self._upstream: UpstreamConnection | None = None
        self.finishing = False
        """The verdict turned, but the command has had its effect: its answer may still pass."""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Until a refusal that is held back is told."""
        self._watch: VerdictWatch | None = None
        self.state = State.HELD

    @property
    def request(self) -> AccessRequest:
        """What is judged (``LiveSession``)."""
        assert self.asked.request is not None
        return self.asked.request

    @property
    def parked(self) -> bool:
        """Whether it waits at the mail server."""
        return self.state is State.FORWARDED and self._body_complete and may_wait(self.asked)

    @property
    def deadline(self) -> float:
        """When it is over, by the front's clock; of those that wait the oldest has the earliest."""
        return self._client.deadline

    def is_by_the_same(self, session: LiveSession) -> bool:
        """Whether another session of this login came with the same credentials."""
        return isinstance(session, EasExchange) and session.asked.credentials == self.asked.credentials

    # --- before it is forwarded

    def take_over(self, asked: Asked, verdict: Verdict, connection: UpstreamConnection) -> None:
        """Go on with a request that is at the mail server already, with all of its body."""
        self.asked, self._verdict, self._upstream = asked, verdict, connection
        self.state, self._body_complete = State.FORWARDED, True
        connection.hand_over(EasAnswer(self, self._front, self._client))
        self._await_answer()

    def begin(self) -> None:
        """Identify and judge."""
        front, head = self._front, self._head
        assert head is not None
        asked = identify(head, front.client_address(self._client, head), front.rules)
        if isinstance(asked, Answer):
            front.requests.inc("", "malformed" if asked.status != 401 else "unauthenticated")
            self.state = State.ENDED
            self._client.answer(asked)
            return
        self.asked = asked
        if asked.request is None:
            return
        if asked.query.command is Command.PING:
            front.supersede(self)
        front.decision.sessions.add(self)
        self._verdict = front.decision.judge(asked.request)
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
            self._verdict = verdict
            self._proceed()

    def _forget_task(self) -> None:
        """The task that calls this is through; another may have taken its place."""
        if self._task is asyncio.current_task():
            self._task = None

    def body(self, octets: bytes, *, last: bool) -> None:
        """Hold or forward a piece of the body."""
        self._body_complete = last
        if self.state is State.HELD:
            self._body += octets
            if len(self._body) > HELD_MOST:
                self._client.pause()
            self._proceed()
        elif self._upstream is not None and self.state in (State.FORWARDED, State.RESPONDING):
            self._upstream.write(more(octets, last=last) if self._in_chunks else octets, complete=last)
            if last:
                self._await_answer()

    def _proceed(self) -> None:
        """Forward or refuse as soon as all that it takes is known."""
        if self.state is not State.HELD or self._task is not None or not self._allowed():
            return
        query, request = self.asked.query, self.asked.request
        agrees = body_agrees(query.command, self.asked.version, self._body, complete=self._body_complete)
        if agrees is NEED_MORE:
            return
        if agrees is False:
            self.tell(Told(refusals.mismatch(), "mismatch"))
            return
        pool = self._front.upstreams.of(request.login if request else "")
        connection = pool.take()
        if connection is None:
            self._task = asyncio.create_task(self._connect(pool))
        else:
            self._send(connection)

    def _allowed(self) -> bool:
        """Whether the request may be forwarded at this moment; else it is refused, or its verdict is on its way."""
        if self.asked.request is None:
            return True
        verdict = self._verdict
        decision = self._front.decision
        if verdict is not None and (verdict.valid_until <= self._front.now() or decision.untrusted_for > 0.0):
            self._verdict = verdict = decision.judge(self.asked.request)
        if verdict is None:
            self._task = asyncio.create_task(self._judge_loading())
        elif verdict.effect is Effect.ALLOW:
            return True
        else:
            self._refuse(verdict)
        return False

    async def _connect(self, pool: UpstreamPool) -> None:
        try:
            connection = await pool.connect()
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
            pool.put_back(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        """Forward the head with what there is of the body."""
        asked, head, body, complete = self.asked, self._head, self._body, self._body_complete
        assert head is not None
        octets, self._in_chunks = forwarded(asked, head, body, complete=complete)
        # What is not needed any more goes: a parked request lives for an hour.
        self._head = None
        self._body = body if complete and asked.query.command in _TELLING else b""
        self.asked = Asked(asked.query, asked.version, asked.credentials, asked.request, asked.user_agent, None)
        # Before the write: what the mail server does not take at once stops the client again.
        self._client.resume()
        self._forward(connection, head.method, octets, complete=complete)

    def _forward(self, connection: UpstreamConnection, method: bytes, octets: bytes, *, complete: bool) -> None:
        self.state = State.FORWARDED
        self._body_complete = complete
        self._upstream = connection
        connection.begin(EasAnswer(self, self._front, self._client), method, octets, complete=complete)
        if complete:
            self._await_answer()

    # --- at the mail server

    def _await_answer(self) -> None:
        settings = self._front.settings
        if not may_wait(self.asked):
            self._client.wait_at_most(settings.upstream_response_seconds)
            return
        self._client.wait_at_most(settings.parked_seconds)
        if self._front.draining:
            self.drain()
        if self.asked.request is not None:
            self._front.one_more_parked(self)
        if self._verdict is not None and self._verdict.valid_until < self._front.now() + settings.parked_seconds:
            self._watch = VerdictWatch(self, self._front.decision, self._front.now)
            self._watch.until(self._verdict.valid_until)

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer (``LiveSession``)."""
        if self.state is State.HELD:
            self._refuse(verdict)
        elif self.state not in (State.FORWARDED, State.RESPONDING) or self.finishing:
            return
        elif self.asked.query.command in WITH_EFFECT and self._body_complete:
            # It is happening already. Without its answer the phone would do it once more.
            self.finishing = True
        elif self.state is State.RESPONDING:
            self._front.refusing.log.write_down("cut", self.request, verdict)
            self.break_off("cut_short")
        elif self.parked and verdict.effect is Effect.DENY:
            self._cut(verdict)
        else:
            self.leave_upstream()
            self._refuse(verdict)

    def _cut(self, verdict: Verdict) -> None:
        """End a request that waits: first the leg to the mail server, then the word to the phone."""
        self.state = State.REFUSING
        self._front.decision.sessions.discard(self)
        self._front.refusing.log.write_down("cut", self.request, verdict)
        told = Told(refusals.cut(self.asked.query.command, self.asked.version), "cut")
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            # The answer is whole, but was held back: that connection serves somebody else already.
            self.tell(told)
        else:
            upstream.abort(after=lambda: self.tell(told))

    # --- its answer (called by ``EasAnswer``)

    def served(self) -> None:
        """The mail server answers with success: the device is noted."""
        self._front.sighted.served(self.asked, self._body)
        self._body = b""

    def responding(self) -> None:
        """A piece of the answer is about to reach the phone; the next one must not take for ever."""
        self.state = State.RESPONDING
        self._client.wait_at_most(self._front.settings.upstream_response_seconds)

    def answered(self, tail: bytes) -> None:
        """The answer is whole; ``tail`` is its last piece."""
        if tail:
            self._client.write(tail)
        self._front.requests.inc(self.asked.query.command, "forwarded")
        self._end()
        self._client.answered()

    def upstream_done(self) -> None:
        """The connection to the mail server is somebody else's from now on."""
        self._upstream = None

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole. The request is not sent again: it may have had its effect."""
        self._upstream = None
        log.warning("upstream_lost", reason=reason, command=self.asked.query.command.value)
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
        """Tell the phone in its own words, if its credentials are good."""
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
        if told.accepted:
            self._front.sighted.proved(self.asked)
        if told.delay:
            self._timer = asyncio.get_running_loop().call_later(told.delay, self.tell, told)
        else:
            self.tell(told)

    def tell(self, told: Told) -> None:
        """End with an answer of ours."""
        if self.state is State.ENDED:
            return
        self._front.requests.inc(self.asked.query.command, told.outcome)
        self._end()
        self._client.answer(told.answer)

    def _send_back(self, outcome: str) -> None:
        """Nothing has changed: ask again."""
        self.leave_upstream()
        self.tell(Told(refusals.drained(self.asked.query.command, self.asked.version), outcome))

    # --- the end

    def break_off(self, outcome: str) -> None:
        """End with the connection, in the middle of an answer."""
        self._front.requests.inc(self.asked.query.command, outcome)
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
            self._front.requests.inc(self.asked.query.command, "client_gone")
            self._end()

    def superseded(self) -> None:
        """The same phone has begun another Ping: it has given this one up."""
        self.break_off("superseded")

    def out_of_time(self) -> None:
        """The connection's deadline has passed."""
        if self.parked:
            self._send_back("expired")
        elif self.state in (State.HELD, State.FORWARDED) and self._body_complete:
            self.tell(self._front.refusing.deferred("upstream_silent"))
        else:
            self.break_off("out_of_time")

    def drain(self) -> None:
        """The gateway stops: a phone that merely waits is sent straight back; an answer may be just on its way."""
        if not self.parked:
            return
        waited = self._front.settings.parked_seconds - (self.deadline - self._front.clock())
        if waited < PROMPT_SECONDS:
            asyncio.get_running_loop().call_later(max(0.01, PROMPT_SECONDS - waited), self.drain)
        else:
            self._send_back("drained")
