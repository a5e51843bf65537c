"""The workers of other supervisors, on this machine or another: how they say how they are, and what is known of them.

They say how they are where every control process reads it; what is known is as old as the last look plus what they said
then. One that has said nothing for long counts on as a worker, by name: it may go on serving phones by what it knew.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.worker_statuses import Place, WorkerStatus, WorkerStatuses

LOOK_EVERY_SECONDS = 1.0
FRESH_SECONDS = 5.0
UNKNOWN = "workers of other machines, of which the shared cache tells nothing now"


class StatusTeller:
    """A worker's end: the newest it has to say goes out, one after the other; what cannot go out is not kept."""

    def __init__(self, statuses: WorkerStatuses, place: Place) -> None:
        self._statuses = statuses
        self._place = place
        self._told: Mapping[str, Any] = {}
        self._news = asyncio.Event()

    def tell(self, told: Mapping[str, Any]) -> None:
        """Say how the worker is; returns at once."""
        self._told = told
        self._news.set()

    async def run(self) -> None:
        """Send what is to be said, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(CacheUnavailable):
                await self._statuses.tell(self._place, self._told)

    async def leave(self) -> None:
        """Say that the worker ends; nobody need wait for it."""
        with suppress(CacheUnavailable):
            await self._statuses.leave(self._place)


@dataclass(frozen=True, slots=True)
class Other:
    """A worker of another supervisor."""

    place: Place
    heard_at: float
    """Monotonic seconds."""
    told: Mapping[str, Any]

    @property
    def policy_version(self) -> int:
        """What it judges by; 0: it has not said."""
        version = self.told.get("policy_version", 0)
        return version if isinstance(version, int) else 0


class Elsewhere:
    """Kept fresh by ``run``; ``look`` makes it so at once."""

    def __init__(
        self,
        statuses: WorkerStatuses,
        own: Place,
        *,
        alone: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``alone``: the shared cache is this supervisor's own, so that nobody else is known to use it."""
        self._statuses = statuses
        self._own = own
        self._alone = alone
        self._monotonic = monotonic
        self._answered = True
        self.workers: Mapping[str, Other] = {}
        """By their names among all machines, in order."""

    async def run(self) -> None:
        """Look regularly, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Read what they have said. Never raises; where it cannot be read, what was known stays and ages."""
        try:
            found = await self._statuses.all()
        except CacheUnavailable:
            self._answered = False
            return
        self._answered = True
        now = self._monotonic()
        others = [_other(status, now) for status in found if not status.place.is_of(self._own)]
        self.workers = {str(other.place): other for other in _present(others, now)}

    def behind(self, version: int) -> tuple[str, ...]:
        """The names of those that do not judge by ``version`` or a newer one, as far as is known."""
        named = tuple(name for name, other in self.workers.items() if other.policy_version < version)
        return named if self._answered or self._alone else (*named, UNKNOWN)

    def rows(self) -> list[dict[str, object]]:
        """A row each for ``status``, as the board has them for its own."""
        now = self._monotonic()
        return [
            {
                **other.told,
                "name": name,
                "alive": True,
                "elsewhere": True,
                "silent": now - other.heard_at > FRESH_SECONDS,
                "status_age": round(now - other.heard_at, 3),
                "policy_version": other.policy_version,
            }
            for name, other in self.workers.items()
        ]


def _other(status: WorkerStatus, now: float) -> Other:
    return Other(status.place, now - status.age_seconds, status.told if _well_formed(status.told) else {})


def _well_formed(told: Mapping[str, Any]) -> bool:
    """Whether a worker said it: others may write there, and who reads a status takes its figures for what they are."""
    front = told.get("front") or {}
    servers = front.get("upstreams", []) if isinstance(front, dict) else None
    return (
        isinstance(told.get("policy_version", 0), int)
        and _is_figure(told.get("feed_age", 0))
        and isinstance(servers, list)
        and all(isinstance(each, dict) for each in servers)
    )


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _present(others: list[Other], now: float) -> list[Other]:
    """In order of their names; of a supervisor that was killed and started again only the workers of its present run.

    Two that run at the same place at the same time both count, and the one that lags stands for both.
    """
    by_name: dict[str, list[Other]] = {}
    for other in others:
        by_name.setdefault(str(other.place), []).append(other)
    present = []
    for _, same in sorted(by_name.items()):
        fresh = [each for each in same if now - each.heard_at <= FRESH_SECONDS]
        present.append(
            min(fresh, key=lambda each: each.policy_version) if fresh else max(same, key=lambda each: each.heard_at)
        )
    return present
