"""A mail front: limits, deadlines, drain, and what all its connections share. One object per protocol and worker.

It accepts by the network kit's own TLS, or without TLS for STARTTLS, and ends what takes too long. What is said in the
protocol comes from its ``Spoken``.
"""

import asyncio
import socket
import time
from collections.abc import Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.listening import Listening
from gateway.network.proxied import Balancers
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.ports.marks import Marks
from gateway.protocols.login import offer_of
from gateway.proxies.admission import Admission, Room
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.login_sessions import LoginSessions
from gateway.proxies.mail.client_connection import ClientConnection
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.mail.seen_accounts import SeenAccounts
from gateway.proxies.mail.spoken import ClientDialogue, Spoken
from gateway.proxies.mail.upstream import MailServer
from gateway.proxies.proved import Proved
from gateway.proxies.upstream_watch import UpstreamWatch

log = structlog.get_logger()

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
        self.refusals = RefusalLog(self.pace, decision.effects, decision.afterwards)
        self.credentials = DeviceCredentials(decision, metrics)
        self.shows_notices = settings.refusal == "notice" and spoken.notice is not None
        self.accounts = SeenAccounts(marks, now)
        self.balancers = Balancers(settings.trusted_proxies)
        self.sessions = LoginSessions(metrics, spoken.protocol.value)
        self.admission: Admission[ClientConnection] = Admission(
            Room(settings.max_connections, settings.max_connections_per_address),
            metrics,
            lambda: spoken.last_words.too_many,
            self._ticks,
            self.balancers.__contains__,
        )
        self._listening = Listening(self.admission, settings.tls_handshake_seconds, self.sweep)
        self._watch = UpstreamWatch(self.server, self.server.probe, self._ticks)
        self._warned = False

    # --- life

    async def start(self) -> None:
        """Ask the mail server what it can do. Never fails for one that is away."""
        self._listening.start()
        await self._watch.ask()

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket. ``secure``: TLS comes first; else STARTTLS is offered where there is ``tls``."""
        assert tls is not None or not secure
        if not secure:
            self.tls = tls
            if tls is not None:
                self._listening.show(tls)
        await self._listening.serve_for_balancers(
            *(sock, lambda header: ClientConnection(self, secure=secure, header=header), tls if secure else None),
            *(self.balancers, self.sessions.refuse_header),
        )

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        self._listening.reload_tls()

    async def drain(self, within_seconds: float, *, handed_over: bool = False) -> None:
        """Accept no more, end sessions as they come to rest, then those that are left, and close.

        ``handed_over``: others accept on the same sockets already; who has just come may still log in.
        """
        self.draining = True
        await self._listening.accept_no_more()
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
        await self.admission.emptied(LAST_WORDS_SECONDS)
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
        """Close everything at once; may be called again."""
        await self._watch.close()
        await self._listening.close()
        self.admission.close()
        await self.accounts.close()
        await asyncio.sleep(0)

    def sweep(self) -> None:
        """End what has taken too long, and look whether a mail server that was away is back."""
        now = self.clock()
        for connection in tuple(self.admission.connections):
            connection.sweep(now)
        self.admission.sweep(now)
        self._watch.look()

    def status(self) -> dict[str, object]:
        """For the operator."""
        return {
            "connections": len(self.admission.connections),
            "sessions": self.sessions.count,
            "upstreams": [{"url": self.server.url, "healthy": self.server.reached}],
        }

    # --- for the connections

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
        return self.spoken.dialogue(
            offer_of(mechanisms, self.tls is not None and not within_tls, self.server.literals_unasked)
        )

    def leave(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self.admission.leave(connection)

    def is_watchable(self, capabilities: frozenset[bytes]) -> bool:
        """Whether a mail server that can do this may be used.

        Where it should not be able to that is told: once if it is used all the same, else for each login that it costs.
        """
        found = capabilities & self.spoken.unwatchable
        used = b"UNAUTHENTICATE" not in found or self.settings.allow_unauthenticate
        if found and not (used and self._warned):
            self._warned = self._warned or used
            names = " ".join(sorted(each.decode("ascii", "replace") for each in found))
            log.warning("mail_server_unwatchable", upstream=self.server.url, capabilities=names, used=used)
        return used
