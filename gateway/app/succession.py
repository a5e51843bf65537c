"""The next version of Gatepost as the running one sees it, and the running one as the next sees it.

The next version is whatever the words that started this process start now: the same script or module, from wherever
they lead. It is run once to say what it would run (and to migrate the database, as far as this version can live with
that), and later in this process itself.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import structlog

from gateway import __version__
from gateway.app.kinds import next_run
from gateway.app.parts import data_dir_of, storage_url_of, workers_of
from gateway.observability.lines import STDERR
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.lock import DataDirLock
from gateway.runtime.sockets import BoundSocket
from gateway.runtime.succession import (
    PLAN,
    SUCCESSION_VARIABLE,
    Estate,
    NoSuccession,
    Plan,
    leave,
    plan_text,
    read_plan,
)
from gateway.settings import Settings

log = structlog.get_logger()

SAID_BYTES = 1 << 20


def fixed_facts(settings: Settings, role: str, listens: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What an upgrade cannot change, by the name an operator knows; no secrets."""
    return {
        "--role": role,
        "[gateway] data_dir": str(data_dir_of(settings)),
        "[gateway] workers": str(workers_of(settings)),
        **{f"[{part}] listen": " ".join(urls) for part, urls in listens.items()},
        # With a map the other workers have no socket of that part.
        **({"[haproxy] map": "is set"} if settings.haproxy.map else {}),
        "[storage] url": sha256(storage_url_of(settings).encode()).hexdigest(),
        "[redis] url": sha256(settings.redis.url.encode()).hexdigest(),
    }


def tell_plan(settings: Settings, role: str, children: Sequence[ChildSpec], fixed: Mapping[str, str]) -> str:
    """What this version would run in the place of the one that asks; the database is ready for it then.

    Raises ``DomainError``.
    """
    if role != "gateway":
        from gateway.app.migrating import migrate  # only an upgrade needs the database here

        before, after = migrate(settings, only_look=False)
        if before.pending:
            log.info("migrated", before=before.found, after=after.found)
    return plan_text(
        Plan(__version__, tuple(children), settings.gateway.drain_seconds, fixed, settings.model_dump_json())
    )


def own_words() -> list[str]:
    """The words that start what this process is, from wherever they lead now.

    A script is run by itself and not by this interpreter: its first line names that of its own version.
    """
    words = sys.orig_argv
    if len(words) > 1 and not words[1].startswith("-") and Path(words[1]).is_file() and os.access(words[1], os.X_OK):
        return words[1:]
    return [sys.executable, *words[1:]]


class NextVersion:
    """``runtime.succession.Successor`` by this process's own words."""

    def __init__(
        self,
        run: str,
        fixed: Mapping[str, str],
        sockets: Sequence[BoundSocket],
        lock: DataDirLock | None,
        cache_pid: Callable[[], int | None],
    ) -> None:
        """``run`` and ``fixed`` are what runs now; ``cache_pid`` gives the embedded cache server's id, if any."""
        self._run = next_run(run)
        self._fixed = dict(fixed)
        self._sockets = tuple(sockets)
        self._lock = lock
        self._cache_pid = cache_pid

    async def plan(self) -> Plan:
        """Ask the next version. Raises ``NoSuccession``."""
        try:
            process = await asyncio.create_subprocess_exec(
                *own_words(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, SUCCESSION_VARIABLE: PLAN + self._run},
                limit=SAID_BYTES,
            )
        except OSError as error:
            raise NoSuccession(f"the next version cannot be run ({error}): is it installed?") from None
        try:
            said, wrong = await process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            words = wrong.decode("utf-8", "replace").strip().splitlines() or [f"exit code {process.returncode}"]
            raise NoSuccession(words[-1].removeprefix("gatepost: "))
        plan = read_plan(said.decode("utf-8", "replace"))
        names = self._fixed.keys() | plan.fixed.keys()
        if changed := sorted(name for name in names if self._fixed.get(name) != plan.fixed.get(name)):
            raise NoSuccession(f"{', '.join(changed)}: set differently now, which takes a restart")
        return plan

    def become(self, plan: Plan, children: Sequence[LivingChild], began: float) -> None:
        """Become the next version; returns only by ``OSError``."""
        lock_fd = self._lock.fd if self._lock is not None else None
        estate = Estate(
            plan.settings, plan.version, self._sockets, tuple(children), lock_fd, self._cache_pid(), began, self._run
        )
        words = own_words()
        STDERR.flush()
        os.environ[SUCCESSION_VARIABLE] = str(leave(estate))
        try:
            os.execvp(words[0], words)  # noqa: S606  (no shell is wanted)
        finally:
            del os.environ[SUCCESSION_VARIABLE]
