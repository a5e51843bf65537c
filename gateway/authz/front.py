"""External authorization in one worker: listeners, who is let ask, verdicts within their time, and what is counted."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.authz.asker_connection import AskerConnection
from gateway.authz.following import Following
from gateway.authz.inquiry import NOWHERE, Settled, Speech, Whereabouts
from gateway.authz.keys import AskerKeys, KeyUnusable
from gateway.authz.settings import AuthzSettings
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
from gateway.network.attendance import Attendance
from gateway.network.listening import Listening
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics

log = structlog.get_logger()

HANDSHAKE_SECONDS = 5.0
LAST_QUESTION_SECONDS = 1.0
"""How long a kept connection may bring one more question when the worker drains."""


class Connection(Protocol):
    """One of an asker, as the front sees it."""

    peer: str
    """Its address, for the log."""
    deadline: float
    """A moment of the front's clock."""

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        ...

    def deadline_passed(self) -> None:
        """The deadline is over."""
        ...

    def close(self) -> None:
        """Send what is written, then close."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


SpeechMaker = Callable[["AuthzFront", bool], Speech]
"""What is spoken on a new connection; the second argument: whether its asker is known already."""


class AuthzFront:
    """Everything one worker needs to answer askers."""

    def __init__(
        self,
        settings: AuthzSettings,
        keys: AskerKeys,
        decision: DecisionPoint,
        identity: IdentityRules,
        metrics: Metrics,
        *,
        speech: SpeechMaker | None = None,
        tls: ServerTls | None = None,
        vouched: Callable[[bytes], CertificateShown | None] | None = None,
        following: Following | None = None,
    ) -> None:
        """``tls``: what listeners within TLS show, and which certificates they ask for.

        ``speech``: what is spoken; None where ``connection`` says it. ``vouched``: what the certificate of an asker's
        client says, if it is good. ``following``: what goes on after an answer; None: nothing does.
        """
        self.vouched = vouched
        self.settings = settings
        self.keys = keys
        self.rules = identity
        self.clock: Callable[[], float] = time.monotonic
        self.draining = False
        self._speech = speech
        self._tls = tls
        self._following = following
        self._there: Attendance[Connection] = Attendance()
        self.connections = self._there.connections
        self._decision = decision
        self._log = RefusalLog(RefusalPace(), decision.effects, decision.afterwards)
        self._answers = metrics.counter("gatepost_authz_answers_total", "Answers to askers", "asker", "answer")
        self._refused = metrics.counter("gatepost_authz_askers_refused_total", "Askers turned away", "reason")
        self._listening = Listening(self, HANDSHAKE_SECONDS, self.sweep)
        if tls is not None:
            self._listening.show(tls)

    # --- life

    async def start(self) -> None:
        """Begin to look after deadlines, and after those who are let in."""
        self._listening.start()
        if self._following is not None:
            await self._following.start()

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket; ``secure``: within TLS, by the front's own certificates instead of those of phones.

        Whoever reaches a unix socket, or shows a certificate where one is required, has shown by that who it is.
        """
        assert self._tls is not None or not secure
        authentic = sock.family == socket.AF_UNIX or (secure and self.settings.certificates_required)
        await self._listening.serve(sock, lambda: self.connection(authentic=authentic), self._tls if secure else None)

    def connection(self, *, authentic: bool) -> asyncio.Protocol:
        """A new one; ``authentic``: its asker is known already."""
        assert self._speech is not None
        return AskerConnection(self, self._speech(self, authentic))

    def reload_tls(self) -> None:
        """Read keys and certificates again; what cannot be used leaves the old one in place."""
        try:
            self.keys.reload()
            if self.keys:
                log.info("asker_keys_reloaded")
        except KeyUnusable as error:
            log.error("asker_keys_not_reloaded", reason=str(error))
        self._listening.reload_tls()

    async def drain(self, within_seconds: float, *, handed_over: bool) -> None:
        """Accept no more, end each connection with its next answer, and soon those that ask nothing; then close.

        That is also right if others serve already (``handed_over``): an asker is told to connect anew, and does.
        """
        self.draining = True
        if handed_over and self._following is not None:
            await self._following.stop()
        await self._listening.accept_no_more()
        until = self.clock() + within_seconds
        await self._there.emptied(min(within_seconds, LAST_QUESTION_SECONDS))
        for connection in tuple(self.connections):
            if connection.idle:
                connection.close()
        await self._there.emptied(until - self.clock())
        await self.close()

    async def close(self) -> None:
        """Close everything at once; may be called again."""
        await self._listening.close()
        if self._following is not None:
            await self._following.close()
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)

    def sweep(self) -> None:
        """End what has taken too long."""
        now = self.clock()
        for connection in [each for each in self.connections if each.deadline <= now]:
            connection.deadline_passed()
        if self._following is not None:
            self._following.sweep()

    def status(self) -> dict[str, object]:
        """For the operator."""
        followed = {} if self._following is None else self._following.status()
        return {"connections": len(self.connections), **followed}

    # --- connections

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more."""
        if len(self.connections) >= self.settings.max_connections:
            self._refused.inc("too_many")
            return False
        self._there.come(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        self._there.leave(connection)

    def arrived(self, address: str) -> bool:
        """A TLS connection has come (``Door``)."""
        if len(self._there) >= self.settings.max_connections:
            self._refused.inc("too_many")
            return False
        self._there.arrived()
        return True

    def shaken(self, address: str) -> None:
        """Its handshake is over."""
        self._there.shaken()

    def tls_failed(self, reason: str) -> None:
        """It failed: without a certificate that we know, for example."""
        self._refused.inc(f"tls_{reason}")

    # --- answers

    def settled(self, connection: Connection, asker: str, found: Settled[bytes]) -> None:
        """An answer without a verdict is about to be given."""
        self._answers.inc(asker, found.outcome)
        if found.outcome == "not_authentic":
            self._refused.inc("key")
            log.warning("asker_not_authentic", asker=asker, peer=connection.peer)
        elif found.complaint:
            log.warning("asker_misconfigured", asker=asker, peer=connection.peer, reason=found.complaint)

    def judged_at_once(self, asker: str, request: AccessRequest, where: Whereabouts = NOWHERE) -> Verdict | None:
        """The verdict if it is at hand."""
        verdict = self._decision.judge(request)
        if verdict is not None:
            self._note(asker, request, where, verdict)
        return verdict

    async def judged_in_time(self, asker: str, request: AccessRequest, where: Whereabouts = NOWHERE) -> Verdict:
        """The verdict, or within the bound "cannot know now": the asker's own time-out would say something else."""
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                verdict = await self._decision.judge_loading(request)
        except TimeoutError:
            self._answers.inc(asker, "late")
            number = self._decision.policy.version.number
            return Verdict(Effect.DEFER, Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, number)
        self._note(asker, request, where, verdict)
        return verdict

    def _note(self, asker: str, request: AccessRequest, where: Whereabouts, verdict: Verdict) -> None:
        """Nothing is awaited between a verdict and this, so a change of that very moment finds who was let in."""
        self._answers.inc(asker, verdict.effect.name.lower())
        if self._following is not None:
            self._following.answered(asker, request, where, verdict)
        if verdict.effect is Effect.DENY:
            self._log.write_down("refused", request, verdict, asker)
