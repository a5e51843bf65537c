"""The inventories that one unit of work has read or written, as it would read them now.

A report reads the inventories of everybody concerned, writes one of them, and reads all of them again to see what it
has changed. What is in a list of sixty apps is not decoded twice, and what was just written is not read at all.
"""

from collections.abc import Collection, Sequence
from typing import Any

from gateway.domain.inventory import Inventory
from gateway.storage.sql.reading import SqlReading, decoded_inventory

ANSWERS_AT_MOST = 256
"""For the units of a group it is another (``group_memory``)."""
INVENTORIES_AT_MOST = 64
"""Of one answer that is kept; what names many is read page by page, each page once."""

Key = tuple[str, str]
"""Source, and the device in it."""
StatedKey = tuple[str, str]
"""Type and folded value of a key."""


class SqlUnitInventories(SqlReading):
    """``inventory`` and ``inventories_by_key`` of one unit of work, which nobody else writes beside."""

    _inventories: dict[Key, Inventory | None]
    _by_key: dict[StatedKey, list[Key]]
    _answers_at_most = ANSWERS_AT_MOST

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        key = source_id, source_device
        if key not in self._inventories:
            found = await super().inventory(source_id, source_device)
            if len(self._inventories) >= self._answers_at_most:
                return found
            self._inventories[key] = found
        return self._inventories[key]

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        asked = key_type, value.casefold()
        keys = self._by_key.get(asked)
        if keys is not None:
            known = [self._inventories[key] for key in keys]
            return [each for each in known if each is not None]
        rows = await self.rows_by_key(*asked)
        found = {(row.source_id, row.source_device): self._decoded(row) for row in rows}
        if len(found) <= INVENTORIES_AT_MOST and len(self._by_key) < self._answers_at_most:
            self._by_key[asked] = list(found)
            self._inventories.update(found)
        return list(found.values())

    def _decoded(self, row: Any) -> Inventory:
        known = self._inventories.get((row.source_id, row.source_device))
        return known if known is not None else decoded_inventory(row.content)

    def stated_before(self, key: Key) -> set[StatedKey] | None:
        """The keys under which an inventory stands; None: this unit has not read it."""
        if key not in self._inventories:
            return None
        known = self._inventories[key]
        return stated_keys(known) if known is not None else set()

    def now_stands(
        self, key: Key, inventory: Inventory | None, *, gone: Collection[StatedKey], came: Collection[StatedKey] = ()
    ) -> None:
        """An inventory was written, or deleted; ``gone`` and ``came`` are keys that it states no more, or newly."""
        self._inventories[key] = inventory
        if gone:
            self._by_key.clear()
        for stated in came:
            found = self._by_key.get(stated)
            if found is not None and key not in found:
                self._by_key[stated] = sorted((*found, key))


def stated_keys(inventory: Inventory) -> set[StatedKey]:
    """Type and folded value of each key."""
    return {(each.type, each.value.casefold()) for each in inventory.device_keys}
