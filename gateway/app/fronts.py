"""What workers serve: one row for each proxy, and the even life of a worker's fronts.

A row is a section of the settings with ``listen``, and how its front is built. The supervisor binds a socket per worker
for each part (``app.served``); a worker builds the fronts that have one, and starts, drains and closes them together. A
further proxy is one more row here, its name there, its section in the settings, and its default port in
``runtime.sockets``.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.app.asker_cuts import following_of
from gateway.app.front_parts import (
    authz_settings_of,
    front_settings_of,
    mail_front_settings_of,
    smtp_front_settings_of,
)
from gateway.app.parts import asker_keys_of, authz_tls_of, server_tls_of
from gateway.app.served import served_by_one
from gateway.authz.front import AuthzFront, SpeechMaker
from gateway.authz.haproxy_speech import HaproxySpeech
from gateway.authz.http_speech import HttpSpeech
from gateway.authz.postfix_speech import PostfixSpeech
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.sightings import SightingLog
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.ports.marks import Marks
from gateway.proxies.attempts import Attempts
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.front import HttpFront
from gateway.proxies.mail.front import MailFront
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from gateway.proxies.mail.spoken import Spoken
from gateway.runtime.sockets import BoundSocket
from gateway.settings import MailSection, Settings


@dataclass(frozen=True, slots=True)
class Shared:
    """What all fronts of a worker have together."""

    decision: DecisionPoint
    rules: IdentityRules
    sightings: SightingLog
    metrics: Metrics
    attempts: Attempts
    """One bound for all protocols: to a mail server a failed login is one, whichever way it came."""
    now: Callable[[], float]
    marks: Marks | None = None
    """What all workers remember together; None: each by itself."""
    certificates: ClientCertificates | None = None
    """What clients show within TLS; None: they are not asked."""
    first: bool = True
    """Whether this is the first of a machine's workers: some things one of them does."""


