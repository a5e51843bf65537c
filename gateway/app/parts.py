"""What several processes build alike from the settings."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.authz.keys import AskerKeys
from gateway.authz.settings import AuthzSettings
from gateway.domain.access import Protocol
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import IdentityRules, identity_rules
from gateway.domain.shown import Demand, Demands
from gateway.inventory.records import load_record
from gateway.network.client_certificate import Issuers, Revoked
from gateway.network.tls import ServerFiles, ServerTls
from gateway.ports.past import EvidenceReading
from gateway.ports.store import Store
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.attempts import FAILURES_PER_MINUTE, Attempts
from gateway.proxies.client_certificates import CertificateFields, ClientCertificates
from gateway.proxies.front import HttpFrontSettings
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.smtp.front_settings import SmtpFrontSettings
from gateway.proxies.webmail.exposure import WebmailSettings
from gateway.settings import MailSection, Settings, SmtpSection, WebmailSection
from gateway.storage.compact import compact

if TYPE_CHECKING:
    from gateway.storage.redis import RedisConnection

DATABASE_FILE = "gatepost.db"
NOTICE_KEY_FILE = "notice-key"
"""In data_dir: what links in notices are signed with, and mail that comes back is recognised by. In no backup."""
INDEX_FILE = "impact.index"
"""In data_dir: who has which app, so that a start need not read it all again. It may be deleted at any time."""
RECORD_TTL_SECONDS = 86_400.0
"""Records that nobody asks for leave the shared cache after a day; they are read from the store again."""


def workers_of(settings: Settings) -> int:
    """How many workers run; ``auto`` is one per core that this process may use."""
    wanted = settings.gateway.workers
    return len(os.sched_getaffinity(0)) if wanted == "auto" else int(wanted)


def data_dir_of(settings: Settings) -> Path:
    """Where state lives, absolute."""
    return Path(settings.gateway.data_dir).absolute()


def storage_url_of(settings: Settings) -> str:
    """The database; SQLite in ``data_dir`` where none is named."""
    return settings.storage.url or f"sqlite:///{data_dir_of(settings) / DATABASE_FILE}"


def redis_of(settings: Settings) -> "RedisConnection":
    """The connection to the shared cache. Raises ``InvalidValue``."""
    # The supervisor, which all wait for at a start, needs settings and no client.
    from gateway.storage.redis import RedisConnection

    return RedisConnection(settings.redis.url, authorities=settings.redis.ca)


def identity_of(settings: Settings) -> IdentityRules:
    """Which names are one person."""
    return identity_rules(settings.identity.default_domain, settings.identity.domains, settings.identity.token_claim)


def demands_of(settings: Settings) -> Demands:
    """What logins must bring beside the password, by protocol."""
    return {Protocol(protocol): Demand(demand) for protocol, demand in settings.identity.demand.items()}


def client_certificates_of(
    settings: Settings, rules: IdentityRules, now: Callable[[], float]
) -> ClientCertificates | None:
    """Reads what clients show; None: none are asked for. Raises ``TlsUnusable``."""
    tls, identity = settings.tls, settings.identity
    if not tls.client_ca:
        return None
    fields = CertificateFields(
        user=identity.certificate_user,
        device=identity.certificate_device,
        device_form=identity.certificate_device_form,
        device_key=identity.certificate_device_key,
    )
    issuers = Issuers(tls.client_ca) if settings.authz.certificates_from else None
    return ClientCertificates(fields, rules, revoked=Revoked(tls.client_crl), issuers=issuers, now=now)


def attempts_of(settings: Settings, now: Callable[[], float]) -> Attempts:
    """A worker's share of the failed logins that all of them may cause: none knows of the others' questions."""
    return Attempts(now, max(1, FAILURES_PER_MINUTE // workers_of(settings)))


def server_tls_of(settings: Settings, alpn: tuple[str, ...] = ("http/1.1",)) -> ServerTls:
    """What listeners show; ``alpn``: what they speak within TLS. Raises ``TlsUnusable``."""
    tls = settings.tls
    return ServerTls(
        ServerFiles(
            certificate=tls.certificate,
            key=tls.key,
            client_ca=tls.client_ca,
            client_crl=tls.client_crl,
            client_required=tls.client_certificate == "required",
            minimum=tls.minimum,
            names=tuple((each.certificate, each.key) for each in tls.names),
            alpn=alpn,
        )
    )


def watched_files_of(settings: Settings) -> tuple[str, ...]:
    """Every file with certificates or keys that listeners read, as far as it is named."""
    tls, authz = settings.tls, settings.authz
    further = [path for each in tls.names for path in (each.certificate, each.key)]
    asked = (tls.client_ca, tls.client_crl, authz.client_ca, *authz.key_files)
    named = (tls.certificate, tls.key, *further, *asked)
    return tuple(path for path in named if path)


def authz_settings_of(settings: Settings) -> AuthzSettings:
    """The [authz] section as its fronts take it."""
    apart = {"listen", "key_files", "client_ca", "certificates_from", "mail_servers", "cuts"}
    given = settings.authz.model_dump(exclude=apart)
    servers = {Protocol(name): _host_and_port(place) for name, place in settings.authz.mail_servers.items()}
    return AuthzSettings(
        certificates_required=bool(settings.authz.client_ca),
        certificates_from=frozenset(settings.authz.certificates_from),
        mail_servers=servers,
        **given,
    )


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def asker_keys_of(settings: Settings) -> AskerKeys:
    """What askers show. Raises ``KeyUnusable``."""
    return AskerKeys(settings.authz.key_files)


def authz_tls_of(settings: Settings, part: str = "authz", alpn: tuple[str, ...] = ("http/1.1",)) -> ServerTls | None:
    """The certificates of all listeners, and the authorities of askers' own; None: no asker of that part comes so.

    Raises ``TlsUnusable``.
    """
    if not any(url.startswith(("https:", "grpcs:")) for url in getattr(settings, part).listen):
        return None
    required = "required" if settings.authz.client_ca else "optional"
    asked = {"client_ca": settings.authz.client_ca, "client_crl": "", "client_certificate": required}
    return server_tls_of(settings.model_copy(update={"tls": settings.tls.model_copy(update=asked)}), alpn)


def front_settings_of(settings: Settings) -> HttpFrontSettings:
    """The [http] and [webmail] sections as the front takes them: the same names, but for where it listens and goes."""
    given = settings.http.model_dump(exclude={"listen", "upstream", "trusted_proxies"})
    return HttpFrontSettings(
        upstreams=tuple(settings.http.upstream),
        trusted_proxies=tuple(settings.http.trusted_proxies),
        webmail=_webmail_settings_of(settings.webmail),
        **given,
    )


def _webmail_settings_of(section: WebmailSection) -> WebmailSettings:
    return WebmailSettings(
        openings={rule: tuple(getattr(section, rule.value)) for rule in Rule},
        dav_paths=tuple(section.dav_paths),
        jmap_paths=tuple(section.jmap_paths),
        connection_bound=frozenset(Rule(name) for name in section.connection_bound),
        bound_connections=section.bound_connections,
        bound_login_seconds=section.bound_login_seconds,
    )


def mail_front_settings_of(section: MailSection) -> MailFrontSettings:
    """A section like [imap] as its front takes it: the same names, but for where it listens."""
    given = section.model_dump(exclude={"listen", "trusted_proxies"})
    return MailFrontSettings(trusted_proxies=tuple(section.trusted_proxies), **given)


def smtp_front_settings_of(section: SmtpSection) -> SmtpFrontSettings:
    """The [smtp] section as its front takes it; without a ``name`` it is the machine's own, as far as it is one."""
    own = "".join(
        letter for letter in socket.gethostname() if letter.isascii() and (letter.isalnum() or letter in ".-")
    )
    given = section.model_dump(exclude={"listen", "name", "trusted_proxies"})
    proxies = tuple(section.trusted_proxies)
    return SmtpFrontSettings(name=section.name or own or "localhost", trusted_proxies=proxies, **given)


def record_loader(rules: IdentityRules) -> Callable[[EvidenceReading, str], Awaitable[PersonRecord]]:
    """``load_record`` with the rules filled in."""

    async def load(reading: EvidenceReading, login: str) -> PersonRecord:
        return await load_record(reading, login, rules)

    return load


def record_reader(store: Store, rules: IdentityRules) -> Callable[[str], Awaitable[PersonRecord]]:
    """Reads one person's record from a fresh snapshot of the store, packed for keeping many of them."""

    async def read(login: str) -> PersonRecord:
        # Packed here: the tables of apps belong to the loop's own thread.
        return compact(await store.read_at_once(lambda reading: load_record(reading, login, rules)))

    return read
