"""The SMTP front: limits, drain, and what all its sessions share. One object per worker."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.listening import Listening
from gateway.network.proxied import Balancers
from gateway.network.tls import ServerTls
from gateway.network.upstream import UpstreamUnavailable
from gateway.observability.metrics import Metrics
from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.extensions import UNKNOWN, Extensions
from gateway.protocols.smtp.forwarded_client import Client
from gateway.proxies.admission import Admission, Room
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.login_sessions import LoginSessions
from gateway.proxies.proved import Proved
from gateway.proxies.smtp.connection import Seat
from gateway.proxies.smtp.front_settings import SmtpFrontSettings
from gateway.proxies.smtp.logins import Logins
from gateway.proxies.smtp.memory import Memory
from gateway.proxies.smtp.session import Session
from gateway.proxies.smtp.upstream import Leg, MailServer
from gateway.proxies.upstream_watch import UpstreamWatch

LOOK_SECONDS = 0.05
HANDED_OVER_SECONDS = 5.0
"""How long a client that has come may yet begin a message at a worker whose successor serves already."""
QUIET_SECONDS = 1.0
"""A session that has said nothing for so long has nothing on its way."""
LAST_WORDS_SECONDS = 0.5
"""For what was said last to leave."""
T = TypeVar("T")

__all__ = ["SmtpFront", "SmtpFrontSettings"]


class SmtpFront:
    """Everything one worker needs to take submissions."""

    def __init__(
        self,
        settings: SmtpFrontSettings,
        decision: DecisionPoint,
        rules: IdentityRules,
        metrics: Metrics,
        *,
        attempts: Attempts | None = None,
        certificates: ClientCertificates | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ``TlsUnusable``. ``attempts``: those of other proxies of this process count with ours."""
        self._certificates = certificates
        self.settings = settings
        self.decision = decision
        self.now = now
        self.clock = time.monotonic
        self.server = MailServer(settings)
        self.memory = Memory(settings.memory_bytes)
        self.pace = RefusalPace()
        self.refusals = RefusalLog(self.pace, decision.effects, decision.afterwards)
        self.credentials = DeviceCredentials(decision, metrics)
        attempts = Attempts(now) if attempts is None else attempts
        self.logins = Logins(rules, attempts, Proved(now), self.credentials, self._open_leg)
        self.sessions = LoginSessions(metrics, "smtp")
        self.messages = metrics.counter("gatepost_smtp_messages_total", "Messages submitted, by their end", "outcome")
        room = Room(settings.max_connections, settings.max_connections_per_address)
        self.balancers = Balancers(settings.trusted_proxies)
        self.admission: Admission[Seat] = Admission(
            *(room, metrics, lambda: refusals.TOO_MANY_CONNECTIONS + b"\r\n"),
            *(self._ticks, self.balancers.__contains__),
        )
        self._listening = Listening(self.admission, settings.tls_handshake_seconds, self.sweep)
        self._watch = UpstreamWatch(self.server, self._ask, self._ticks)
        self._extensions: Extensions | None = None
        self._kept: set[asyncio.Task[Any]] = set()

    # --- life

    async def start(self) -> None:
        """Ask the mail server what it can do. Never fails for one that is away."""
        self._listening.start()
        await self._watch.ask()

    async def _ask(self) -> None:
        leg = await self._open_leg(None)
        await leg.quit()

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket. ``secure``: TLS comes first; else STARTTLS is offered where there is ``tls``."""
        assert tls is not None or not secure
        if tls is not None:
            self._listening.show(tls)
        starttls = None if secure else tls
        await self._listening.serve_for_balancers(
            *(sock, lambda header: Session(self, starttls, secure=secure, header=header), tls if secure else None),
            *(self.balancers, self.sessions.refuse_header),
        )

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        self._listening.reload_tls()

    async def drain(self, within_seconds: float, *, handed_over: bool = False) -> None:
        """Accept no more, end each session between two commands, let messages come to their end, then close.

        ``handed_over``: others accept on the same sockets already, so whoever has come has some seconds for a message.
        """
        await self._listening.accept_no_more()
        began = self.clock()
        while (self._busy or self.admission.handshakes) and self.clock() < began + within_seconds:
            patient = handed_over and self.clock() < began + HANDED_OVER_SECONDS
            for seat in tuple(self.admission.connections):
                if not patient or self._rests(seat):
                    seat.connection.end_with(refusals.DRAINED, "drained")
            await asyncio.sleep(min(LOOK_SECONDS, within_seconds / 4))
        await self.admission.emptied(LAST_WORDS_SECONDS)
        await self.close()

    def _rests(self, seat: Seat) -> bool:
        return seat.connection.waiting and self.clock() - seat.connection.waiting_since >= QUIET_SECONDS

    @property
    def _busy(self) -> bool:
        return bool(self._kept) or any(not seat.connection.closing for seat in self.admission.connections)

    async def close(self) -> None:
        """Close everything at once; may be called again."""
        await self._watch.close()
        await self._listening.close()
        self.admission.close()
        for task in (kept := tuple(self._kept)):
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        await asyncio.sleep(0)

    def sweep(self) -> None:
        """End what has taken too long, and look whether a mail server that was away is back."""
        self.admission.sweep(self.clock())
        self._watch.look()

    def status(self) -> dict[str, object]:
        """For the operator."""
        return {
            "connections": len(self.admission.connections),
            "sessions": self.sessions.count,
            "upstreams": [{"url": self.server.url, "healthy": self.server.reached}],
        }

    # --- for the sessions

    def certificate_of(self, transport: asyncio.BaseTransport) -> CertificateShown | None:
        """What a client has shown within TLS."""
        return None if self._certificates is None else self._certificates.of(transport)

    def _ticks(self) -> float:
        """The clock as it is set now."""
        return self.clock()

    async def extensions(self) -> Extensions:
        """What the mail server can do, as it said the last time."""
        if self._extensions is None:
            await self._watch.ask()
        return UNKNOWN if self._extensions is None else self._extensions

    async def _open_leg(self, client: Client | None) -> Leg:
        leg = Leg(self.server, self.settings)
        try:
            await leg.open(client)
        except UpstreamUnavailable:
            self.server.reached = False
            raise
        self.server.reached = True
        self._extensions = leg.extensions
        return leg

    def keep(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Do something to its end, whatever becomes of the session that it is for."""
        task = asyncio.get_running_loop().create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def leave(self, seat: Seat) -> None:
        """A connection is gone."""
        self.admission.leave(seat)
        connection = seat.connection
        if connection.session is not None and connection.session.authenticated:
            self.sessions.count_end(connection.how)
        elif connection.how != "client_gone":
            self.sessions.count_early_end(connection.how)
