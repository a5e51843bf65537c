"""Reads on one state of the memory store."""

from collections.abc import Collection, Sequence

from gateway.domain.brake import Brake
from gateway.domain.change import PolicyChange, State
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import Inventory
from gateway.domain.operator import NamedOperator
from gateway.domain.policy import PolicyVersion
from gateway.ports.past import EvidenceReading
from gateway.ports.store import (
    Change,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
    UnderLogin,
)
from gateway.storage.memory.audit import MemoryAuditReading
from gateway.storage.memory.erasure import MemoryErasureReading
from gateway.storage.memory.notices import MemoryNoticeReading
from gateway.storage.memory.past import MemoryPastReading
from gateway.storage.memory.tables import Tables
from gateway.storage.past import AsOf


class MemoryReading(MemoryAuditReading, MemoryNoticeReading, MemoryPastReading, MemoryErasureReading):
    """``ports.store.Reading`` over one ``Tables``."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.audit = tables.audit
        self.outbox = tables.outbox

    def as_of(self, at: float) -> EvidenceReading:
        return AsOf(self, at)

    async def sequence(self) -> int:
        return self.tables.sequence

    async def read_ahead(self, logins: Sequence[str]) -> None:
        """Nothing: all of it is at hand."""

    async def changes_after(self, sequence: int, limit: int = 10_000) -> Sequence[Change] | None:
        newest = self.tables.sequence
        if sequence < newest and sequence + 1 not in self.tables.changes:
            return None
        last = min(newest, sequence + limit)
        return [self.tables.changes[number] for number in range(sequence + 1, last + 1)]

    async def incarnation(self) -> str:
        return self.tables.incarnation

    async def policy(self, number: int | None = None) -> PolicyVersion | None:
        wanted = max(self.tables.policies, default=0) if number is None else number
        return self.tables.policies.get(wanted)

    async def policies(self, limit: int = 100) -> Sequence[PolicyVersion]:
        newest = sorted(self.tables.policies, reverse=True)[:limit]
        return [self.tables.policies[number] for number in newest]

    async def policy_change(self, number: int) -> PolicyChange | None:
        found = self.tables.policy_changes.get(number)
        return found[0] if found else None

    async def policy_changes(self, limit: int = 100, since: float = 0.0) -> Sequence[PolicyChange]:
        newest = sorted(self.tables.policy_changes.items(), reverse=True)
        return [change for _, (change, at) in newest if at >= since][:limit]

    async def policy_changes_in(self, states: Collection[State]) -> Sequence[PolicyChange]:
        newest = sorted(self.tables.policy_changes.items(), reverse=True)
        return [change for _, (change, _) in newest if change.state in states]

    async def change_preview(self, number: int, digest: str) -> bytes | None:
        of, content = self.tables.change_previews.get(number, ("", b""))
        return content if of == digest and of else None

    async def source(self, name: str) -> Source | None:
        return self.tables.sources.get(name)

    async def sources(self) -> Sequence[Source]:
        present = (source for source in self.tables.sources.values() if source.removed_at is None)
        return sorted(present, key=lambda source: source.name)

    async def message(self, source_id: str, message_id: str) -> StoredMessage | None:
        return self.tables.messages.get((source_id, message_id))

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        return self.tables.inventories.get((source_id, source_device))

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        ids = self.tables.inventory_keys.get((key_type, value.casefold()), ())
        return [self.tables.inventories[each] for each in sorted(ids)]

    async def person_by_login(self, login: str) -> Person | None:
        person_id = self.tables.logins.get(login)
        return None if person_id is None else self.tables.people[person_id]

    async def people(self, after: str = "", limit: int = 1000) -> Sequence[Person]:
        above = sorted(person_id for person_id in self.tables.people if person_id > after)
        return [self.tables.people[person_id] for person_id in above[:limit]]

    async def people_named(self, person_ids: Sequence[str]) -> Sequence[Person]:
        return [self.tables.people[each] for each in sorted(set(person_ids)) if each in self.tables.people]

    async def mail_devices(self, person_id: str) -> Sequence[MailDevice]:
        return sorted(self.tables.mail_devices.get(person_id, ()), key=lambda device: device.device_id)

    async def under_login(self, login: str) -> UnderLogin:
        return UnderLogin(
            await self.mail_devices(login),
            await self.pins_of_person(login),
            await self.tombstoned_devices(login),
            await self.credentials_of_person(login),
        )

    async def all_mail_devices(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[MailDevice]:
        every = (device for devices in self.tables.mail_devices.values() for device in devices)
        above = [device for device in every if (device.person_id, device.device_id) > after]
        return sorted(above, key=lambda device: (device.person_id, device.device_id))[:limit]

    async def people_with_device(self, device_id: str) -> Sequence[str]:
        found = {person_id for person_id, stones in self.tables.tombstones.items() if device_id in stones}
        for table in (self.tables.mail_devices, self.tables.pins):
            found.update(person_id for person_id, rows in table.items() for row in rows if row.device_id == device_id)
        return sorted(found)

    async def pins_of_person(self, person_id: str) -> Sequence[PinnedBinding]:
        return sorted(self.tables.pins.get(person_id, ()), key=_pin_key)

    async def pins_of_inventory(self, source_id: str, source_device: str) -> Sequence[PinnedBinding]:
        every = (pin for pins in self.tables.pins.values() for pin in pins)
        found = [pin for pin in every if (pin.source_id, pin.source_device) == (source_id, source_device)]
        return sorted(found, key=_pin_key)

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        return self.tables.tombstones.get(person_id, {}).get(device_id, ())

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        return sorted(self.tables.tombstones.get(person_id, {}))

    async def token_by_digest(self, digest: str) -> OperatorToken | None:
        found = (token for token in self.tables.tokens.values() if token.digest == digest)
        return next(found, None)

    async def tokens(self) -> Sequence[OperatorToken]:
        return sorted(self.tables.tokens.values(), key=lambda token: (-token.created_at, token.id))

    async def operators(self) -> Sequence[NamedOperator]:
        return [each for _, each in sorted(self.tables.operators.items())]

    async def credential(self, credential_id: str) -> IssuedCredential | None:
        return self.tables.credentials.get(credential_id)

    async def credentials_of_person(self, person_id: str) -> Sequence[IssuedCredential]:
        found = [each for each in self.tables.credentials.values() if each.person_id == person_id]
        return sorted(found, key=lambda each: each.id)

    async def credentials(self, after: str = "", limit: int = 1000) -> Sequence[IssuedCredential]:
        above = sorted(each for each in self.tables.credentials if each > after)
        return [self.tables.credentials[each] for each in above[:limit]]

    async def lease(self, name: str) -> Lease | None:
        return self.tables.leases.get(name)

    async def brake(self) -> Brake:
        return self.tables.brake

    async def counts(self) -> dict[str, int]:
        return {
            "people": len(self.tables.people),
            "mail_devices": sum(map(len, self.tables.mail_devices.values())),
            "inventories": len(self.tables.inventories),
            "sources": sum(source.removed_at is None for source in self.tables.sources.values()),
            "changes": len(self.tables.changes),
        }


def _pin_key(pin: PinnedBinding) -> tuple[str, str, str, str]:
    return pin.person_id, pin.device_id, pin.source_id, pin.source_device
