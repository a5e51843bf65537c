"""One ActiveSync request through the gateway: judge, forward, judge again, pass on or cut.

The exchange is registered as a live session before it is judged, with no await between; it is judged once more when the
mail server's answer begins, and whenever the verdict turns. Up to the first octet of the answer it is refused in the
phone's own words; after that the connection is cut. A refusal is told only to credentials that the mail server accepts.
"""

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

import structlog

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.network.upstream import UpstreamConnection, UpstreamPool, UpstreamUnavailable
from gateway.protocols.activesync import device_information, refusals
from gateway.protocols.activesync.commands import PARKING, WITH_EFFECT, Command
from gateway.protocols.activesync.headers import to_client
from gateway.protocols.activesync.root import NEED_MORE, body_agrees
from gateway.protocols.answer import Answer
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import request_head, response_head
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.credential_check import CheckResult, Credibility
from gateway.proxies.identify import Asked, identify
from gateway.proxies.simple import unauthorized

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

log = structlog.get_logger()

HELD_MOST = 64 << 10
"""Octets of a body held while nothing may be forwarded yet."""
FINISHING_MOST = 64 << 10
"""Octets of the small answer that a command with an effect still gets after the verdict turned."""
_TARGET = b"/Microsoft-Server-ActiveSync"
_TELLING = frozenset((Command.SETTINGS, Command.PROVISION))
"""Commands in which a phone says what it is ([MS-ASCMD] 2.2.3.45)."""


class State(Enum):
    """Where an exchange stands."""

    HELD = auto()
    """Not forwarded: the verdict, the body's first octets or a connection is missing."""
    FORWARDED = auto()
    """At the mail server; no octet of the answer has reached the client."""
    RESPONDING = auto()
    REFUSING = auto()
    ENDED = auto()


