"""Who is connected to any worker, as far as workers have told it: for "this change would end so many sessions now"."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from gateway.changes.impact.live import LiveKey
from gateway.decision.sessions_told import read
from gateway.domain.access import Protocol
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.worker_statuses import WorkerStatuses

log = structlog.get_logger()

BELIEVED_SECONDS = 60.0
"""A worker that has told nothing for longer has ended, or hangs; it is not counted."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The sessions of a moment."""

    sessions: Sequence[LiveKey]
    workers: int
    """How many have told."""
    oldest_seconds: float
    """How long ago the one did that told longest ago."""
    more: int = 0
    """Sessions of which only the number is known."""


async def connected(statuses: WorkerStatuses) -> Connected | None:
    """What workers told last; None where nobody can know: the shared cache is away, or no worker has told."""
    try:
        told = [each for each in await statuses.all() if each.age_seconds <= BELIEVED_SECONDS]
    except CacheUnavailable:
        return None
    sessions: list[LiveKey] = []
    workers, more, oldest = 0, 0, 0.0
    for each in told:
        try:
            rows, left_out = read(each.told)
            sessions += [LiveKey(row.login, row.device_id, Protocol(row.protocol)) for row in rows]
        except ValueError as error:
            log.warning("sessions_not_told", worker=str(each.place), reason=str(error))
            continue
        workers, more, oldest = workers + 1, more + left_out, max(oldest, each.age_seconds)
    return Connected(sessions, workers, oldest, more) if workers else None
