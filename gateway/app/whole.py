"""``gatepost run``: binds, locks, and hands over to the supervisor with the children of the role.

What cannot work is said in one sentence before anything is started.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from gateway.app.changed_settings import tell_of_changed_settings
from gateway.app.kinds import Kind, handed_over, machine_name, run_name, words_for
from gateway.app.parts import asker_keys_of, authz_tls_of, data_dir_of, server_tls_of, watched_files_of, workers_of
from gateway.app.served import PARTS, listens_of, served_by_one
from gateway.app.succession import NextVersion, fixed_facts, tell_plan
from gateway.domain.errors import DomainError
from gateway.network.tls import client_context
from gateway.observability.logging import configure_logging, wants_json
from gateway.ports.worker_statuses import Place
from gateway.runtime.adopted import AdoptedProcess
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.limits import raise_open_files, warn_of_few_open_files
from gateway.runtime.lock import DataDirLock
from gateway.runtime.sockets import LISTENING_FILE, BoundSocket, bind_all, close_all, listening
from gateway.runtime.succession import Estate
from gateway.runtime.supervisor import Supervisor
from gateway.settings import Settings, check_complete
from gateway.storage.redis import BinaryMissing, EmbeddedFailed, EmbeddedValkey

log = structlog.get_logger()

FILES_BESIDE_PHONES = 256
"""Of the store, the cache, the logs and the listeners."""


def run(settings: Settings, config: Path | None, role: str) -> int:
    """Run a gateway until it is told to end. ``role``: all, gateway or control. The exit code.

    Raises ``DomainError`` with one sentence when it cannot start.
    """
    for number in (signal.SIGHUP, signal.SIGUSR2):
        # Until the supervisor hears of them, they would end the start.
        signal.signal(number, signal.SIG_IGN)
    _prepare(settings, role)
    embedded = _embedded(settings, role)
    lock = DataDirLock(data_dir_of(settings)) if role != "gateway" else None
    with _let_go_at_the_end(settings, lock):
        each_its_own = [part for part in PARTS if part not in served_by_one(settings)]
        sockets = bind_all(_listens(settings, role), workers_of(settings), per_worker=each_its_own)
        return _supervised(_Start(settings, config, role, sockets, embedded, lock, run_name()))


def plan(settings: Settings, role: str, run: str) -> str:
    """What ``run`` would run in the place of a version that runs already, which asks. Raises ``DomainError``.

    ``run`` is the name by which that version's successor is to be told from it.
    """
    _prepare(settings, role)
    embedded = _embedded(settings, role)
    fixed = fixed_facts(settings, role, _listens(settings, role))
    return tell_plan(settings, role, _children(settings, role, embedded, run), fixed)


def go_on(estate: Estate, config: Path | None, role: str) -> int:
    """Like ``run``, in the place of the version before, with its children, sockets and lock. Raises ``DomainError``."""
    settings = Settings.model_validate_json(estate.settings)
    configure_logging(settings.log.level, json=wants_json(settings.log.format))
    embedded = _embedded(settings, role)
    if embedded is not None and estate.cache_pid is not None:
        embedded.adopt(AdoptedProcess(estate.cache_pid))
    lock = DataDirLock.taken_over(estate.lock_fd) if estate.lock_fd is not None else None
    log.info("upgraded", version=estate.version, seconds=round(time.monotonic() - estate.began, 3))
    with _let_go_at_the_end(settings, lock):
        return _supervised(_Start(settings, config, role, estate.sockets, embedded, lock, estate.run, estate.children))


@dataclass(frozen=True, slots=True)
class _Start:
    """What a supervisor is made of."""

    settings: Settings
    config: Path | None
    role: str
    sockets: Sequence[BoundSocket]
    embedded: EmbeddedValkey | None
    lock: DataDirLock | None
    run: str
    living: Sequence[LivingChild] = ()


def _prepare(settings: Settings, role: str) -> None:
    check_complete(settings, role)
    configure_logging(settings.log.level, json=wants_json(settings.log.format))
    _check_files(settings)


@contextmanager
def _let_go_at_the_end(settings: Settings, lock: DataDirLock | None) -> Iterator[None]:
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                (data_dir_of(settings) / LISTENING_FILE).unlink(missing_ok=True)
            lock.release()


def _supervised(start: _Start) -> int:
    try:
        return asyncio.run(_supervise(start))
    except EmbeddedFailed as error:
        raise DomainError(
            f"the embedded cache server does not start: {error}: "
            "correct that (valkey/valkey.log in data_dir may say more), or set [redis] url to a server that runs"
        ) from None
    finally:
        close_all(start.sockets)


async def _supervise(start: _Start) -> int:
    settings, role, embedded = start.settings, start.role, start.embedded
    urls = listening(start.sockets)

    open_files = raise_open_files()

    def tell_where() -> None:
        warn_of_few_open_files(open_files, _open_files_wanted(settings, role))
        where = {part: list(each) for part, each in urls.items()}
        log.info("listening", config=str(start.config) if start.config else "", **where)
        if role != "gateway":
            _write(data_dir_of(settings) / LISTENING_FILE, urls)

    fixed = fixed_facts(settings, role, _listens(settings, role))
    supervisor = Supervisor(
        [each.spec for each in start.living] or _children(settings, role, embedded, start.run),
        start.sockets,
        embedded,
        drain_seconds=settings.gateway.drain_seconds,
        watched_files=watched_files_of(settings),
        on_ready=tell_where,
        on_hangup=partial(tell_of_changed_settings, settings, start.config, role),
        successor=NextVersion(start.run, fixed, start.sockets, start.lock, lambda: embedded.pid if embedded else None),
        living=start.living,
    )
    code = await supervisor.run()
    if supervisor.failure:
        raise DomainError(supervisor.failure)
    return code


def _children(settings: Settings, role: str, embedded: EmbeddedValkey | None, run: str) -> list[ChildSpec]:
    alone, machine = embedded is not None, machine_name(data_dir_of(settings))
    if embedded is not None:
        # The children need not know that the cache server is ours.
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": embedded.url})})

    def environment(name: str) -> dict[str, str]:
        return handed_over(settings, Place(machine, name, run), alone=alone)

    def watcher(name: str, kind: Kind, *parts: str) -> ChildSpec:
        return ChildSpec(name, words_for(kind), parts, told_of_workers=True, environment=environment(name))

    if role == "gateway":
        children = [watcher("health", Kind.HEALTH, "health")]
    else:
        children = [watcher("control", Kind.CONTROL, "admin", "inventory", "health", "notices")]
    if role != "control":
        for number in range(1, workers_of(settings) + 1):
            name = f"worker-{number}"
            parts = tuple(part for part in PARTS if number == 1 or part not in served_by_one(settings))
            spec = ChildSpec(name, words_for(Kind.WORKER), parts, number, environment=environment(name))
            children.append(spec)
    return children


def _listens(settings: Settings, role: str) -> dict[str, list[str]]:
    """What this role listens on. The admin API serves health as well, so that has its own place only without one."""
    listens: dict[str, list[str]] = {}
    if role != "control":
        listens.update(listens_of(settings))
    if role != "gateway":
        listens["admin"] = settings.admin.listen
        listens["inventory"] = settings.inventory.listen
        listens["notices"] = settings.notices.listen
    if role == "gateway" or not settings.admin.listen:
        listens["health"] = settings.health.listen
    return listens


def _embedded(settings: Settings, role: str) -> EmbeddedValkey | None:
    if settings.redis.url != "embedded" or role == "gateway":
        return None
    try:
        return EmbeddedValkey(data_dir_of(settings), settings.redis.binary, settings.redis.maxmemory)
    except BinaryMissing as error:
        raise DomainError(str(error)) from None


def _check_files(settings: Settings) -> None:
    """Certificates that cannot be used are one sentence here, not one from each worker."""
    if settings.tls.certificate:
        server_tls_of(settings)
    if settings.http.upstream_ca:
        client_context(settings.http.upstream_ca)
    authz_tls_of(settings)
    authz_tls_of(settings, "envoy", ("h2",))
    asker_keys_of(settings)
    if settings.authz.cuts:
        # Here, because everything waits for this process, and few have any.
        from gateway.app.asker_cuts import check_means

        check_means(settings)
    for part in ("imap", "pop3", "smtp"):
        if authorities := getattr(settings, part).upstream_ca:
            client_context(authorities, part)


def _open_files_wanted(settings: Settings, role: str) -> int:
    """Two for each phone or mail program: its connection and the one to the mail server."""
    if role == "control":
        return FILES_BESIDE_PHONES
    sections = (settings.imap, settings.pop3, settings.smtp)
    mail = sum(2 * section.max_connections for section in sections if section.listen)
    asked = [settings.authz.listen, settings.haproxy.listen, settings.postfix.listen]
    # Of an Envoy's connection there are three ends: Envoy's, and both of the one to gRPC.
    asked += [settings.envoy.listen] * 3
    askers = settings.authz.max_connections * sum(map(bool, asked))
    phones = settings.http.max_connections + settings.http.upstream_connections
    return phones + mail + askers + FILES_BESIDE_PHONES


def _write(path: Path, urls: Mapping[str, Sequence[str]]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(urls) + "\n", "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise DomainError(f"{path} cannot be written ({error.strerror}): remove it, or make room there") from None