class EasExchange:
    """Answers one ActiveSync request."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_body",
        "_body_complete",
        "_client",
        "_finishing",
        "_front",
        "_head",
        "_host",
        "_out",
        "_pending",
        "_rechunk",
        "_sized",
        "_task",
        "_timer",
        "_upstream",
        "_verdict",
        "state",
    )

    def __init__(self, front: "HttpFront", client: ClientConnection, head: RequestHead) -> None:
        self._front = front
        self._client = client
        self._head: RequestHead | None = head
        self._host = head.named[b"host"]
        self._asked: Asked
        self._verdict: Verdict | None = None
        self._body = b""
        self._body_complete = False
        self._upstream: UpstreamConnection | None = None
        self._out = b""
        """The answer's head, until it leaves together with the first octets of the body."""
        self._rechunk = False
        self._finishing = 0
        """Octets that may still pass although the verdict turned; 0: it did not turn."""
        self._sized = 0
        self._pending: list[ResponseHead | bytes | None] | None = None
        """The answer as far as it has come while its verdict is being loaded; None within it: its end."""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.state = State.HELD

    @property
    def request(self) -> AccessRequest:
        """What is judged (``LiveSession``)."""
        assert self._asked.request is not None
        return self._asked.request

    @property
    def _judged(self) -> bool:
        return self._asked.request is not None

    @property
    def parked(self) -> bool:
        """Whether it waits at the mail server."""
        return self.state is State.FORWARDED and self._body_complete and self._asked.query.command in PARKING

    # --- the client's side

    def begin(self) -> None:
        """Identify and judge."""
        head = self._head
        assert head is not None
        asked = identify(head, self._front.client_address(self._client, head), self._front.rules)
        if isinstance(asked, Answer):
            self._front.requests.inc("", "malformed" if asked.status != 401 else "unauthenticated")
            self.state = State.ENDED
            self._client.answer(asked)
            return
        self._asked = asked
        if asked.request is None:
            return
        if asked.query.command is Command.PING:
            self._front.supersede(asked.request)
        decision = self._front.decision
        decision.sessions.add(self)
        verdict = decision.judge(asked.request)
        if len(decision.sessions.of(asked.request.login)) > self._front.settings.sessions_per_user:
            self._answer(refusals.defer(self._front.settings.retry_after_seconds), "too_many_sessions")
        elif verdict is None:
            self._task = asyncio.create_task(self._judge_loading())
        else:
            self._verdict = verdict

    async def _judge_loading(self) -> None:
        verdict = await self._front.decision.judge_loading(self.request)
        self._forget_task()
        # A verdict that turned meanwhile is newer than this one.
        if self.state is State.HELD and self._verdict is None:
            self._verdict = verdict
            self._proceed()

    def body(self, octets: bytes, *, last: bool) -> None:
        """Hold or forward a piece of the body."""
        self._body_complete = last
        if self.state is State.HELD:
            self._body += octets
            if len(self._body) > HELD_MOST:
                self._client.pause()
            self._proceed()
        elif self._upstream is not None and self.state in (State.FORWARDED, State.RESPONDING):
            self._upstream.write(self._framed(octets, last=last), complete=last)
            if last:
                self._await_answer()

    def _framed(self, octets: bytes, *, last: bool) -> bytes:
        if not self._rechunk:
            return octets
        return (chunk(octets) if octets else b"") + (LAST_CHUNK if last else b"")

    def _proceed(self) -> None:
        """Forward or refuse as soon as all that it takes is known."""
        if self.state is not State.HELD or self._task is not None:
            return
        if self._judged:
            if self._verdict is None:
                return
            if self._verdict.effect is not Effect.ALLOW:
                self._refuse(self._verdict)
                return
        query = self._asked.query
        agrees = body_agrees(query.command, self._asked.version, self._body, complete=self._body_complete)
        if agrees is NEED_MORE:
            return
        if agrees is False:
            self._answer(refusals.mismatch(), "mismatch")
            return
        pool = self._front.upstreams.of(self._asked.request.login if self._asked.request else "")
        connection = pool.take()
        if connection is None:
            self._task = asyncio.create_task(self._connect(pool))
        else:
            self._send(connection)

    async def _connect(self, pool: UpstreamPool) -> None:
        try:
            connection = await pool.connect()
        except UpstreamUnavailable as error:
            log.warning("upstream_unavailable", reason=str(error))
            if self.state is State.HELD:
                self._answer(refusals.defer(self._front.settings.retry_after_seconds), "upstream_unavailable")
            return
        finally:
            self._forget_task()
        if self.state is State.HELD:
            self._send(connection)
        else:
            pool.put_back(connection)

    def _forget_task(self) -> None:
        """The task that calls this is through; another may have taken its place."""
        if self._task is asyncio.current_task():
            self._task = None

    def _send(self, connection: UpstreamConnection) -> None:
        head, self._head = self._head, None
        assert head is not None
        query = self._asked.query
        # Chunks are written anew unless the whole body is here already.
        self._rechunk = head.chunked and not self._body_complete
        if self._rechunk:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif head.chunked:
            framing = b"Content-Length: %d\r\n" % len(self._body)
        else:
            framing = b"" if head.method == b"OPTIONS" else b"Content-Length: %d\r\n" % head.content_length
        fields = [*self._asked.fields, (b"X-Forwarded-For", self._front.client_address(self._client, head).encode())]
        target = _TARGET if head.query is None else _TARGET + b"?" + query.render()
        octets = request_head(head.method, target, self._host, fields, framing)
        self.state = State.FORWARDED
        self._upstream = connection
        body, self._body = self._body, b""
        if query.command in _TELLING and self._body_complete and len(body) <= HELD_MOST:
            self._body = body
        connection.begin(
            self, head.method, octets + self._framed(body, last=self._body_complete), complete=self._body_complete
        )
        self._asked = self._asked._replace(fields=[])
        self._client.resume()
        if self._body_complete:
            self._await_answer()

    def _await_answer(self) -> None:
        settings = self._front.settings
        if self._asked.query.command not in PARKING:
            self._client.wait_at_most(settings.upstream_response_seconds)
            return
        self._client.wait_at_most(settings.parked_seconds)
        self._watch_the_time()

    def _watch_the_time(self) -> None:
        """A parked session is judged again when its verdict may change by itself."""
        if self._verdict is None:
            return
        left = self._verdict.valid_until - self._front.now()
        if left < self._front.settings.parked_seconds:
            self._timer = asyncio.get_running_loop().call_later(max(0.01, left), self._judge_again)

    def _judge_again(self) -> None:
        self._timer = None
        verdict = self._front.decision.judge(self.request)
        if verdict is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self._judge_again)
            self._front.decision.changed(self.request.login, 0)
        elif verdict.effect is not Effect.ALLOW:
            self.verdict_turned(verdict)
        else:
            self._verdict = verdict
            self._watch_the_time()

    # --- the verdict turns

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer (``LiveSession``)."""
        command = self._asked.query.command
        if self.state is State.HELD:
            self._verdict = verdict
            self._refuse(verdict)
        elif self.state is State.RESPONDING and not self._finishing:
            self._front.requests.inc(command.value, "cut_short")
            self._log("cut", verdict)
            self._end()
            self._client.abort()
        elif self.state is State.FORWARDED and command in WITH_EFFECT and self._body_complete:
            # It is happening already. Without its answer the phone would do it once more.
            self._finishing = FINISHING_MOST
        elif self.parked and verdict.effect is Effect.DENY:
            self._cut(verdict)
        elif self.state is State.FORWARDED:
            self._leave_upstream()
            self._refuse(verdict)

    def _cut(self, verdict: Verdict) -> None:
        """End a request that waits: first the leg to the mail server, then the word to the phone."""
        self.state = State.REFUSING
        self._front.decision.sessions.discard(self)
        self._log("cut", verdict)
        answer = refusals.cut(self._asked.query.command, self._asked.version)
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        upstream.abort(after=lambda: self._answer(answer, "cut"))

    def _leave_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    # --- refusing

    def _refuse(self, verdict: Verdict) -> None:
        self.state = State.REFUSING
        self._front.decision.sessions.discard(self)
        self._body = b""
        self._client.resume()
        if verdict.effect is Effect.DEFER:
            self._answer(refusals.defer(self._front.settings.retry_after_seconds), "deferred")
            return
        credentials = self._asked.credentials
        assert credentials is not None
        known = self._front.checks.known(self.request.login, credentials)
        if known is None:
            self._task = asyncio.create_task(self._check_then_tell(verdict))
        else:
            self._tell(verdict, known)

    async def _check_then_tell(self, verdict: Verdict) -> None:
        assert self._asked.credentials is not None
        result = await self._front.checks.check(self.request.login, self._asked.credentials, self._host)
        self._forget_task()
        if self.state is State.REFUSING:
            self._tell(verdict, result)

    def _tell(self, verdict: Verdict, result: CheckResult) -> None:
        if result.credibility is Credibility.REJECTED:
            self._answer(unauthorized(result.challenges), "unauthenticated")
            return
        if result.credibility is Credibility.UNKNOWN:
            self._answer(refusals.defer(self._front.settings.retry_after_seconds), "deferred")
            return
        self._sight()
        self._log("refused", verdict)
        refusal = refusals.deny(self._asked.query.command, self._asked.version)
        delay = self._front.pace.delay(self.request.login, self.request.device_id)
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._answer, refusal, "refused")
        else:
            self._answer(refusal, "refused")

    def _log(self, event: str, verdict: Verdict) -> None:
        request = self.request
        count = self._front.pace.lines_due(request.login, request.device_id, f"{event}:{verdict.reason.value}")
        if count:
            log.info(
                event,
                login=request.login,
                device=request.device_id,
                command=request.action,
                reason=verdict.reason.value,
                ban=verdict.ban,
                app=verdict.app.id if verdict.app else "",
                policy_version=verdict.policy_version,
                client=request.client_address,
                times=count,
            )

    # --- the mail server's side

    def response_began(self, head: ResponseHead) -> None:
        """The answer begins: judge once more before any of it is passed on."""
        if not self._judged or self._finishing:
            self._begin_answer(head)
            return
        verdict = self._front.decision.judge(self.request)
        if verdict is None:
            assert self._upstream is not None
            self._pending = [head]
            self._upstream.pause()
            self._task = asyncio.create_task(self._judge_answer())
        elif verdict.effect is Effect.ALLOW:
            self._begin_answer(head)
        else:
            self.verdict_turned(verdict)
            if self._finishing:
                self._begin_answer(head)

    async def _judge_answer(self) -> None:
        verdict = await self._front.decision.judge_loading(self.request)
        self._forget_task()
        if self.state is not State.FORWARDED:
            return
        pending, self._pending = self._pending or [], None
        if verdict.effect is not Effect.ALLOW:
            self.verdict_turned(verdict)
            if not self._finishing:
                return
        if self._upstream is not None:
            self._upstream.resume()
        for piece in pending:
            if isinstance(piece, ResponseHead):
                self._begin_answer(piece)
            elif piece is None:
                self.response_ended()
            else:
                self.response_data(piece)

    def _begin_answer(self, head: ResponseHead) -> None:
        if self._asked.credentials is None and head.status < 400:
            # Nobody in particular is asking: nothing that could be mail is passed on.
            self._leave_upstream()
            self._answer(refusals.not_authenticated("mail"), "unauthenticated")
            return
        client = self._client
        fields = to_client(head.fields, self._front.settings.public_url)
        if head.status == 401 and not any(name.lower() == b"www-authenticate" for name, _ in fields):
            fields.append((b"WWW-Authenticate", b'Basic realm="mail", charset="UTF-8"'))
        if head.status < 300 or head.status == 449:
            self._sight()
        self._rechunk = head.content_length is None
        if head.chunked or head.content_length is None:
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            framing = b"" if head.status in (204, 304) else b"Content-Length: %d\r\n" % head.content_length
        if not client.keep_alive or self._front.draining:
            client.keep_alive = False
            framing += b"Connection: close\r\n"
        self._out = response_head(head.status, head.reason, fields, framing)

    def response_data(self, octets: bytes) -> None:
        """Pass on a piece of the answer."""
        if self._pending is not None:
            self._pending.append(octets)
            return
        if self._finishing:
            self._sized += len(octets)
            if self._sized > self._finishing:
                self._end()
                self._client.abort()
                return
        piece = chunk(octets) if self._rechunk else octets
        if self._out:
            piece, self._out = self._out + piece, b""
            self.state = State.RESPONDING
            self._client.deadline = float("inf")
        self._client.write(piece)

    def response_ended(self) -> None:
        """The answer is whole."""
        if self._pending is not None:
            self._pending.append(None)
            return
        if self.state is not State.FORWARDED and self.state is not State.RESPONDING:
            return
        self._upstream = None
        tail = self._out + (LAST_CHUNK if self._rechunk else b"")
        if tail:
            self._client.write(tail)
        self._front.requests.inc(self._asked.query.command.value, "forwarded")
        self._end()
        self._client.answered()

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole. The request is not sent again: it may have had its effect."""
        self._upstream = None
        log.warning("upstream_lost", reason=reason, command=self._asked.query.command.value)
        if self.state is State.FORWARDED:
            self._answer(refusals.defer(self._front.settings.retry_after_seconds), "upstream_lost")
        elif self.state is State.RESPONDING:
            self._end()
            self._client.abort()

    def upstream_writable(self, *, writable: bool) -> None:
        """Read from the client no faster than the mail server takes it."""
        if writable:
            self._client.resume()
        else:
            self._client.pause()

    def client_writable(self, *, writable: bool) -> None:
        """Read from the mail server no faster than the client takes it."""
        if self._upstream is not None:
            if writable:
                self._upstream.resume()
            else:
                self._upstream.pause()

    # --- the end

    def _sight(self) -> None:
        """Note the device: the mail server has accepted its user's credentials."""
        asked = self._asked
        if asked.request is None or asked.credentials is None:
            return
        self._front.checks.accepted(asked.request.login, asked.credentials)
        told = device_information.read(self._body) if self._body else None
        self._front.sight(asked, told)
        self._body = b""

    def _answer(self, answer: Answer, outcome: str) -> None:
        """End with an answer of ours."""
        if self.state is State.ENDED:
            return
        self._front.requests.inc(self._asked.query.command.value, outcome)
        self._end()
        self._client.answer(answer)

    def _end(self) -> None:
        if self._judged:
            self._front.decision.sessions.discard(self)
        self.state = State.ENDED
        self._leave_upstream()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        if self.state is not State.ENDED:
            self._end()

    def superseded(self) -> None:
        """The same phone has begun another Ping: it has given this one up."""
        self._end()
        self._client.abort()

    def out_of_time(self) -> None:
        """The connection's deadline has passed."""
        if self.parked:
            self._leave_upstream()
            self._answer(refusals.drained(self._asked.query.command, self._asked.version), "expired")
        elif self.state in (State.HELD, State.FORWARDED) and self._body_complete:
            self._leave_upstream()
            self._answer(refusals.defer(self._front.settings.retry_after_seconds), "upstream_silent")
        else:
            self._end()
            self._client.abort()

    def drain(self) -> None:
        """The gateway stops: a phone that merely waits is sent straight back."""
        if self.parked:
            self._leave_upstream()
            self._answer(refusals.drained(self._asked.query.command, self._asked.version), "drained")
