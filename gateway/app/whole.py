"""``gatepost run``: binds, locks, and hands over to the supervisor with the children of the role.

What cannot work is said in one sentence before anything is started.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.app.kinds import Kind, handed_over, machine_name, run_name, words_for
from gateway.app.parts import data_dir_of, server_tls_of, tls_files_of, workers_of
from gateway.domain.errors import DomainError
from gateway.network.tls import client_context
from gateway.observability.logging import configure_logging, wants_json
from gateway.ports.worker_statuses import Place
from gateway.runtime.child import ChildSpec
from gateway.runtime.limits import raise_open_files, warn_of_few_open_files
from gateway.runtime.lock import DataDirLock
from gateway.runtime.sockets import LISTENING_FILE, BoundSocket, bind_all, close_all, listening
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
    check_complete(settings, role)
    configure_logging(settings.log.level, json=wants_json(settings.log.format))
    _check_files(settings)
    embedded = _embedded(settings, role)
    lock = DataDirLock(data_dir_of(settings)) if role != "gateway" else None
    try:
        sockets = bind_all(_listens(settings, role), workers_of(settings))
        try:
            return asyncio.run(_supervise(settings, config, role, sockets, embedded))
        except EmbeddedFailed as error:
            raise DomainError(
                f"the embedded cache server does not start: {error}: "
                "correct that (valkey/valkey.log in data_dir may say more), or set [redis] url to a server that runs"
            ) from None
        finally:
            close_all(sockets)
    finally:
        if lock is not None:
            with suppress(OSError):
                (data_dir_of(settings) / LISTENING_FILE).unlink(missing_ok=True)
            lock.release()


async def _supervise(
    settings: Settings,
    config: Path | None,
    role: str,
    sockets: Sequence[BoundSocket],
    embedded: EmbeddedValkey | None,
) -> int:
    if embedded is not None:
        settings = settings.model_copy(
            update={"redis": settings.redis.model_copy(update={"url": embedded.url})},
        )
    urls = listening(sockets)

    open_files = raise_open_files()

    def tell_where() -> None:
        warn_of_few_open_files(open_files, _open_files_wanted(settings, role))
        log.info("listening", config=str(config) if config else "", **{part: list(each) for part, each in urls.items()})
        if role != "gateway":
            _write(data_dir_of(settings) / LISTENING_FILE, urls)

    supervisor = Supervisor(
        _children(settings, role, alone=embedded is not None),
        sockets,
        embedded,
        drain_seconds=settings.gateway.drain_seconds,
        watched_files=tls_files_of(settings),
        on_ready=tell_where,
    )
    code = await supervisor.run()
    if supervisor.failure:
        raise DomainError(supervisor.failure)
    return code


def _children(settings: Settings, role: str, *, alone: bool) -> list[ChildSpec]:
    machine, run = machine_name(data_dir_of(settings)), run_name()

    def environment(name: str) -> dict[str, str]:
        return handed_over(settings, Place(machine, name, run), alone=alone)

    def watcher(name: str, kind: Kind, *parts: str) -> ChildSpec:
        return ChildSpec(name, words_for(kind), parts, told_of_workers=True, environment=environment(name))

    if role == "gateway":
        children = [watcher("health", Kind.HEALTH, "health")]
    else:
        children = [watcher("control", Kind.CONTROL, "admin", "inventory", "health")]
    if role != "control":
        for number in range(1, workers_of(settings) + 1):
            name = f"worker-{number}"
            spec = ChildSpec(name, words_for(Kind.WORKER), ("http",), number, environment=environment(name))
            children.append(spec)
    return children


def _listens(settings: Settings, role: str) -> dict[str, list[str]]:
    """What this role listens on. The admin API serves health as well, so that has its own place only without one."""
    listens: dict[str, list[str]] = {}
    if role != "control":
        listens["http"] = settings.http.listen
    if role != "gateway":
        listens["admin"] = settings.admin.listen
        listens["inventory"] = settings.inventory.listen
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


def _open_files_wanted(settings: Settings, role: str) -> int:
    """Two for each phone that waits: its connection and the one to the mail server."""
    if role == "control":
        return FILES_BESIDE_PHONES
    return settings.http.max_connections + settings.http.upstream_connections + FILES_BESIDE_PHONES


def _write(path: Path, urls: Mapping[str, Sequence[str]]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(urls) + "\n", "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise DomainError(f"{path} cannot be written ({error.strerror}): remove it, or make room there") from None
