"""A mail front: listeners, limits, and what all its connections share. One object per protocol and worker.

It accepts by the network kit's own TLS, or without TLS for STARTTLS, and ends what takes too long. What is said in the
protocol comes from its ``Spoken``.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

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
from gateway.ports.marks import Marks
from gateway.protocols.login import offer_of
from gateway.proxies.admission import Admission, Room
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.mail.client_connection import ClientConnection
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.mail.seen_accounts import SeenAccounts
from gateway.proxies.mail.spoken import ClientDialogue, Spoken
from gateway.proxies.mail.upstream import MailServer
from gateway.proxies.proved import Proved

log = structlog.get_logger()

SWEEP_SECONDS = 1.0
PROBE_SECONDS = 2.0
"""Start waits no longer for the mail server; what it says later counts just as well."""
PROBE_EVERY_SECONDS = 5.0
"""While it is away."""
DRAINED_AT_ONCE = 200
"""Sessions ended together while draining, so that mail programs do not all come back together."""
LOOK_SECONDS = 0.1
LAST_WORDS_SECONDS = 0.5
"""For what was said last to leave."""
HANDED_OVER_SECONDS = 2.0
"""How long a client that has come may yet log in at a worker whose successor serves already."""


class MailFront:
    """Everything one worker needs to serve mail programs by one protocol."""

    def __init__(
        self,
        spoken: Spoken,
        settings: MailFrontSettings,
        decision: DecisionPoint,
        rules: IdentityRules,
        metrics: Metrics,
        *,
        attempts: Attempts | None = None,
        marks: Marks | None = None,
        certificates: ClientCertificates | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ``TlsUnusable``. ``attempts``: those of other proxies of this process count with ours.

        ``marks``: where the accounts that were let in are known to all workers; ``certificates``: reads those of
        clients.
        """
        self._certificates = certificates
        self.spoken = spoken
        self.settings = settings
        self.decision = decision
        self.rules = rules
        self.now = now
        self.clock = time.monotonic
        self.draining = False
        self.tls: ServerTls | None = None
        """What is shown after STARTTLS; None: there is none."""
        self.server = MailServer(spoken, settings)
        self.attempts = Attempts(now) if attempts is None else attempts
        self.proved = Proved(now)
        self.pace = RefusalPace()
        self.refusals = RefusalLog(self.pace)
        self.credentials = DeviceCredentials(decision, metrics)
        self.shows_notices = settings.refusal == "notice" and spoken.notice is not None
        self.accounts = SeenAccounts(marks, now)
        self.balancers = Balancers(settings.trusted_proxies)
        self.sessions_of: Counter[str] = Counter()
        self.logins = metrics.counter(
            "gatepost_mail_logins_total", "Logins by IMAP, POP3 and SMTP, by their end", "protocol", "outcome"
        )
        self.ended = metrics.counter(
            "gatepost_mail_sessions_total", "Sessions of IMAP, POP3 and SMTP, by their end", "protocol", "how"
        )
        self.ended_early = metrics.counter(
            "gatepost_mail_ended_before_login_total", "Connections that we ended before a login", "protocol", "reason"
        )
        self.admission: Admission[ClientConnection] = Admission(
            Room(settings.max_connections, settings.max_connections_per_address),
            metrics,
            lambda: spoken.last_words.too_many,
            self._ticks,
            self.balancers.__contains__,
        )
        self._headers_refused = metrics.counter(
            "gatepost_proxy_headers_refused_total", "Connections of balancers without a PROXY header", "reason"
        )
        self._warned = False
        self._empty = asyncio.Event()
        self._servers: list[asyncio.Server | Acceptor] = []
        self._tls: list[ServerTls] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = 0.0

    # --- life

    async def start(self) -> None:
        """Ask the mail server what it can do. Never fails for one that is away."""
        self._sweeper = asyncio.create_task(self._sweep())
        self._probing = asyncio.create_task(self._probe())
        await asyncio.wait([self._probing], timeout=PROBE_SECONDS)

    async def _probe(self) -> None:
        self._probed_at = self.clock()
        was_away = not self.server.reached
        try:
            await self.server.probe()
        except UpstreamUnavailable as error:
            if not was_away:
                log.warning("upstream_unavailable", reason=str(error))
            return
        if was_away:
            log.info("upstream_back", upstream=self.server.url)

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket. ``secure``: TLS comes first; else STARTTLS is offered where there is ``tls``."""
        if tls is not None and tls not in self._tls:
            self._tls.append(tls)
        if not secure:
            self.tls = tls
        if self.balancers:
            proxied = ProxiedAcceptor(
                sock,
                tls if secure else None,
                lambda header: ClientConnection(self, secure=secure, header=header),
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
                *(sock, tls, lambda: ClientConnection(self, secure=True)),
                *(self.admission, self.settings.tls_handshake_seconds),
            )
            acceptor.start()
            self._servers.append(acceptor)
            return
        server = await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(self, secure=False), sock=sock, backlog=4096
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
        """Accept no more, end sessions as they come to rest, then those that are left, and close.

        ``handed_over``: others accept on the same sockets already; who has just come may still log in.
        """
        self.draining = True
        for server in self._servers:
            if isinstance(server, Acceptor):
                server.accept_no_more()
            else:
                server.close()
        # What the loop has accepted already becomes known.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        began = self.clock()
        patience = HANDED_OVER_SECONDS if handed_over else 0.0
        while self.admission.connections or self.admission.handshakes:
            waited = self.clock() - began
            if waited >= within_seconds:
                break
            self._drain_some(before_login=waited >= patience)
            await asyncio.sleep(min(LOOK_SECONDS, within_seconds / 4))
        for connection in tuple(self.admission.connections):
            connection.drain(self.clock(), at_once=True)
        if self.admission.connections:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), LAST_WORDS_SECONDS)
        await self.close()

    def _drain_some(self, *, before_login: bool) -> None:
        now, ended = self.clock(), 0
        for connection in tuple(self.admission.connections):
            if connection.session is None and not before_login:
                continue
            connection.drain(now, at_once=False)
            ended += connection.closing
            if ended >= DRAINED_AT_ONCE:
                return

    async def close(self) -> None:
        """Close everything at once."""
        for task in (self._sweeper, self._probing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        for server in self._servers:
            server.close()
        self.admission.close()
        await self.accounts.close()
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """End what has taken too long, and look whether a mail server that was away is back."""
        now = self.clock()
        for connection in tuple(self.admission.connections):
            connection.sweep(now)
        self.admission.sweep(now)
        idle = self._probing is None or self._probing.done()
        if not self.server.reached and idle and now - self._probed_at >= PROBE_EVERY_SECONDS:
            # Nobody else may ask it, and health should know when it is back.
            self._probing = asyncio.create_task(self._probe())

    def status(self) -> dict[str, object]:
        """For the operator."""
        return {
            "connections": len(self.admission.connections),
            "sessions": sum(self.sessions_of.values()),
            "upstreams": [{"url": self.server.url, "healthy": self.server.reached}],
        }

    # --- for the connections

    def _refuse_header(self, address: str, reason: str) -> None:
        self._headers_refused.inc(reason)
        log.warning("proxy_header_refused", part=self.spoken.protocol.value, balancer=address, reason=reason)

    def certificate_of(self, transport: asyncio.BaseTransport) -> CertificateShown | None:
        """What a client has shown within TLS."""
        return None if self._certificates is None else self._certificates.of(transport)

    def _ticks(self) -> float:
        """The clock as it is set now."""
        return self.clock()

    def dialogue(self, *, within_tls: bool) -> ClientDialogue:
        """A new one, that offers what is right in this state of the connection."""
        may_log_in = within_tls or self.settings.cleartext_login
        mechanisms = self.server.mechanisms if may_log_in else ()
        return self.spoken.dialogue(offer_of(mechanisms, self.tls is not None and not within_tls))

    def leave(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self.admission.leave(connection)
        if not self.admission.connections:
            self._empty.set()

    def one_less_of(self, login: str) -> None:
        """A session of a user has ended."""
        self.sessions_of[login] -= 1
        if self.sessions_of[login] <= 0:
            del self.sessions_of[login]

    def is_watchable(self, capabilities: frozenset[bytes]) -> bool:
        """Whether a mail server that can do this may be used; told once where it should not be able to."""
        found = capabilities & self.spoken.unwatchable
        if found and not self._warned:
            self._warned = True
            names = " ".join(sorted(each.decode("ascii", "replace") for each in found))
            log.warning("mail_server_unwatchable", upstream=self.server.url, capabilities=names)
        return b"UNAUTHENTICATE" not in found or self.settings.allow_unauthenticate
