"""From the store to the record of one person: everything that concerns the person, gathered at one moment.

The sequence is read first, so that a record never claims to include a change it was read before. What binds to what is
worked out by ``domain.binding``; here is only what has to be looked up for it, and the canonical spelling of the names
that sources use (key types ``login`` and ``eas``, by which inventories are found).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.domain.binding import InventoryFacts, PersonFacts, Pin, SeenDevice, assemble, claimed_logins, eas_ids
from gateway.domain.credential import DeviceCredential
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord, Tombstone
from gateway.domain.identity import IdentityRules, canonical_login, canonical_plain_device_id
from gateway.domain.inventory import DeviceKey, Inventory
from gateway.ports.past import EvidenceReading
from gateway.ports.store import PinnedBinding, UnderLogin

CANONICAL_TYPES = frozenset({"login", "eas"})
"""Key types that only Gatepost itself writes; a source's own keys keep their types beside them."""
_USER_TYPES = frozenset({"user", "email", "upn"})
APPLE_PREFIX = "appl"
"""Old iOS releases state ``Appl`` and the serial number as DeviceId."""
APPLE_SERIAL_LENGTHS = range(10, 13)

Under: TypeAlias = Sequence[tuple[str, UnderLogin]]
"""Of each login of a person what is stored under it."""


async def load_record(reading: EvidenceReading, login: str, rules: IdentityRules) -> PersonRecord:
    """The record of the person of a canonical login, alias or not, known or not.

    Names in stored reports are read by the ``rules`` of now, not by those in force when the report came.
    """
    return assemble(await load_facts(reading, login, rules))


async def load_facts(reading: EvidenceReading, login: str, rules: IdentityRules) -> PersonFacts:
    """All that is stored about the person of a canonical login."""
    sequence = await reading.sequence()
    person = await reading.person_by_login(login)
    logins = (person.person_id, *person.aliases) if person else (login,)
    # What an alias collected before it was known to be one counts as well.
    under = [(name, await reading.under_login(name)) for name in logins]
    seen, pins = _seen_devices(under), _pins(under)
    stones = await _tombstones(reading, under)
    gathered = _Gathered(rules)
    for name in logins:
        gathered.add(await reading.inventories_by_key("login", name))
    for pin in pins:
        pinned = await reading.inventory(pin.source_id, pin.source_device)
        gathered.add((pinned,) if pinned else ())
    ids = {*seen, *stones, *(pin.device_id for pin in pins), *gathered.device_ids_of(logins)}
    for device_id in sorted(ids - {""}):
        gathered.add(await reading.inventories_by_key("eas", device_id))
        if device_id.startswith(APPLE_PREFIX):
            gathered.add(await reading.inventories_by_key("serial", device_id.removeprefix(APPLE_PREFIX)))
    return PersonFacts(
        person_id=logins[0],
        known=person is not None,
        logins=logins,
        groups=person.groups if person else frozenset(),
        mail_devices=tuple(seen[device_id] for device_id in sorted(seen)),
        inventories=await gathered.facts(reading),
        pins=tuple(Pin(pin.device_id, pin.source_id, pin.source_device, pin.bound) for pin in pins),
        tombstones=stones,
        credentials=_credentials(under),
        sequence=sequence,
    )


class _Gathered:
    """Inventories, each once, with names by the rules of now."""

    def __init__(self, rules: IdentityRules) -> None:
        self._rules = rules
        self._found: dict[tuple[str, str], Inventory] = {}

    def add(self, inventories: Iterable[Inventory]) -> None:
        for inventory in inventories:
            key = inventory.source_id, inventory.source_device
            if key not in self._found:
                self._found[key] = with_canonical_keys(inventory, self._rules)

    def device_ids_of(self, logins: Sequence[str]) -> set[str]:
        """What the inventories that name one of ``logins`` claim."""
        return {
            device_id
            for inventory in self._found.values()
            if not set(claimed_logins(inventory, self._rules)).isdisjoint(logins)
            for device_id in eas_ids(inventory)
        }

    async def facts(self, reading: EvidenceReading) -> tuple[InventoryFacts, ...]:
        ages: dict[str, float] = {}
        for source_id in sorted({source_id for source_id, _ in self._found}):
            source = await reading.source(source_id)
            if source is None or not source.disbelieved:
                # Evidence of a source that is not there any more at all proves nothing fresh.
                ages[source_id] = source.max_age if source else 0.0
        return tuple(InventoryFacts(self._found[key], ages[key[0]]) for key in sorted(self._found) if key[0] in ages)


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """What a source's own keys say in canonical spelling."""

    logins: tuple[str, ...]
    device_ids: tuple[str, ...]
    unreadable: tuple[str, ...]
    """Types of the keys whose value is no login, or no DeviceId."""


def read_keys(keys: Iterable[DeviceKey], rules: IdentityRules) -> ReadKeys:
    """The logins and DeviceIds among a source's own keys; what cannot be read binds to nothing."""
    logins: dict[str, None] = {}
    device_ids: dict[str, None] = {}
    unreadable: dict[str, None] = {}
    for key in keys:
        try:
            if key.type in _USER_TYPES:
                logins[canonical_login(key.value, rules)] = None
            elif key.type == "eas_device_id":
                device_ids[canonical_plain_device_id(key.value)] = None
        except InvalidValue:
            unreadable[key.type] = None
    return ReadKeys(tuple(logins), tuple(device_ids), tuple(unreadable))


def with_canonical_keys(inventory: Inventory, rules: IdentityRules) -> Inventory:
    """The inventory with exactly the canonical keys that follow from its source's own keys."""
    own = tuple(key for key in inventory.device_keys if key.type not in CANONICAL_TYPES)
    read = read_keys(own, rules)
    keys = (
        *own,
        *(DeviceKey("login", login) for login in read.logins),
        *(DeviceKey("eas", device_id) for device_id in read.device_ids),
    )
    return inventory if keys == inventory.device_keys else replace(inventory, device_keys=keys)


def _seen_devices(under: Under) -> dict[str, SeenDevice]:
    seen: dict[str, SeenDevice] = {}
    for _, found in under:
        for device in found.mail_devices:
            earlier = seen.get(device.device_id)
            if earlier is None or device.first_seen_at < earlier.first_seen_at:
                seen[device.device_id] = SeenDevice(device.device_id, device.first_seen_at)
    return seen


def _pins(under: Under) -> list[PinnedBinding]:
    pins: dict[tuple[str, str, str], PinnedBinding] = {}
    for _, found in under:
        for pin in found.pins:
            pins.setdefault((pin.device_id, pin.source_id, pin.source_device), pin)
    return list(pins.values())


def _credentials(under: Under) -> tuple[DeviceCredential, ...]:
    return tuple(
        DeviceCredential(each.id, each.digest, each.device_id)
        for _, found in under
        for each in found.credentials
        if each.revoked_at is None
    )


async def _tombstones(reading: EvidenceReading, under: Under) -> dict[str, tuple[Tombstone, ...]]:
    stones: dict[str, tuple[Tombstone, ...]] = {}
    for login, below in under:
        for device_id in below.tombstoned:
            found = await reading.tombstones(login, device_id)
            stones[device_id] = tuple(dict.fromkeys((*stones.get(device_id, ()), *found)))
    left_by = {stone.source_id for each in stones.values() for stone in each}
    sources = [await reading.source(source_id) for source_id in sorted(left_by)]
    without = {source.name for source in sources if source is not None and source.disbelieved}
    believed = {device_id: tuple(s for s in each if s.source_id not in without) for device_id, each in stones.items()}
    return {device_id: each for device_id, each in believed.items() if each}
