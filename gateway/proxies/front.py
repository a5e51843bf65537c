"""The HTTP front: limits, routing by an allow-list of paths, and what all its exchanges share.

One object per worker. It owns the client connections, the pools to the mail servers, the credential checks, and the
sweep that ends what takes too long.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.live_sessions import LiveSession
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.decision.sightings import SightingLog
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.network.addresses import read_address
from gateway.network.listening import Listening
from gateway.network.rounds import Rounds
from gateway.network.tls import ServerTls, client_context
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstreams import Upstreams
from gateway.observability.metrics import Metrics
from gateway.protocols.activesync import autodiscover, refusals
from gateway.protocols.activesync.requests import Mount, mount_of
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.writing import written
from gateway.proxies.admission import Admission, Room
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.credential_check import CredentialChecks
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.eas_exchange import EasExchange
from gateway.proxies.exchange import Exchange
from gateway.proxies.exchange_state import State
from gateway.proxies.front_settings import HttpFrontSettings
from gateway.proxies.judged_exchange import JudgedExchange
from gateway.proxies.refusing import Refusing
from gateway.proxies.short_way import ShortWay
from gateway.proxies.sighted import Sighted
from gateway.proxies.simple import Answered, AutodiscoverV1
from gateway.proxies.webmail.exposure import credential_questions
from gateway.proxies.webmail.routing import Webmail

log = structlog.get_logger()

PROBE_SECONDS = 2.0
"""Start waits no longer for the mail servers; what they say later counts just as well."""
DRAINED_AT_ONCE = 200
"""Phones sent away together while draining, so that they do not all come back together."""
CLOSED_PATHS_NAMED = 100
"""Besides those of mail servers, for which there is always a name."""
MAIL_PATHS = frozenset(
    f"/{name}"
    for name in (
        *("owa", "ews", "mapi", "oab", "ecp", "rpc", "powershell", "autodiscover", "public", "exchange", "api"),
        *("sogo", "dav", "caldav", "carddav", ".well-known", "jmap", "rest", "graphql", "webmail", "roundcube"),
    )
)
SESSIONS_LOOKED_AT = 500
"""Of one login for one request, beyond those that it may have: strangers open as many as they like under any name."""
IDLE_HANDED_OVER_SECONDS = 2.0
"""How long a kept connection may bring another request to a worker whose successor serves already."""

__all__ = ["HttpFront", "HttpFrontSettings"]


class HttpFront:
    """Everything one worker needs to serve phones over HTTP."""

    def __init__(
        self,
        settings: HttpFrontSettings,
        decision: DecisionPoint,
        identity: IdentityRules,
        sightings: SightingLog,
        metrics: Metrics,
        *,
        attempts: Attempts | None = None,
        certificates: ClientCertificates | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``attempts``: those of other proxies of this process count with ours; ``certificates``: of clients."""
        self.settings = settings
        self.decision = decision
        self.rules = identity
        self.now = now
        self.clock = time.monotonic
        self.draining = False
        self.rounds = Rounds(self._take_arrived)
        self.upstreams = Upstreams([_pool(url, settings, self.rounds) for url in settings.upstreams])
        self.checks = CredentialChecks(self.upstreams, now, attempts, credential_questions(settings.webmail))
        self.certificates = certificates
        pace = RefusalPace()
        self.refusing = Refusing(
            self.checks,
            pace,
            DeviceCredentials(decision, metrics),
            settings.retry_after_seconds,
            RefusalLog(pace, decision.effects, decision.afterwards),
        )
        self.sighted = Sighted(self.checks, sightings)
        self.requests = metrics.counter("gatepost_requests_total", "Requests by their end", "command", "outcome")
        self.bad_requests = metrics.counter("gatepost_bad_requests_total", "Requests not understood", "reason")
        self.bound_logins = metrics.counter(
            "gatepost_bound_logins_total", "Logins bound to a connection by their end", "outcome"
        )
        self._closed_paths = metrics.counter("gatepost_closed_path_total", "Requests for what is not served", "path")
        self._trusted = [ipaddress.ip_network(network) for network in settings.trusted_proxies]
        self.admission: Admission[ClientConnection] = Admission(
            Room(settings.max_connections, settings.max_connections_per_address),
            metrics,
            lambda: written(refusals.defer(settings.retry_after_seconds), close=True),
            self._ticks,
            self._is_trusted,
        )
        self._connections = self.admission.connections
        self.short_way = ShortWay(self)
        self._webmail = Webmail(self, settings.webmail, self._trusted)
        self._arrived: list[ClientConnection] = []
        self._listening = Listening(self.admission, settings.tls_handshake_seconds, self.sweep)
        self._probes: list[asyncio.Task[None]] = []

    # --- life

    async def start(self) -> None:
        """Find out how the mail servers can be asked about credentials. Never fails for one that is away."""
        self._listening.start()
        self._probes = [asyncio.create_task(self._probe(pool)) for pool in self.upstreams.pools]
        if self._probes:
            await asyncio.wait(self._probes, timeout=PROBE_SECONDS)

    async def _probe(self, pool: UpstreamPool) -> None:
        try:
            method = await self.checks.probe(pool, pool.host.encode())
            log.info("credential_check", upstream=pool.url, method=method.value if method else "none")
        except UpstreamUnavailable as error:
            log.warning("upstream_unavailable", reason=str(error))

    async def _look_for(self, pool: UpstreamPool) -> None:
        try:
            pool.put_back(await pool.connect())
            log.info("upstream_back", upstream=pool.url)
        except UpstreamUnavailable:
            # Told when it went.
            return

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool = True) -> None:
        """Serve a bound socket; may be called for several. ``secure``: by TLS, if there is a certificate."""
        within = tls if secure else None
        await self._listening.serve(sock, lambda: ClientConnection(self, secure=within is not None), within)

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        self._listening.reload_tls()

    async def drain(self, within_seconds: float, *, handed_over: bool = False) -> None:
        """Accept no more, send waiting phones back staggered, let the rest finish within the time, then close.

        ``handed_over``: others accept on the same sockets already, so nobody who has come this far may be turned away;
        a phone between two requests is told with its next answer, or is closed when it has none for a while.
        """
        self.draining = True
        await self._listening.accept_no_more()
        until = self.clock() + within_seconds
        await self._each_apart(within_seconds, lambda each: each.drain(keep_idle=handed_over))
        if handed_over:
            await self.admission.emptied(min(until - self.clock(), IDLE_HANDED_OVER_SECONDS))
            await self._each_apart(within_seconds, lambda each: each.close_if_idle())
        await self.admission.emptied(until - self.clock())
        await self.close()

    async def _each_apart(self, within_seconds: float, act: Callable[[ClientConnection], None]) -> None:
        connections = tuple(self._connections)
        pause = min(0.05, within_seconds / 4 / (len(connections) // DRAINED_AT_ONCE + 1))
        for number, connection in enumerate(connections):
            act(connection)
            if number % DRAINED_AT_ONCE == DRAINED_AT_ONCE - 1:
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close everything at once; may be called again."""
        for probe in self._probes:
            probe.cancel()
        await self._listening.close()
        self.admission.close()
        await self.checks.close()
        self.upstreams.close()
        await asyncio.sleep(0)

    def sweep(self) -> None:
        """End what has taken too long."""
        now = self.clock()
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.deadline_passed()
        if self.certificates is not None:
            self._close_ended(self.certificates)
        self.admission.sweep(now)
        self.upstreams.drop_old()
        self._probes = [probe for probe in self._probes if not probe.done()]
        if not self._probes:
            # Nobody else may ask a mail server that was away, and health should know when it is back.
            lost = [pool for pool in self.upstreams.pools if not pool.reached and pool.healthy]
            self._probes = [asyncio.create_task(self._look_for(pool)) for pool in lost]

    def _close_ended(self, certificates: ClientCertificates) -> None:
        """Close connections whose certificate is worth nothing any more."""
        certified = [(each, each.certificate) for each in self._connections if each.certificate is not None]
        for connection, certificate in certified:
            if certificates.has_ended(certificate):
                connection.take_no_more()

    def status(self) -> dict[str, object]:
        """For the operator."""
        exchanges = [each.exchange for each in self._connections if isinstance(each.exchange, JudgedExchange)]
        return {
            "connections": len(self._connections),
            "parked": sum(1 for each in exchanges if isinstance(each, EasExchange) and each.parked),
            "responding": sum(1 for each in exchanges if each.state is State.RESPONDING),
            "upstreams": self.upstreams.status(),
        }

    # --- for the connections

    def certificate_of(self, transport: asyncio.BaseTransport) -> CertificateShown | None:
        """What a client has shown within TLS."""
        return None if self.certificates is None else self.certificates.of(transport)

    def _ticks(self) -> float:
        """The clock as it is set now."""
        return self.clock()

    def leave(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self.admission.leave(connection)

    def arrived(self, connection: ClientConnection) -> None:
        """A connection on which nothing was under way brought something; it is looked at at the end of the round."""
        self._arrived.append(connection)
        self.rounds.enter()

    def _take_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        now, clock = self.now(), self.clock()
        postponed: list[ClientConnection] = []
        for connection in arrived:
            try:
                if connection.take_arrived(now, clock):
                    postponed.append(connection)
            except Exception as error:  # a mistake of ours costs one connection and not the others
                connection.abort()
                context = {"message": "a request could not be begun", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
        # Not before: from here on it is another round.
        for connection in postponed:
            self.arrived(connection)

    def exchange_for(self, client: ClientConnection, head: RequestHead) -> Exchange:
        """Who answers a request: what is not on the allow-list does not exist."""
        mount = mount_of(head.path)
        if mount is Mount.EAS:
            return EasExchange(self, client, head)
        if mount is Mount.AUTODISCOVER_V1 and head.method == b"POST":
            return AutodiscoverV1(self, client, head)
        if mount is Mount.AUTODISCOVER_V2 and head.method == b"GET":
            return Answered(client, self._discovered(head))
        if mount is not None:
            return Answered(client, refusals.unknown_command())
        webmail = self._webmail.exchange_for(client, head)
        if webmail is not None:
            return webmail
        self._count_closed(head.path)
        return Answered(client, refusals.no_such_path())

    def _discovered(self, head: RequestHead) -> Answer:
        try:
            return autodiscover.v2_answer(autodiscover.v2_protocol(head.query or b""), self.public_url(head))
        except InvalidValue as error:
            return refusals.malformed(str(error))

    def _count_closed(self, path: bytes) -> None:
        """By the first element of the path: it tells an operator whom the closed path would hurt."""
        name = "/" + path.lstrip(b"/").split(b"/", 1)[0][:32].decode("latin-1").lower()
        known = name in MAIL_PATHS or (name,) in self._closed_paths.values
        self._closed_paths.inc(name if known or len(self._closed_paths.values) < CLOSED_PATHS_NAMED else "other")

    def public_url(self, head: RequestHead) -> str:
        """Our address as phones know it."""
        return self.settings.public_url or "https://" + head.named[b"host"].decode("ascii")

    def client_address(self, client: ClientConnection, head: RequestHead) -> str:
        """Whose request it is: the peer's address, or what a trusted proxy says."""
        if not self._trusted or not self._is_trusted(client.address):
            return client.address
        lines = [value for name, value in head.fields if name.lower() == b"x-forwarded-for"]
        for address in reversed(b",".join(lines).decode("latin-1").split(",")):
            stated = read_address(address.strip())
            if stated is None:
                break
            if not any(stated in network for network in self._trusted):
                return str(stated)
        return client.address

    def _is_trusted(self, address: str) -> bool:
        parsed = read_address(address)
        return parsed is not None and any(parsed in network for network in self._trusted)

    def over_session_limit(self, begun: JudgedExchange) -> bool:
        """Whether one person has more requests under way than one person's devices make.

        Only those by the same credentials count: somebody without the password must not be able to fill the place.
        """
        there = self._looked_at(begun)
        if len(there) <= self.settings.sessions_per_user:
            return False
        return sum(map(begun.is_by_the_same, there)) > self.settings.sessions_per_user

    def supersede(self, begun: EasExchange) -> None:
        """End the Pings of a phone that has begun another one: the same device, by the same credentials."""
        for session in self._parked_like(begun):
            if session.request.action == begun.request.action:
                session.superseded()

    def one_more_parked(self, parked: EasExchange) -> None:
        """End the oldest waiting request of a device that has too many; its phone is likely to have forgotten it."""
        if len(self._looked_at(parked)) < self.settings.parked_per_device:
            return
        others = [session for session in self._parked_like(parked) if session is not parked]
        if len(others) >= self.settings.parked_per_device:
            min(others, key=lambda session: session.deadline).superseded()

    def _looked_at(self, exchange: JudgedExchange) -> tuple[LiveSession, ...]:
        """Sessions of the same login: all, but in a flood of them."""
        most = SESSIONS_LOOKED_AT + max(self.settings.sessions_per_user, self.settings.parked_per_device)
        return self.decision.sessions.some_of(exchange.request.login, most)

    def _parked_like(self, exchange: EasExchange) -> list[EasExchange]:
        """The waiting requests of the same device by the same credentials."""
        return [
            session
            for session in self._looked_at(exchange)
            if isinstance(session, EasExchange)
            and session.parked
            and session.request.device_id == exchange.request.device_id
            and exchange.is_by_the_same(session)
        ]


def _pool(url: str, settings: HttpFrontSettings, rounds: Rounds) -> UpstreamPool:
    return UpstreamPool(
        url,
        client_context(settings.upstream_ca) if url.startswith("https:") else None,
        connections=settings.upstream_connections,
        connect_seconds=settings.upstream_connect_seconds,
        idle_seconds=settings.upstream_idle_seconds,
        rounds=rounds,
    )
