"""Where a child process begins: ``python -m gateway.app.child KIND``, started by the supervisor only.

Its settings come from the supervisor, resolved and once for all children, so that one that is restarted after somebody
edited the file judges like the others. What it cannot start for goes to the supervisor as one sentence.
"""

import asyncio
import faulthandler
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

import uvloop
from pydantic import ValidationError

from gateway.app.kinds import SETTINGS_VARIABLE, Kind, own_place
from gateway.app.tasks import TaskFailed
from gateway.domain.errors import DomainError
from gateway.observability.logging import configure_logging, wants_json
from gateway.ports.store import StoreUnavailable
from gateway.ports.worker_statuses import Place
from gateway.runtime.child import CACHE_STARTS_VARIABLE
from gateway.runtime.hanging import STDERR_FD, TELL_WHERE
from gateway.runtime.link import LinkMissing, SupervisorLink
from gateway.settings import Settings

COLLECT = (20_000, 20, 100)
"""Thresholds of the garbage collector. What is held for long are records without cycles, by the hundred thousand, and
looking at all of them stops every phone for as long."""


def main(words: list[str]) -> int:
    """The exit code."""
    try:
        link = SupervisorLink.inherited()
    except LinkMissing as error:
        print(f"gatepost: {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
        place, alone = own_place(os.environ)
        cache_starts = bool(os.environ.pop(CACHE_STARTS_VARIABLE, ""))
        kind = Kind(words[0])
    except (KeyError, IndexError, ValueError) as error:
        link.send({"type": "failed", "sentence": _of_another_version(error)})
        return 1
    # Whoever hangs is asked where it is, by the supervisor or by an operator. Places only, no values; it goes on.
    faulthandler.register(TELL_WHERE, file=STDERR_FD)
    configure_logging(settings.log.level, json=wants_json(settings.log.format))
    gc.set_threshold(*COLLECT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live(link, _life_of(kind, place, alone, cache_starts)(settings, link)))


def _of_another_version(error: Exception) -> str:
    """Of what a supervisor gives its children only that of another version cannot be read."""
    where = type(error).__name__
    if isinstance(error, ValidationError):
        # Names only: the values may be secrets.
        where = ", ".join(".".join(map(str, each["loc"])) for each in error.errors()[:3])
    return (
        f"another version of Gatepost was installed over the one that runs ({where}): restart the whole gateway, "
        "and give each version a directory of its own"
    )


def _life_of(
    kind: Kind, place: Place, alone: bool, cache_starts: bool
) -> Callable[[Settings, SupervisorLink], Coroutine[None, None, None]]:
    # Imported here, because a worker need not hold the web framework in memory.
    if kind is Kind.WORKER:
        from gateway.app.worker import run_worker

        return partial(run_worker, place=place, cache_starts=cache_starts)
    if kind is Kind.HEALTH:
        from gateway.app.health import run_health

        return run_health
    from gateway.app.control_life import run_control

    return partial(run_control, place=place, alone=alone, cache_starts=cache_starts)


async def _live(link: SupervisorLink, life: Awaitable[None]) -> int:
    try:
        await life
    except (DomainError, StoreUnavailable) as error:
        link.send({"type": "failed", "sentence": str(error)})
        return 1
    except TaskFailed:
        # Told in the log, where it happened; it could begin, so the supervisor needs no sentence.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
