"""A unit of work on the memory store: changes a private copy that becomes the state when the work has succeeded."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import (
    Change,
    Conflict,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
)
from gateway.storage.change_rows import LogRequests, numbered
from gateway.storage.memory.reading import MemoryReading
from gateway.storage.memory.tables import InventoryEvent, InventoryId, Tables


class MemoryWriting(MemoryReading, LogRequests):
    """``ports.store.Writing`` on a private copy of the tables."""

    def __init__(self, tables: Tables) -> None:
        MemoryReading.__init__(self, tables.copy())
        LogRequests.__init__(self)

    def finish(self, at: float, keep_changes: int) -> tuple[Change, ...]:
        """Number the change-log rows and trim the log."""
        tables = self.tables
        made = numbered(self.rows(), tables.sequence, at)
        if made:
            tables.sequence = made[-1].sequence
            kept = {**tables.changes, **{change.sequence: change for change in made}}
            for sequence in range(min(kept), tables.sequence - keep_changes + 1):
                del kept[sequence]
            tables.changes = kept
        return made

    async def put_policy(self, version: PolicyVersion) -> None:
        newest = max(self.tables.policies, default=0)
        if version.number != newest + 1:
            raise Conflict(f"policy version {version.number} does not follow the newest, {newest}")
        self.tables.policies = {**self.tables.policies, version.number: version}

    async def put_source(self, source: Source) -> None:
        self.tables.sources = {**self.tables.sources, source.name: source}

    async def put_message(self, source_id: str, message_id: str, message: StoredMessage) -> None:
        self.tables.messages = {**self.tables.messages, (source_id, message_id): message}

    async def forget_messages(self, before: float) -> int:
        messages = self.tables.messages
        self.tables.messages = {key: each for key, each in messages.items() if each.received_at >= before}
        return len(messages) - len(self.tables.messages)

    async def put_inventory(self, inventory: Inventory, added: Sequence[App] = (), removed: Sequence[App] = ()) -> None:
        key = (inventory.source_id, inventory.source_device)
        self._forget_keys(key)
        self.tables.inventories = {**self.tables.inventories, key: inventory}
        keys = self.tables.inventory_keys
        for stated in dict.fromkeys((each.type, each.value.casefold()) for each in inventory.device_keys):
            keys[stated] = (*keys.get(stated, ()), key)
        if added or removed:
            event = InventoryEvent(*key, inventory.generated_at, tuple(added), tuple(removed))
            self.tables.events = (*self.tables.events, event)

    async def delete_inventory(self, source_id: str, source_device: str) -> None:
        key = (source_id, source_device)
        self._forget_keys(key)
        self.tables.inventories = {each: value for each, value in self.tables.inventories.items() if each != key}

    def _forget_keys(self, key: InventoryId) -> None:
        self.tables.inventory_keys = dict(self.tables.inventory_keys)
        earlier = self.tables.inventories.get(key)
        for stated in {(each.type, each.value.casefold()) for each in earlier.device_keys} if earlier else ():
            left = tuple(each for each in self.tables.inventory_keys[stated] if each != key)
            self.tables.inventory_keys[stated] = left

    async def put_person(self, person: Person) -> None:
        logins = {login: owner for login, owner in self.tables.logins.items() if owner != person.person_id}
        for login in (person.person_id, *person.aliases):
            if login in logins:
                raise Conflict(f"the login {login} belongs to {logins[login]} already")
        logins.update(dict.fromkeys((person.person_id, *person.aliases), person.person_id))
        self.tables.logins = logins
        self.tables.people = {**self.tables.people, person.person_id: person}

    async def put_mail_device(self, device: MailDevice) -> None:
        others = self.tables.mail_devices.get(device.person_id, ())
        kept = tuple(each for each in others if each.device_id != device.device_id)
        self.tables.mail_devices = {**self.tables.mail_devices, device.person_id: (*kept, device)}

    async def put_pin(self, pin: PinnedBinding) -> None:
        await self.delete_pin(pin.person_id, pin.device_id, pin.source_id, pin.source_device)
        self.tables.pins[pin.person_id] = (*self.tables.pins[pin.person_id], pin)

    async def delete_pin(self, person_id: str, device_id: str, source_id: str, source_device: str) -> None:
        named = (device_id, source_id, source_device)
        pins = self.tables.pins.get(person_id, ())
        kept = tuple(pin for pin in pins if (pin.device_id, pin.source_id, pin.source_device) != named)
        self.tables.pins = {**self.tables.pins, person_id: kept}

    async def put_tombstones(self, person_id: str, device_id: str, stones: Sequence[Tombstone]) -> None:
        of_person = dict(self.tables.tombstones.get(person_id, {}))
        of_person.pop(device_id, None)
        if stones:
            of_person[device_id] = tuple(stones)
        self.tables.tombstones = {**self.tables.tombstones, person_id: of_person}

    async def put_token(self, token: OperatorToken) -> None:
        same = [each for each in self.tables.tokens.values() if each.digest == token.digest and each.id != token.id]
        if same:
            raise Conflict("another token has this digest")
        self.tables.tokens = {**self.tables.tokens, token.id: replace(token)}
