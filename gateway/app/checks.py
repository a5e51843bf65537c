"""``gatepost check``: tries the settings and what they point at, without starting or changing anything.

One row each: what was looked at, how it stands, and one sentence that names the remedy where there is something to do.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.app.cut_check import cuts_found
from gateway.app.exposed import exposed
from gateway.app.first_start import see_that_it_is_not_empty, see_that_it_may_be_made
from gateway.app.front_parts import front_settings_of
from gateway.app.mail_check import mail_sections, mail_server_found
from gateway.app.notice_check import notice_ways_found
from gateway.app.parts import (
    data_dir_of,
    identity_of,
    redis_of,
    server_tls_of,
    storage_url_of,
    workers_of,
)
from gateway.app.served import listens_of
from gateway.app.smtp_check import smtp_server_found
from gateway.domain.errors import DomainError
from gateway.network.client_certificate import list_ends_at
from gateway.network.tls import client_context, expires_at
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstreams import Upstreams
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import StoreUnavailable
from gateway.proxies.credential_check import CredentialChecks
from gateway.proxies.webmail.exposure import credential_questions
from gateway.runtime.lock import holder_of
from gateway.runtime.sockets import PortInUse, try_listening
from gateway.settings import Settings, check_complete
from gateway.storage.redis import BinaryMissing, find_binary
from gateway.storage.sql import SchemaMismatch, SchemaTooOld, open_store, weakness_of

SOON_SECONDS = 14 * 86_400.0
UPSTREAM_SECONDS = 10.0
ROOM_BYTES = 256 << 20
"""With less free the database and its log may soon not be written any more."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One thing that was looked at."""

    what: str
    state: str
    """``ok``, ``warning`` or ``failed``."""
    sentence: str


def check(settings: Settings, now: float) -> list[CheckRow]:
    """Look at everything; never raises for what it finds. ``now`` in epoch seconds."""
    rows = [_settings(settings), _data_dir(settings)]
    rows += [CheckRow("exposed", "warning", sentence) for sentence in exposed(settings)]
    if settings.tls.certificate:
        rows.append(_tried("certificate", lambda: _usable(settings)))
        if rows[-1].state == "ok":
            shown = (settings.tls.certificate, *(each.certificate for each in settings.tls.names))
            rows[-1:] = [_certificate(path, rows[-1], now) for path in shown]
    if settings.tls.client_ca and settings.tls.client_crl:
        rows.append(_revocation_list(settings.tls.client_crl, now))
    return [*rows, *_listeners(settings), *asyncio.run(_servers(settings))]


async def _servers(settings: Settings) -> list[CheckRow]:
    rows = [await _store(settings), await _cache(settings)]
    rows += [CheckRow(*each) for each in await cuts_found(settings)]
    mail = (mail_server_found(spoken, section) for spoken, section in mail_sections(settings) if section.listen)
    submission = [smtp_server_found(settings.smtp)] if settings.smtp.listen else []
    found = await asyncio.gather(*(_upstream(settings, url) for url in settings.http.upstream))
    rows += [CheckRow(*each) for each in await notice_ways_found(settings)]
    return [*rows, *found, *(CheckRow(*each) for each in await asyncio.gather(*mail, *submission))]


def _settings(settings: Settings) -> CheckRow:
    def look() -> str:
        check_complete(settings, "all")
        names = identity_of(settings).default_domain
        domain = f"names without a domain belong to {names}" if names else "[identity] default_domain is not set"
        return f"complete; workers: {workers_of(settings)}; {domain}"

    return _tried("settings", look)


def _data_dir(settings: Settings) -> CheckRow:
    path = data_dir_of(settings)
    there = next(each for each in (path, *path.parents) if os.path.exists(each))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return CheckRow("data_dir", "failed", f"{there} cannot be written by this user: set [gateway] data_dir")
    free = shutil.disk_usage(there).free
    if free < ROOM_BYTES:
        return CheckRow("data_dir", "warning", f"{there} has {free >> 20} MiB free: make room before the disk is full")
    return CheckRow("data_dir", "ok", str(path) if there == path else f"{path} will be made by the first start")


def _usable(settings: Settings) -> str:
    server_tls_of(settings)
    return "and its key fit"


def _revocation_list(path: str, now: float) -> CheckRow:
    ends_at = list_ends_at(path)
    if ends_at is not None and ends_at <= now:
        return CheckRow(
            *("revoked", "failed"),
            f"[tls] client_crl {path} has ended: nobody with a certificate of its authority gets in, get the next one",
        )
    return CheckRow("revoked", "ok", f"{path} is in its time")


