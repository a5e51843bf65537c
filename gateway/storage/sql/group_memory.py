"""What the units of one transaction know of the database together, so that none reads what another has read.

It is filled by what was foreseen (``foreseeing``) and by what units read; it follows what reports write
(``gathered_writing``), and forgets what any other statement may have changed. It holds for one transaction, which
nobody else writes beside. Each unit has a copy, which takes the place of the original where the unit stays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gateway.domain.inventory import Inventory
from gateway.ports.store import Person, PinnedBinding, StoredMessage, UnderLogin

Key = tuple[str, str]

APPS_AT_MOST = 100_000
"""In the lists of all inventories that are kept for the next units; a report has sixty, a hostile one thousands."""
ANSWERS_AT_MOST = 4_096
"""Of each kind that units read by themselves."""

_PEOPLE = frozenset({"people", "person_logins"})
_DEVICES = frozenset({"mail_devices", "pins", "tombstones"})
_UNDER = _DEVICES | {"credentials"}


@dataclass(slots=True)
class GroupMemory:
    """Answers by what was asked; None, or an empty list: there is nothing. Lists are replaced, not changed."""

    messages: dict[Key, StoredMessage | None] = field(default_factory=dict)
    """By source and message."""
    inventories: dict[Key, Inventory | None] = field(default_factory=dict)
    """By source and device."""
    by_key: dict[Key, list[Key]] = field(default_factory=dict)
    """By type and folded value of a key: which of ``inventories`` state it, in order; all of them are there."""
    people: dict[str, Person | None] = field(default_factory=dict)
    """By login."""
    under: dict[str, UnderLogin] = field(default_factory=dict)
    """By login."""
    with_device: dict[str, Sequence[str]] = field(default_factory=dict)
    """By DeviceId."""
    pins: dict[Key, Sequence[PinnedBinding]] = field(default_factory=dict)
    """By source and device."""

    def copy(self) -> "GroupMemory":
        """Another one with the same answers."""
        return GroupMemory(
            self.messages.copy(),
            self.inventories.copy(),
            self.by_key.copy(),
            self.people.copy(),
            self.under.copy(),
            self.with_device.copy(),
            self.pins.copy(),
        )

    def forget(self, tables: Collection[str]) -> None:
        """What stands in these tables may be another; none named: anything may."""
        written = set(tables)
        for answers, read in (
            (self.messages, {"messages"}),
            (self.inventories, {"inventories"}),
            (self.by_key, {"inventories", "inventory_keys"}),
            (self.people, _PEOPLE),
            (self.under, _UNDER),
            (self.with_device, _DEVICES),
            (self.pins, {"pins"}),
        ):
            if not written or written & read:
                answers.clear()

    def bound(self) -> None:
        """Keep no more than may be kept for long."""
        if sum(len(each.apps) for each in self.inventories.values() if each is not None) > APPS_AT_MOST:
            self.inventories.clear()
            self.by_key.clear()
