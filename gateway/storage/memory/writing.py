"""A unit of work on the memory store: changes a private copy that becomes the state when the work has succeeded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from gateway.domain.brake import Brake
from gateway.domain.change import PolicyChange
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.operator import NamedOperator
from gateway.domain.past import undo_of
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import (
    Change,
    Conflict,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
)
from gateway.storage.audit_rows import Seal
from gateway.storage.change_rows import LogRequests, numbered
from gateway.storage.inventories import encode_tombstones
from gateway.storage.leases import taken
from gateway.storage.memory.audit import MemoryAuditWriting
from gateway.storage.memory.erasure import MemoryErasureWriting
from gateway.storage.memory.notices import MemoryNoticeWriting
from gateway.storage.memory.past import MemoryPastWriting
from gateway.storage.memory.reading import MemoryReading
from gateway.storage.memory.tables import InventoryId, Tables
from gateway.storage.past_rows import (
    PastKind,
    encode_device,
    encode_person,
    encode_pin,
    encode_source,
    pair_key,
    stated_owner,
)

K = TypeVar("K")
V = TypeVar("V")


class MemoryWriting(
    MemoryReading, MemoryAuditWriting, MemoryNoticeWriting, MemoryPastWriting, MemoryErasureWriting, LogRequests
):
    """``ports.store.Writing`` on a private copy of the tables."""

    def __init__(self, tables: Tables, now: Callable[[], float]) -> None:
        MemoryReading.__init__(self, tables.copy())
        MemoryAuditWriting.__init__(self, tables.audit)
        LogRequests.__init__(self)
        self._now = now
        self._copied: set[str] = set()

    def _own(self, table: dict[K, V], name: str) -> dict[K, V]:
        """The table of that name for changing: copied at its first change in this unit."""
        if name in self._copied:
            return table
        self._copied.add(name)
        copy = dict(table)
        setattr(self.tables, name, copy)
        return copy

    def finish(self, at: float, keep_changes: int, seal: Seal) -> tuple[Change, ...]:
        """Number the change-log rows and trim the log; then chain the entries of the audit log."""
        made = numbered(self.rows(), self.tables.sequence, at)
        if made:
            self.tables.sequence = made[-1].sequence
            changes = self._own(self.tables.changes, "changes")
            changes.update((change.sequence, replace(change, records={})) for change in made)
            while len(changes) > keep_changes:
                del changes[next(iter(changes))]
        self.finish_audit(at, seal)
        self.tables.audit = self.audit
        self.tables.outbox = self.outbox
        return made

    async def take_lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        lease = taken(self.tables.leases.get(name), name, holder, self._now(), seconds)
        if lease is not None:
            self._own(self.tables.leases, "leases")[name] = lease
        return lease

    async def give_lease_back(self, name: str, holder: str) -> None:
        lease = self.tables.leases.get(name)
        if lease is not None and lease.holder == holder:
            self._own(self.tables.leases, "leases")[name] = replace(lease, ends_at=0.0)

    async def put_policy(self, version: PolicyVersion) -> None:
        newest = max(self.tables.policies, default=0)
        if version.number != newest + 1:
            raise Conflict(f"policy version {version.number} does not follow the newest, {newest}")
        self._own(self.tables.policies, "policies")[version.number] = version

    async def put_policy_change(self, change: PolicyChange, at: float) -> None:
        newest = max(self.tables.policy_changes, default=0)
        if change.number > newest + 1:
            raise Conflict(f"change {change.number} does not follow the newest, {newest}")
        self._own(self.tables.policy_changes, "policy_changes")[change.number] = (change, at)

    async def put_change_preview(self, number: int, digest: str, content: bytes) -> None:
        self._own(self.tables.change_previews, "change_previews")[number] = (digest, content)

    async def put_source(self, source: Source) -> None:
        before = self.tables.sources.get(source.name)
        await self._keep(PastKind.SOURCE, source.name, [("", encode_source(before) if before else None)])
        self._own(self.tables.sources, "sources")[source.name] = source

    async def put_message(self, source_id: str, message_id: str, message: StoredMessage) -> None:
        message = replace(message, received_at=max(message.received_at, self.tables.evidence_told))
        self._own(self.tables.messages, "messages")[source_id, message_id] = message

    async def forget_messages(self, before: float) -> int:
        messages = self._own(self.tables.messages, "messages")
        old = [key for key, message in messages.items() if message.received_at < before]
        for key in old:
            del messages[key]
        return len(old)

    async def put_inventory(
        self,
        inventory: Inventory,
        added: Sequence[App] = (),
        removed: Sequence[App] = (),
        *,
        before: Inventory | None = None,
    ) -> None:
        key = (inventory.source_id, inventory.source_device)
        await self._keep_stated(key, _stated(inventory))
        self._forget_keys(key)
        self._own(self.tables.inventories, "inventories")[key] = inventory
        keys = self._own(self.tables.inventory_keys, "inventory_keys")
        for stated in _stated(inventory):
            keys[stated] = (*keys.get(stated, ()), key)
        self._keep_step(inventory, undo_of(before, inventory) if before else None, added, removed)

    async def delete_inventory(self, source_id: str, source_device: str) -> None:
        key = (source_id, source_device)
        before = self.tables.inventories.get(key)
        if before is None:
            return
        self._keep_step(before, undo_of(before, None), (), before.apps)
        await self._keep_stated(key, {})
        self._forget_keys(key)
        self._own(self.tables.inventories, "inventories").pop(key, None)

    async def _keep_stated(self, key: InventoryId, stated: Mapping[tuple[str, str], None]) -> None:
        """Which names a device loses."""
        earlier = self.tables.inventories.get(key)
        for kind, value in sorted(_stated(earlier)) if earlier else ():
            if (kind, value) not in stated:
                await self._keep(PastKind.STATED, stated_owner(kind, value), [(pair_key(*key), b"")])

    def _forget_keys(self, key: InventoryId) -> None:
        earlier = self.tables.inventories.get(key)
        if earlier is None:
            return
        keys = self._own(self.tables.inventory_keys, "inventory_keys")
        for stated in _stated(earlier):
            keys[stated] = tuple(each for each in keys[stated] if each != key)

    async def put_person(self, person: Person) -> None:
        names = (person.person_id, *person.aliases)
        for login in names:
            owner = self.tables.logins.get(login, person.person_id)
            if owner != person.person_id:
                raise Conflict(f"the login {login} belongs to {owner} already")
        logins = self._own(self.tables.logins, "logins")
        earlier = await self._keep_person(person.person_id)
        lost = set(earlier.aliases if earlier else ()) - set(names)
        await self._keep_logins(person.person_id, sorted(lost))
        for login in earlier.aliases if earlier else ():
            logins.pop(login, None)
        logins.update(dict.fromkeys(names, person.person_id))
        self._own(self.tables.people, "people")[person.person_id] = person

    async def _keep_person(self, person_id: str) -> Person | None:
        """Keep who stands there now, and give it back."""
        before = self.tables.people.get(person_id)
        await self._keep(PastKind.PERSON, person_id, [("", encode_person(before) if before else None)])
        return before

    async def _keep_logins(self, person_id: str, lost: Sequence[str]) -> None:
        for login in lost:
            await self._keep(PastKind.LOGIN, login, [(person_id, b"")])

    async def delete_person(self, person_id: str) -> None:
        if person_id not in self.tables.people:
            return
        before = await self._keep_person(person_id)
        await self._keep_logins(person_id, (person_id, *(before.aliases if before else ())))
        person = self._own(self.tables.people, "people").pop(person_id, None)
        if person is not None:
            logins = self._own(self.tables.logins, "logins")
            for login in (person_id, *person.aliases):
                logins.pop(login, None)

    async def put_mail_device(self, device: MailDevice) -> None:
        devices = self._own(self.tables.mail_devices, "mail_devices")
        others = (each for each in devices.get(device.person_id, ()) if each.device_id != device.device_id)
        devices[device.person_id] = (*others, device)

    async def delete_mail_device(self, person_id: str, device_id: str) -> None:
        gone = [each for each in self.tables.mail_devices.get(person_id, ()) if each.device_id == device_id]
        await self._keep(PastKind.DEVICE, person_id, [(each.device_id, encode_device(each)) for each in gone])
        devices = self._own(self.tables.mail_devices, "mail_devices")
        devices[person_id] = tuple(each for each in devices.get(person_id, ()) if each.device_id != device_id)

    async def put_pin(self, pin: PinnedBinding) -> None:
        await self.delete_pin(pin.person_id, pin.device_id, pin.source_id, pin.source_device)
        self.tables.pins[pin.person_id] = (*self.tables.pins[pin.person_id], pin)

    async def delete_pin(self, person_id: str, device_id: str, source_id: str, source_device: str) -> None:
        named = (device_id, source_id, source_device)
        present = self.tables.pins.get(person_id, ())
        before = [each for each in present if (each.device_id, each.source_id, each.source_device) == named]
        await self._keep(PastKind.PIN, person_id, [(pair_key(*named), encode_pin(before[0]) if before else None)])
        pins = self._own(self.tables.pins, "pins")
        others = (pin for pin in pins.get(person_id, ()) if (pin.device_id, pin.source_id, pin.source_device) != named)
        pins[person_id] = tuple(others)

    async def put_tombstones(self, person_id: str, device_id: str, stones: Sequence[Tombstone]) -> None:
        before = self.tables.tombstones.get(person_id, {}).get(device_id, ())
        if before == tuple(stones):
            return
        kept = encode_tombstones(before) if before else None
        await self._keep(PastKind.TOMBSTONES, person_id, [(device_id, kept)])
        tombstones = self._own(self.tables.tombstones, "tombstones")
        of_person = {each: kept for each, kept in tombstones.get(person_id, {}).items() if each != device_id}
        if stones:
            of_person[device_id] = tuple(stones)
        tombstones[person_id] = of_person

    async def put_credential(self, credential: IssuedCredential) -> None:
        self._own(self.tables.credentials, "credentials")[credential.id] = credential

    async def put_brake(self, brake: Brake) -> None:
        self.tables.brake = brake

    async def put_incarnation(self, name: str) -> None:
        """Begin another life of the store: what was between an earlier state of it and now is not known."""
        self.tables.incarnation = name
        self.tables.past_since = max(self.tables.past_since, self._now())

    async def put_operator(self, operator: NamedOperator) -> None:
        self._own(self.tables.operators, "operators")[operator.name] = operator

    async def put_token(self, token: OperatorToken) -> None:
        if any(each.digest == token.digest and each.id != token.id for each in self.tables.tokens.values()):
            raise Conflict("another token has this digest")
        self._own(self.tables.tokens, "tokens")[token.id] = token


def _stated(inventory: Inventory) -> dict[tuple[str, str], None]:
    """The device's names, each once, as they are compared."""
    return dict.fromkeys((key.type, key.value.casefold()) for key in inventory.device_keys)
