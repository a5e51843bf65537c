"""A unit of work whose usual readings are answered from what its group knows, and whose usual writes are put off.

Usual is what a report does: the message, the person, the states of devices with the way back, and their keys. The rest
is as in ``SqlWriting``, behind all that (``gathered``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from gateway.domain.inventory import Inventory
from gateway.ports.store import Person, PinnedBinding, StoredMessage, UnderLogin
from gateway.storage.inventories import encode_inventory
from gateway.storage.past_rows import PastKind
from gateway.storage.sql.group_memory import ANSWERS_AT_MOST, GroupMemory
from gateway.storage.sql.past import NO_APPS
from gateway.storage.sql.put_off import PutOff
from gateway.storage.sql.remembered_rows import RememberedRows
from gateway.storage.sql.writing import SqlWriting, row_of_person

K = TypeVar("K")
V = TypeVar("V")


class GatheredWriting(SqlWriting):
    """``ports.store.Writing`` in a group."""

    def __init__(
        self,
        rows: RememberedRows,
        sequence: int,
        incarnation: str,
        lease_clock: Callable[[], float] | None,
        clock: Callable[[], float],
        *,
        memory: GroupMemory,
        put_off: PutOff,
    ) -> None:
        """``memory`` and ``put_off`` are this unit's own."""
        super().__init__(rows, sequence, incarnation, lease_clock, clock)
        self.memory = memory
        self.put_off = put_off
        self._remembered = rows
        self._inventories = memory.inventories
        self._by_key = memory.by_key
        self._answers_at_most = ANSWERS_AT_MOST

    # --- what is read

    async def message(self, source_id: str, message_id: str) -> StoredMessage | None:
        key, known = (source_id, message_id), self.memory.messages
        if key in known:
            return known[key]
        return _kept(known, key, await super().message(source_id, message_id))

    async def person_by_login(self, login: str) -> Person | None:
        known = self.memory.people
        if login in known:
            return known[login]
        return _kept(known, login, await super().person_by_login(login))

    async def under_login(self, login: str) -> UnderLogin:
        known = self.memory.under
        if login in known:
            return known[login]
        return _kept(known, login, await super().under_login(login))

    async def people_with_device(self, device_id: str) -> Sequence[str]:
        known = self.memory.with_device
        if device_id in known:
            return known[device_id]
        return _kept(known, device_id, await super().people_with_device(device_id))

    async def pins_of_inventory(self, source_id: str, source_device: str) -> Sequence[PinnedBinding]:
        key, known = (source_id, source_device), self.memory.pins
        if key in known:
            return known[key]
        return _kept(known, key, await super().pins_of_inventory(source_id, source_device))

    # --- what is written

    async def put_message(self, source_id: str, message_id: str, message: StoredMessage) -> None:
        self._remembered.forget({"messages"})
        key = source_id, message_id
        self.put_off.messages[key] = self.memory.messages[key] = message

    async def put_person(self, person: Person) -> None:
        if person.aliases or await self.person_by_login(person.person_id) is not None:
            await super().put_person(person)
            return
        # Nobody has the login, and there is no other.
        await self._keep(PastKind.PERSON, person.person_id, [("", None)])
        self._remembered.forget({"people", "person_logins"})
        self.put_off.people.append(row_of_person(person))
        self.memory.people[person.person_id] = person

    async def _put_state(self, inventory: Inventory, undo: tuple[bytes, bytes] | None, added: bytes) -> None:
        await self._keep_step(inventory, undo, added)
        self._remembered.forget({"inventories"})
        content = inventory.received_at, encode_inventory(inventory)
        self.put_off.inventories[inventory.source_id, inventory.source_device] = content

    async def _add_keys(self, rows: Sequence[Mapping[str, object]]) -> None:
        self._remembered.forget({"inventory_keys"})
        self.put_off.keys += rows

    async def _keep(self, kind: PastKind, owner: str, values: Sequence[tuple[str, bytes | None]]) -> None:
        self._remembered.forget({"past_values"})
        self.put_off.past += self._past_values(kind, owner, values)

    async def _keep_step(self, state: Inventory, undo: tuple[bytes, bytes] | None, added: bytes = NO_APPS) -> None:
        self._remembered.forget({"inventory_events"})
        self.put_off.steps.append(self._step_values(state, undo, added))


def _kept(known: dict[K, V], key: K, found: V) -> V:
    if len(known) < ANSWERS_AT_MOST:
        known[key] = found
    return found
