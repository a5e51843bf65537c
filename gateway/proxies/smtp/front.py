"""The SMTP front: listeners, limits, drain, and what all its sessions share. One object per worker."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.accepting import Acceptor, TlsAcceptor
from gateway.network.proxied import Balancers, ProxiedAcceptor
from gateway.network.tls import ServerTls, TlsUnusable
from gateway.network.upstream import UpstreamUnavailable
from gateway.observability.metrics import Metrics
from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.extensions import UNKNOWN, Extensions
from gateway.protocols.smtp.forwarded_client import Client
from gateway.proxies.admission import Admission, Room
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.proved import Proved
from gateway.proxies.smtp.connection import Seat
from gateway.proxies.smtp.front_settings import SmtpFrontSettings
from gateway.proxies.smtp.logins import Logins
from gateway.proxies.smtp.memory import Memory
from gateway.proxies.smtp.session import Session
from gateway.proxies.smtp.upstream import Leg, MailServer

log = structlog.get_logger()

PROBE_SECONDS = 2.0
"""Start, and a client that asks what is offered, wait no longer for the mail server."""
PROBE_EVERY_SECONDS = 5.0
"""While it is away."""
SWEEP_SECONDS = 1.0
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
        self.refusals = RefusalLog(self.pace)
        self.credentials = DeviceCredentials(decision, metrics)
        attempts = Attempts(now) if attempts is None else attempts
        self.logins = Logins(rules, attempts, Proved(now), self.credentials, self._open_leg)
        self.logged_in = metrics.counter(
            "gatepost_mail_logins_total", "Logins by IMAP, POP3 and SMTP, by their end", "protocol", "outcome"
        )
        self.sessions = metrics.counter(
            "gatepost_mail_sessions_total", "Sessions of IMAP, POP3 and SMTP, by their end", "protocol", "how"
        )
        self.ended_early = metrics.counter(
            "gatepost_mail_ended_before_login_total", "Connections that we ended before a login", "protocol", "reason"
        )
        self.messages = metrics.counter("gatepost_smtp_messages_total", "Messages submitted, by their end", "outcome")
        room = Room(settings.max_connections, settings.max_connections_per_address)
        self.balancers = Balancers(settings.trusted_proxies)
        self.admission: Admission[Seat] = Admission(
            *(room, metrics, lambda: refusals.TOO_MANY_CONNECTIONS + b"\r\n"),
            *(self._ticks, self.balancers.__contains__),
        )
        self._headers_refused = metrics.counter(
            "gatepost_proxy_headers_refused_total", "Connections of balancers without a PROXY header", "reason"
        )
        self._sessions_of: Counter[str] = Counter()
        self._extensions: Extensions | None = None
        self._kept: set[asyncio.Task[Any]] = set()
        self._servers: list[asyncio.Server | Acceptor] = []
        self._tls: list[ServerTls] = []
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = 0.0
        self._sweeper: asyncio.Task[None] | None = None

    # --- life

    async def start(self) -> None:
        """Ask the mail server what it can do. Never fails for one that is away."""
        self._sweeper = asyncio.create_task(self._sweep())
        await asyncio.wait([self._probe()], timeout=PROBE_SECONDS)

    def _probe(self) -> "asyncio.Task[None]":
        if self._probing is None or self._probing.done():
            self._probed_at = self.clock()
            self._probing = asyncio.create_task(self._ask())
        return self._probing

    async def _ask(self) -> None:
        was_away = not self.server.reached
        try:
            leg = await self._open_leg(None)
        except UpstreamUnavailable as error:
            if not was_away:
                log.warning("upstream_unavailable", reason=str(error))
            return
        if was_away:
            log.info("upstream_back", upstream=self.server.url)
        await leg.quit()

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket. ``secure``: TLS comes first; else STARTTLS is offered where there is ``tls``."""
        if tls is not None and tls not in self._tls:
            self._tls.append(tls)
        if self.balancers:
            proxied = ProxiedAcceptor(
                sock,
                tls if secure else None,
                lambda header: Session(self, None if secure else tls, secure=secure, header=header),
                self.admission,
                self.settings.tls_handshake_seconds,
                self.balancers,
                self._refuse_header,
            )
            proxied.start()
            self._servers.append(proxied)
            return
        if secure:
            assert tls is not None
            acceptor = TlsAcceptor(
                *(sock, tls, lambda: Session(self, None, secure=True)),
                *(self.admission, self.settings.tls_handshake_seconds),
            )
            acceptor.start()
            self._servers.append(acceptor)
            return
        server = await asyncio.get_running_loop().create_server(
            lambda: Session(self, tls, secure=False), sock=sock, backlog=4096
        )
        self._servers.append(server)

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        for tls in self._tls:
            try:
                tls.reload()
                log.info("certificate_reloaded")
            except TlsUnusable as error:
                log.error("certificate_not_reloaded", reason=str(error))

    async def drain(self, within_seconds: float, *, handed_over: bool = False) -> None:
        """Accept no more, end each session between two commands, let messages come to their end, then close.

        ``handed_over``: others accept on the same sockets already, so whoever has come has some seconds for a message.
        """
        for server in self._servers:
            if isinstance(server, Acceptor):
                server.accept_no_more()
            else:
                server.close()
        # What the loop has accepted already becomes known.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        began = self.clock()
        while (self._busy or self.admission.handshakes) and self.clock() < began + within_seconds:
            patient = handed_over and self.clock() < began + HANDED_OVER_SECONDS
            for seat in tuple(self.admission.connections):
                if not patient or self._rests(seat):
                    seat.connection.end_with(refusals.DRAINED, "drained")
            await asyncio.sleep(min(LOOK_SECONDS, within_seconds / 4))
        until = self.clock() + LAST_WORDS_SECONDS
        for seat in tuple(self.admission.connections):
            while not seat.connection.gone and self.clock() < until:  # noqa: ASYNC110  (one moment, at the end only)
                await asyncio.sleep(LOOK_SECONDS / 5)
        await self.close()

    def _rests(self, seat: Seat) -> bool:
        return seat.connection.waiting and self.clock() - seat.connection.waiting_since >= QUIET_SECONDS

    @property
    def _busy(self) -> bool:
        return bool(self._kept) or any(not seat.connection.closing for seat in self.admission.connections)

    async def close(self) -> None:
        """Close everything at once; may be called again."""
        for server in self._servers:
            server.close()
        for seat in tuple(self.admission.connections):
            seat.abort()
        self.admission.close()
        tasks = [task for task in (self._sweeper, self._probing, *self._kept) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.admission.sweep(self.clock())
            if not self.server.reached and self.clock() - self._probed_at >= PROBE_EVERY_SECONDS:
                # Nobody else may ask it, and health should know when it is back.
                self._probe()

    def status(self) -> dict[str, object]:
        """For the operator."""
        return {
            "connections": len(self.admission.connections),
            "sessions": sum(self._sessions_of.values()),
            "upstreams": [{"url": self.server.url, "healthy": self.server.reached}],
        }

    # --- for the sessions

    def _refuse_header(self, address: str, reason: str) -> None:
        self._headers_refused.inc(reason)
        log.warning("proxy_header_refused", part="smtp", balancer=address, reason=reason)

    def certificate_of(self, transport: asyncio.BaseTransport) -> CertificateShown | None:
        """What a client has shown within TLS."""
        return None if self._certificates is None else self._certificates.of(transport)

    def _ticks(self) -> float:
        """The clock as it is set now."""
        return self.clock()

    async def extensions(self) -> Extensions:
        """What the mail server can do, as it said the last time."""
        if self._extensions is None:
            await asyncio.wait([self._probe()], timeout=PROBE_SECONDS)
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

    def one_more_of(self, login: str) -> int:
        """A session of a user begins; how many there are now."""
        self._sessions_of[login] += 1
        return self._sessions_of[login]

    def one_less_of(self, login: str) -> None:
        """A session of a user has ended."""
        self._sessions_of[login] -= 1
        if self._sessions_of[login] <= 0:
            del self._sessions_of[login]

    def leave(self, seat: Seat) -> None:
        """A connection is gone."""
        self.admission.leave(seat)
        connection = seat.connection
        if connection.session is not None and connection.session.authenticated:
            self.sessions.inc("smtp", connection.how)
        elif connection.how != "client_gone":
            self.ended_early.inc("smtp", connection.how)
