"""The past in the memory store: rows in the order in which they were written, by number."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.domain.inventory import App, Inventory
from gateway.domain.past import Step, Undo
from gateway.domain.policy import PolicyVersion
from gateway.ports.audit_store import ToldMessage
from gateway.ports.past import AppsAdded
from gateway.storage.memory.tables import InventoryEvent, Tables
from gateway.storage.past_rows import PastKind, PastRow, pair_key, parts_of, without_logins

_PERSONAL = frozenset({PastKind.PERSON, PastKind.LOGIN, PastKind.DEVICE, PastKind.PIN, PastKind.TOMBSTONES})


class MemoryPastReading:
    """``ports.past.PastReading`` over one ``Tables``."""

    tables: Tables

    async def past_since(self) -> float:
        return self.tables.past_since

    async def evidence_told(self) -> float:
        return self.tables.evidence_told

    async def messages_between(self, begin: float, end: float) -> Sequence[ToldMessage]:
        return [
            ToldMessage(source_id, each.status, each.digest, each.received_at)
            for (source_id, _), each in self.tables.messages.items()
            if begin <= each.received_at < end
        ]

    async def policy_at(self, at: float) -> PolicyVersion | None:
        by_then = [number for number, version in self.tables.policies.items() if version.created_at <= at]
        return self.tables.policies[max(by_then)] if by_then else None

    async def past_rows(self, kind: PastKind, owner: str, after: float) -> Sequence[PastRow]:
        return [
            row for row in self.tables.past.values() if (row.kind, row.owner) == (kind, owner) and row.until > after
        ]

    async def apps_added(self, since: float, most: int) -> Sequence[AppsAdded]:
        late = [each for each in reversed(self.tables.events.values()) if each.at > since]
        return [AppsAdded(each.source_id, each.source_device, each.at, each.added) for each in late[:most]]

    async def inventory_steps(self, source_id: str, source_device: str, after: float) -> Sequence[Step]:
        of_device = [
            each
            for each in self.tables.events.values()
            if (each.source_id, each.source_device) == (source_id, source_device)
        ]
        first = next((place for place, each in enumerate(of_device) if each.at > after), len(of_device))
        return [Step(each.at, each.undo) for each in reversed(of_device[first:])]


class MemoryPastWriting(MemoryPastReading):
    """``ports.past.PastWriting`` on a private copy of the tables."""

    _now: Callable[[], float]

    async def _keep(self, kind: PastKind, owner: str, values: Sequence[tuple[str, bytes | None]]) -> None:
        """What stands there until now, by key."""
        self.tables.past = dict(self.tables.past)
        for key, content in values:
            number = max(self.tables.past, default=0) + 1
            self.tables.past[number] = PastRow(kind, owner, key, self._now(), content)

    def _keep_step(
        self, state: Inventory, undo: Undo | None, added: Sequence[App] = (), removed: Sequence[App] = ()
    ) -> None:
        """What leads back from what is stored now; None: nothing was stored before. ``state``: whose, and of when."""
        self.tables.events = dict(self.tables.events)
        number = max(self.tables.events, default=0) + 1
        named = (state.source_id, state.source_device, state.generated_at)
        self.tables.events[number] = InventoryEvent(*named, tuple(added), tuple(removed), self._now(), undo)

    async def put_evidence_told(self, until: float) -> None:
        self.tables.evidence_told = until

    async def forget_past(self, before: float, limit: int) -> int:
        self.tables.past_since = max(self.tables.past_since, before)
        events = [number for number, each in list(self.tables.events.items())[:limit] if each.at < before]
        values = [number for number, each in list(self.tables.past.items())[:limit] if each.until < before]
        self.tables.events = {number: each for number, each in self.tables.events.items() if number not in events}
        self.tables.past = {number: each for number, each in self.tables.past.items() if number not in values}
        return len(events) + len(values)

    async def erase_past(self, logins: Sequence[str], devices: Sequence[tuple[str, str]]) -> int:
        had = len(self.tables.events) + len(self.tables.past)
        keys, owners = {pair_key(*each) for each in devices}, {f"login:{login}" for login in logins}
        others = {row.key for row in self.tables.past.values() if row.kind is PastKind.STATED and row.owner in owners}
        unnamed = {tuple(parts_of(key)) for key in others - keys}
        self.tables.events = {
            number: _without(each, logins) if (each.source_id, each.source_device) in unnamed else each
            for number, each in self.tables.events.items()
            if (each.source_id, each.source_device) not in devices
        }
        self.tables.past = {
            number: row
            for number, row in self.tables.past.items()
            if not (
                (row.kind in _PERSONAL and row.owner in logins)
                or (row.kind is PastKind.LOGIN and row.key in logins)
                or (row.kind is PastKind.STATED and (row.key in keys or row.owner in owners))
            )
        }
        return had - len(self.tables.events) - len(self.tables.past)


def _without(event: InventoryEvent, logins: Sequence[str]) -> InventoryEvent:
    undo = without_logins(event.undo, logins) if event.undo is not None else None
    return event if undo is None else replace(event, undo=undo)
