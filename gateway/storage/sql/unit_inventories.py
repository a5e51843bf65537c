"""The inventories that one unit of work has read or written, as it would read them now.

A report reads the inventories of everybody concerned, writes one of them, and reads all of them again to see what it
has changed. What is in a list of sixty apps is not decoded twice, and what was just written is not read at all.
"""

from collections.abc import Sequence
from typing import Any

from gateway.domain.inventory import Inventory
from gateway.storage.sql.reading import SqlReading, decoded_inventory

ANSWERS_AT_MOST = 256
INVENTORIES_AT_MOST = 64
"""Of one answer that is kept; what names many is read page by page, each page once."""

Key = tuple[str, str]
"""Source, and the device in it."""


class SqlUnitInventories(SqlReading):
    """``inventory`` and ``inventories_by_key`` of one unit of work, which nobody else writes beside."""

    _inventories: dict[Key, Inventory | None]
    _by_key: dict[tuple[str, str], list[Key]]

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        key = source_id, source_device
        if key not in self._inventories:
            found = await super().inventory(source_id, source_device)
            if len(self._inventories) >= ANSWERS_AT_MOST:
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
        if len(found) <= INVENTORIES_AT_MOST and len(self._by_key) < ANSWERS_AT_MOST:
            self._by_key[asked] = list(found)
            self._inventories.update(found)
        return list(found.values())

    def _decoded(self, row: Any) -> Inventory:
        known = self._inventories.get((row.source_id, row.source_device))
        return known if known is not None else decoded_inventory(row.content)

    def stated_before(self, key: Key) -> set[tuple[str, str]] | None:
        """The keys under which an inventory stands; None: this unit has not read it."""
        if key not in self._inventories:
            return None
        known = self._inventories[key]
        return stated_keys(known) if known is not None else set()

    def now_stands(self, key: Key, inventory: Inventory | None, *, same_keys: bool) -> None:
        """An inventory was written, or deleted."""
        if not same_keys:
            self._by_key.clear()
        self._inventories[key] = inventory


def stated_keys(inventory: Inventory) -> set[tuple[str, str]]:
    """Type and folded value of each key."""
    return {(each.type, each.value.casefold()) for each in inventory.device_keys}
