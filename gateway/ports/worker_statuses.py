"""How the workers of all machines are, told by themselves where every control process can read it (Redis behind it)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs."""

    machine: str
    """For people: the host's name and a mark of the data directory."""
    name: str
    """``worker-1``, ``control`` …"""
    run: str
    """Of the supervisor that started it; behind a point, how often a next version has taken over there."""

    def is_of(self, other: "Place") -> bool:
        """Whether both are of one supervisor, of whatever version."""
        return self.run.partition(".")[0] == other.run.partition(".")[0]

    def __str__(self) -> str:
        """The name of a worker among those of all machines."""
        return f"{self.machine}/{self.name}"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker said last."""

    place: Place
    age_seconds: float
    """Since then, by the clock of who keeps it."""
    told: Mapping[str, Any]
    """JSON-able: ``policy_version``, ``sequence`` …"""


class WorkerStatuses(Protocol):
    """Every method raises ``CacheUnavailable``."""

    async def tell(self, place: Place, told: Mapping[str, Any]) -> None:
        """Say how the worker at a place is."""
        ...

    async def leave(self, place: Place) -> None:
        """Say that the worker at a place has ended as it should."""
        ...

    async def all(self) -> Sequence[WorkerStatus]:
        """What each worker said last, also those that have said nothing for long."""
        ...
