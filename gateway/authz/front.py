"""External authorization in one worker: listeners, who is let ask, verdicts within their time, and what is counted."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.authz.asker_connection import AskerConnection
from gateway.authz.http_speech import HttpSpeech
from gateway.authz.inquiry import Settled, Speech
from gateway.authz.keys import AskerKeys, KeyUnusable
from gateway.authz.postfix_speech import PostfixSpeech
from gateway.authz.settings import AuthzSettings
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
from gateway.network.accepting import TlsAcceptor
from gateway.network.tls import ServerTls, TlsUnusable
from gateway.observability.metrics import Metrics

log = structlog.get_logger()

SWEEP_SECONDS = 1.0
HANDSHAKE_SECONDS = 5.0
LAST_QUESTION_SECONDS = 1.0
"""How long a kept connection may bring one more question when the worker drains."""
LOOK_SECONDS = 0.05


class AuthzFront:
    """Everything one worker needs to answer askers."""

    def __init__(
        self,
        settings: AuthzSettings,
        keys: AskerKeys,
        decision: DecisionPoint,
        identity: IdentityRules,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.rules = identity
        self.clock: Callable[[], float] = time.monotonic
        self.draining = False
        self.connections: set[AskerConnection] = set()
        self._decision = decision
        self._pace = RefusalPace()
        self._answers = metrics.counter("gatepost_authz_answers_total", "Answers to askers", "asker", "answer")
        self._refused = metrics.counter("gatepost_authz_askers_refused_total", "Askers turned away", "reason")
        self._empty = asyncio.Event()
        self._handshakes = 0
        self._servers: list[asyncio.Server | TlsAcceptor] = []
        self._tls: list[ServerTls] = []
        self._sweeper: asyncio.Task[None] | None = None

    # --- life

    async def start(self) -> None:
        """Begin to look after deadlines."""
        self._sweeper = asyncio.create_task(self._sweep())

    async def listen_http(self, sock: socket.socket, tls: ServerTls | None = None, *, authentic: bool = False) -> None:
        """Answer HTTP askers on a bound socket; ``authentic``: whoever reaches it has shown by that who it is."""
        await self._listen(sock, tls, lambda: HttpSpeech(self, authentic=authentic))

    async def listen_postfix(self, sock: socket.socket, *, authentic: bool = False) -> None:
        """The same for Postfix policy delegation."""
        await self._listen(sock, None, lambda: PostfixSpeech(self, authentic=authentic))

    async def _listen(self, sock: socket.socket, tls: ServerTls | None, speech: Callable[[], Speech]) -> None:
        def connection() -> AskerConnection:
            return AskerConnection(self, speech())

        if tls is not None:
            acceptor = TlsAcceptor(sock, tls, connection, self, HANDSHAKE_SECONDS)
            acceptor.start()
            self._servers.append(acceptor)
            self._tls.append(tls)
            return
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            self._servers.append(await loop.create_unix_server(connection, sock=sock, backlog=1024))
        else:
            self._servers.append(await loop.create_server(connection, sock=sock, backlog=1024))

    def reload(self) -> None:
        """Read keys and certificates again; what cannot be used leaves the old one in place."""
        try:
            self.keys.reload()
            if self.keys:
                log.info("asker_keys_reloaded")
        except KeyUnusable as error:
            log.error("asker_keys_not_reloaded", reason=str(error))
        for tls in self._tls:
            try:
                tls.reload()
                log.info("certificate_reloaded")
            except TlsUnusable as error:
                log.error("certificate_not_reloaded", reason=str(error))

    async def drain(self, within_seconds: float) -> None:
        """Accept no more, end each connection with its next answer, and soon those that ask nothing; then close."""
        self.draining = True
        for server in self._servers:
            if isinstance(server, TlsAcceptor):
                server.accept_no_more()
            else:
                server.close()
        # What the loop has accepted already becomes known.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        until = self.clock() + within_seconds
        await self._all_gone(min(until, self.clock() + LAST_QUESTION_SECONDS))
        for connection in tuple(self.connections):
            if connection.idle:
                connection.close()
        await self._all_gone(until)
        await self.close()

    async def _all_gone(self, until: float) -> None:
        """Wait until there is no connection, or until that moment of the front's clock."""
        while self.connections and (left := until - self.clock()) > 0:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), min(left, LOOK_SECONDS))

    async def close(self) -> None:
        """Close everything at once."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """End what has taken too long."""
        now = self.clock()
        for connection in [each for each in self.connections if each.deadline <= now]:
            connection.deadline_passed()

    def status(self) -> dict[str, object]:
        """For the operator."""
        return {"connections": len(self.connections)}

    # --- connections

    def admit(self, connection: AskerConnection) -> bool:
        """Whether there is room for one more."""
        if len(self.connections) >= self.settings.max_connections:
            self._refused.inc("too_many")
            return False
        self.connections.add(connection)
        return True

    def leave(self, connection: AskerConnection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def arrived(self, address: str) -> bool:
        """A TLS connection has come (``Door``)."""
        if len(self.connections) + self._handshakes >= self.settings.max_connections:
            self._refused.inc("too_many")
            return False
        self._handshakes += 1
        return True

    def shaken(self, address: str) -> None:
        """Its handshake is over."""
        self._handshakes -= 1

    def tls_failed(self, reason: str) -> None:
        """It failed: without a certificate that we know, for example."""
        self._refused.inc(f"tls_{reason}")

    # --- answers

    def settled(self, connection: AskerConnection, asker: str, found: Settled[bytes]) -> None:
        """An answer without a verdict is about to be given."""
        self._answers.inc(asker, found.outcome)
        if found.outcome == "not_authentic":
            self._refused.inc("key")
            log.warning("asker_not_authentic", asker=asker, peer=connection.peer)
        elif found.complaint:
            log.warning("asker_misconfigured", asker=asker, peer=connection.peer, reason=found.complaint)

    def judged_at_once(self, asker: str, request: AccessRequest) -> Verdict | None:
        """The verdict if it is at hand."""
        verdict = self._decision.judge(request)
        if verdict is not None:
            self._note(asker, request, verdict)
        return verdict

    async def judged_in_time(self, asker: str, request: AccessRequest) -> Verdict:
        """The verdict, or within the bound "cannot know now": the asker's own time-out would say something else."""
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                verdict = await self._decision.judge_loading(request)
        except TimeoutError:
            self._answers.inc(asker, "late")
            number = self._decision.policy.version.number
            return Verdict(Effect.DEFER, Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, number)
        self._note(asker, request, verdict)
        return verdict

    def _note(self, asker: str, request: AccessRequest, verdict: Verdict) -> None:
        self._answers.inc(asker, verdict.effect.name.lower())
        if verdict.effect is not Effect.DENY:
            return
        key = f"{asker}:{verdict.reason.value}"
        count = self._pace.lines_due(request.login, request.device_id, key)
        if not count:
            return
        log.info(
            "refused",
            asker=asker,
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
