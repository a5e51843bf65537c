"""What several processes build alike from the settings. The supervisor, which a start waits for, loads it as well."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.authz.keys import AskerKeys
from gateway.domain.access import Protocol
from gateway.domain.identity import IdentityRules, identity_rules
from gateway.domain.shown import Demand, Demands
from gateway.network.tls import ServerFiles, ServerTls
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.domain.evidence import PersonRecord
    from gateway.ports.past import EvidenceReading
    from gateway.ports.store import Store
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
    # The supervisor needs settings and no client.
    from gateway.storage.redis import RedisConnection

    return RedisConnection(settings.redis.url, authorities=settings.redis.ca)


def identity_of(settings: Settings) -> IdentityRules:
    """Which names are one person."""
    return identity_rules(settings.identity.default_domain, settings.identity.domains, settings.identity.token_claim)


def demands_of(settings: Settings) -> Demands:
    """What logins must bring beside the password, by protocol."""
    return {Protocol(protocol): Demand(demand) for protocol, demand in settings.identity.demand.items()}


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


def record_loader(rules: IdentityRules) -> "Callable[[EvidenceReading, str], Awaitable[PersonRecord]]":
    """``load_record`` with the rules filled in."""
    # The supervisor assembles no records.
    from gateway.inventory.records import load_record

    async def load(reading: "EvidenceReading", login: str) -> "PersonRecord":
        return await load_record(reading, login, rules)

    return load


def record_reader(store: "Store", rules: IdentityRules) -> "Callable[[str], Awaitable[PersonRecord]]":
    """Reads one person's record from a fresh snapshot of the store, packed for keeping many of them."""
    from gateway.inventory.records import load_record
    from gateway.storage.compact import compact

    async def read(login: str) -> "PersonRecord":
        # Packed here: the tables of apps belong to the loop's own thread.
        return compact(await store.read_at_once(lambda reading: load_record(reading, login, rules)))

    return read