def _certificate(path: str, row: CheckRow, now: float) -> CheckRow:
    left = expires_at(path) - now
    if left <= 0:
        return CheckRow("certificate", "failed", f"{path} has expired: get another one")
    if left < SOON_SECONDS:
        return CheckRow("certificate", "warning", f"{path} expires in {int(left // 86400)} days")
    return CheckRow("certificate", row.state, f"{path} {row.sentence}")


def _listeners(settings: Settings) -> list[CheckRow]:
    parts = {**listens_of(settings), "admin": settings.admin.listen, "inventory": settings.inventory.listen}
    parts["notices"] = settings.notices.listen
    rows = []
    for part, urls in parts.items():
        for url in urls:
            try:
                try_listening(part, url)
                rows.append(CheckRow(f"listen {part}", "ok", f"{url} is free"))
            except PortInUse as error:
                rows.append(_in_use(settings, part, url) or CheckRow(f"listen {part}", "warning", str(error)))
            except DomainError as error:
                rows.append(CheckRow(f"listen {part}", "failed", str(error)))
    return rows


def _in_use(settings: Settings, part: str, url: str) -> CheckRow | None:
    """By the gateway that runs with these settings, if it is that one."""
    pid = holder_of(data_dir_of(settings))
    return CheckRow(f"listen {part}", "ok", f"{url} is in use by this Gatepost (pid {pid})") if pid else None


async def _store(settings: Settings) -> CheckRow:
    try:
        await see_that_it_may_be_made(settings)
        store = await open_store(storage_url_of(settings), writable=False)
        try:
            await see_that_it_is_not_empty(settings, store)
            async with store.read() as reading:
                counts = await reading.counts()
        finally:
            await store.close()
    except SchemaTooOld:
        return CheckRow("store", "ok", "will be migrated by the next start")
    except StoreUnavailable as error:
        if "is missing; the control process makes it" not in str(error):
            return CheckRow("store", "failed", str(error))
        where = storage_url_of(settings).removeprefix("sqlite:///")
        return CheckRow("store", "ok", f"{where} will be made by the first start")
    except (SchemaMismatch, DomainError) as error:
        return CheckRow("store", "failed", str(error))
    found = f"{store.place}: {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}"
    weakness = weakness_of(storage_url_of(settings))
    return CheckRow("store", "warning" if weakness else "ok", f"{found}; {weakness}" if weakness else found)


async def _cache(settings: Settings) -> CheckRow:
    if settings.redis.url == "embedded":
        try:
            return CheckRow("cache", "ok", f"embedded, {find_binary(settings.redis.binary)}")
        except BinaryMissing as error:
            return CheckRow("cache", "failed", str(error))
    connection = redis_of(settings)
    try:
        await connection.call(lambda run_id: ("PING",))
    except CacheUnavailable as error:
        hint = "" if "[redis]" in str(error) else ": is [redis] url right, and does that server run?"
        return CheckRow("cache", "failed", f"{error}{hint}")
    finally:
        await connection.close()
    return CheckRow("cache", "ok", f"{connection.place} answers")


async def _upstream(settings: Settings, url: str) -> CheckRow:
    what = f"mail server {urlsplit(url).netloc}"
    try:
        tls = client_context(settings.http.upstream_ca) if url.startswith("https:") else None
        pool = UpstreamPool(
            url,
            tls,
            connections=4,
            connect_seconds=min(settings.http.upstream_connect_seconds, UPSTREAM_SECONDS),
            idle_seconds=settings.http.upstream_idle_seconds,
        )
    except DomainError as error:
        return CheckRow(what, "failed", str(error))
    asked = credential_questions(front_settings_of(settings).webmail)
    checks = CredentialChecks(Upstreams([pool]), elsewhere=asked)
    try:
        async with asyncio.timeout(2 * UPSTREAM_SECONDS):
            method = await checks.probe(pool, pool.host.encode())
    except (UpstreamUnavailable, TimeoutError) as error:
        said = str(error) or "no answer in time"
        said = said if url in said else f"{url}: {said}"
        hint = "" if "certificate" in said else ": is that its address, does it run, may this machine reach it?"
        return CheckRow(what, "failed", f"[http] upstream {said}{hint}")
    finally:
        pool.close()
    if method is None:
        return CheckRow(
            what,
            "warning",
            "answers a wrong password with something else than 401, so refusals cannot be told to anybody "
            "(refused phones are told to come back later): is ActiveSync served at /Microsoft-Server-ActiveSync there?",
        )
    return CheckRow(what, "ok", f"answers; credentials can be checked by {method.value}")


def _tried(what: str, look: Callable[[], str]) -> CheckRow:
    try:
        return CheckRow(what, "ok", look())
    except DomainError as error:
        return CheckRow(what, "failed", str(error))
