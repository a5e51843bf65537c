"""The shared cache of person records and the fast feed of changes (Redis behind it).

Both are accelerators: whoever cannot reach them reads the store. Records are written only if newer by their
sequence, under a prefix that changes with each life of the store and of the cache server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.evidence import PersonRecord
from gateway.ports.store import Change


class CacheUnavailable(Exception):  # noqa: N818
    """The cache cannot answer now."""


class StoreWentBack(Exception):  # noqa: N818
    """Changes were told of that the store does not have (any more): an earlier state of it was put in place."""


class RecordCache(Protocol):
    """Person records by canonical login."""

    async def get(self, logins: Sequence[str]) -> Mapping[str, PersonRecord]:
        """The records that are there; raises ``CacheUnavailable``."""
        ...

    async def put(self, records: Mapping[str, PersonRecord]) -> None:
        """Write each record unless a newer one is there; raises ``CacheUnavailable``."""
        ...

    def follow(self, incarnation: str) -> None:
        """Keep to the records of that life of the store from the next call on; to none with an empty name."""
        ...


class PersonEraser(Protocol):
    """Whoever can take a person out of the cache and the feed."""

    async def erase(self, logins: Sequence[str]) -> int:
        """Delete what names one of these canonical logins; how much that was. Raises ``CacheUnavailable``."""
        ...


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """What the feed delivers: a change, or a heartbeat (``change`` None) that tells the newest sequence."""

    incarnation: str
    sequence: int
    change: Change | None = None


class ChangePublisher(Protocol):
    """The control process's end of the feed."""

    async def publish(self, changes: Sequence[Change]) -> None:
        """Send changes on, in order; raises ``CacheUnavailable``."""
        ...

    async def outdate(self, sequence: int) -> None:
        """Let no shared record older than ``sequence`` count any more; raises ``CacheUnavailable``."""
        ...

    async def heartbeat(self, sequence: int) -> None:
        """Tell that all is well up to ``sequence``; raises ``CacheUnavailable``."""
        ...

    async def published(self) -> int:
        """The newest sequence ever told of in this life of store and cache; 0: none. Raises ``CacheUnavailable``."""
        ...


class ChangeSubscription(Protocol):
    """A worker's end of the feed."""

    async def next(self, timeout_seconds: float) -> Sequence[FeedMessage]:
        """The messages that arrived since the last call; empty after the time-out; raises ``CacheUnavailable``.

        After ``CacheUnavailable`` the subscription reconnects by itself on the next call and starts at the
        newest position: what was lost meanwhile shows as a gap in the sequence.
        """
        ...