class Front(Protocol):
    """One proxy's listeners and connections."""

    async def start(self) -> None:
        """Before the first ``listen``. Never fails for a mail server that is away."""
        ...

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        """Serve a bound socket; ``secure``: TLS comes first. ``tls`` is what is shown; None: nothing, no TLS at all."""
        ...

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        ...

    async def drain(self, within_seconds: float, *, handed_over: bool) -> None:
        """Accept no more, let what is under way finish within the time, then close.

        ``handed_over``: others accept on the same sockets already, so nobody who has come this far may be turned away.
        """
        ...

    async def close(self) -> None:
        """Close everything at once; may be called again."""
        ...

    def status(self) -> dict[str, object]:
        """Figures for the operator; ``upstreams``: a list of mail servers with ``url`` and ``healthy``."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """One row."""

    part: str
    """The section whose ``listen`` it is."""
    alpn: tuple[str, ...]
    """What is agreed on within TLS (RFC 7301, IANA's names); empty: nothing."""
    front: Callable[[Settings, Shared], Front]


def _http(settings: Settings, shared: Shared) -> Front:
    return HttpFront(
        front_settings_of(settings),
        shared.decision,
        shared.rules,
        shared.sightings,
        shared.metrics,
        attempts=shared.attempts,
        certificates=shared.certificates,
        now=shared.now,
    )


def _imap(settings: Settings, shared: Shared) -> Front:
    return _mail(IMAP, settings.imap, shared)


def _pop3(settings: Settings, shared: Shared) -> Front:
    return _mail(POP3, settings.pop3, shared)


def _mail(spoken: Spoken, section: MailSection, shared: Shared) -> Front:
    return MailFront(
        spoken,
        mail_front_settings_of(section),
        shared.decision,
        shared.rules,
        shared.metrics,
        attempts=shared.attempts,
        marks=shared.marks,
        certificates=shared.certificates,
        now=shared.now,
    )


def _smtp(settings: Settings, shared: Shared) -> Front:
    # Here, because a worker without it need not hold aiosmtpd in memory.
    from gateway.proxies.smtp.front import SmtpFront

    return SmtpFront(
        smtp_front_settings_of(settings.smtp),
        shared.decision,
        shared.rules,
        shared.metrics,
        attempts=shared.attempts,
        certificates=shared.certificates,
        now=shared.now,
    )


def _authz(settings: Settings, shared: Shared) -> Front:
    return _asked(settings, shared, "authz", HttpSpeech, authz_tls_of(settings))


def _haproxy(settings: Settings, shared: Shared) -> Front:
    return _asked(settings, shared, "haproxy", HaproxySpeech)


def _postfix(settings: Settings, shared: Shared) -> Front:
    return _asked(settings, shared, "postfix", PostfixSpeech)


def _envoy(settings: Settings, shared: Shared) -> Front:
    # Here, because a worker without it need not hold gRPC in memory, which may not be installed either.
    from gateway.authz.envoy_front import EnvoyFront

    return EnvoyFront(
        authz_settings_of(settings),
        asker_keys_of(settings),
        shared.decision,
        shared.rules,
        shared.metrics,
        tls=authz_tls_of(settings, "envoy", ("h2",)),
        vouched=_vouched(shared),
    )


def _vouched(shared: Shared) -> Callable[[bytes], CertificateShown | None] | None:
    return None if shared.certificates is None else shared.certificates.handed_on


def _asked(settings: Settings, shared: Shared, part: str, speech: SpeechMaker, tls: ServerTls | None = None) -> Front:
    return AuthzFront(
        authz_settings_of(settings),
        asker_keys_of(settings),
        shared.decision,
        shared.rules,
        shared.metrics,
        speech=speech,
        tls=tls,
        vouched=_vouched(shared),
        following=following_of(
            settings, part, shared.decision, shared.rules, shared.metrics, shared.now, adopts=shared.first
        ),
    )


SERVED = (
    Served("http", ("http/1.1",), _http),
    Served("imap", (IMAP.alpn,), _imap),
    Served("pop3", (POP3.alpn,), _pop3),
    # There is no name of it for ALPN (RFC 7301).
    Served("smtp", (), _smtp),
    Served("authz", ("http/1.1",), _authz),
    Served("haproxy", (), _haproxy),
    Served("postfix", (), _postfix),
    Served("envoy", ("h2",), _envoy),
)


class Fronts:
    """Those of one worker."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._settings = settings
        self._shared = shared
        self._fronts: dict[str, Front] = {
            each.part: each.front(settings, shared)
            for each in SERVED
            if getattr(settings, each.part).listen and (shared.first or each.part not in served_by_one(settings))
        }

    async def start(self) -> None:
        """Start all of them."""
        if self._shared.certificates is not None:
            self._shared.certificates.tell(self._shared.decision)
        await asyncio.gather(*(front.start() for front in self._fronts.values()))

    async def listen(self, sockets: Callable[[str], Sequence[BoundSocket]]) -> None:
        """Serve the sockets of each part. Raises ``TlsUnusable``."""
        for row in SERVED:
            front = self._fronts.get(row.part)
            if front is None:
                continue
            tls = server_tls_of(self._settings, row.alpn) if self._settings.tls.certificate else None
            for each in sockets(row.part):
                await front.listen(each.socket, tls, secure=each.secure)

    def reload_tls(self) -> None:
        """Read the certificates of all of them again."""
        for front in self._fronts.values():
            front.reload_tls()
        if self._shared.certificates is not None:
            self._shared.certificates.reload(self._shared.decision)

    async def drain(self, within_seconds: float, *, handed_over: bool) -> None:
        """Drain all at the same time."""
        await asyncio.gather(*(front.drain(within_seconds, handed_over=handed_over) for front in self._fronts.values()))

    async def close(self) -> None:
        """Close all."""
        for front in self._fronts.values():
            await front.close()

    def status(self) -> dict[str, object]:
        """By part, and the mail servers of all of them."""
        told = {part: front.status() for part, front in self._fronts.items()}
        return {"upstreams": [server for each in told.values() for server in _servers(each)], **told}


def servers_away(status: Mapping[str, object]) -> dict[str, bool]:
    """Of what ``Fronts.status`` tells: each mail server by its URL, and whether it could not be reached last."""
    return {str(server["url"]): not server["healthy"] for server in _servers(status)}


def _servers(status: Mapping[str, object]) -> list[dict[str, Any]]:
    found = status.get("upstreams")
    return found if isinstance(found, list) else []
