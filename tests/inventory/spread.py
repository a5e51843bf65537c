"""The far end of the publication: a cache and a feed that remember what came, and can be away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Change


@dataclass(slots=True)
class Spread:
    """``RecordCache`` and ``ChangePublisher`` in one, so that the order between the two shows."""

    records: dict[str, PersonRecord] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    heartbeats: list[int] = field(default_factory=list)
    put_names: list[str] = field(default_factory=list)
    away: bool = False
    feed_away: bool = False
    store_away: bool = False
    """Changes come without records then."""

    async def get(self, logins: Sequence[str]) -> Mapping[str, PersonRecord]:
        """The records that are there."""
        self._check()
        return {login: self.records[login] for login in logins if login in self.records}

    async def put(self, records: Mapping[str, PersonRecord]) -> None:
        """Keep what is newer."""
        self._check()
        for login, record in records.items():
            self.put_names.append(login)
            there = self.records.get(login)
            if there is None or there.sequence < record.sequence:
                self.records[login] = record

    async def publish(self, changes: Sequence[Change]) -> None:
        """Take changes; the records they name must be here already, as new as the change."""
        self._check()
        if self.feed_away:
            raise CacheUnavailable("the feed is away")
        for change in changes:
            for name in () if self.store_away else change.names:
                assert self.records[name].sequence >= change.sequence, "a change came before its record"
        self.changes.extend(changes)

    def follow(self, incarnation: str) -> None:
        """There is one life only."""

    async def outdate(self, sequence: int) -> None:
        """Drop what is older."""
        self._check()
        self.records = {login: record for login, record in self.records.items() if record.sequence >= sequence}

    async def heartbeat(self, sequence: int) -> None:
        """Take a heartbeat."""
        self._check()
        self.heartbeats.append(sequence)

    async def published(self) -> int:
        """The newest sequence told of."""
        self._check()
        return max((*self.heartbeats, *(change.sequence for change in self.changes)), default=0)

    @property
    def sequences(self) -> list[int]:
        """Those of the changes, in the order they came."""
        return [change.sequence for change in self.changes]

    def forget(self) -> None:
        """Begin a new page."""
        self.changes.clear()
        self.put_names.clear()

    def _check(self) -> None:
        if self.away:
            raise CacheUnavailable("the cache is away")
