"""Bindings: this mail device is that inventory device.

Bindings are derived whenever a record is assembled and never stored; stored are only what the sources say, what an
administrator pinned, and tombstones. The rules (strongest first): a pin; an ActiveSync id that the inventory states,
together with the same user; ``Appl`` and the serial number, together with the same user. The DeviceId alone never
binds, because any client can type a colleague's.

Unique both ways: two devices of one source that claim a DeviceId, two sources that claim it for different people, or
one inventory device that claims two DeviceIds in use, make a conflict, in which the hits of all claimants count. What
others claim among themselves is no conflict of this person's: to this person such a device is unmatched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from gateway.domain.certificate import keys_of
from gateway.domain.credential import DeviceCredential
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.identity import IdentityRules, canonical_login, canonical_plain_device_id
from gateway.domain.inventory import Inventory, Ownership, Platform

_APPLE_SERIAL_LENGTHS = (10, 11, 12)
_USER_KEYS = frozenset({"user", "email", "upn"})


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A mail device that asked with accepted credentials."""

    device_id: str
    first_seen_at: float


@dataclass(frozen=True, slots=True)
class InventoryFacts:
    """An inventory with the property of its source that a record needs."""

    inventory: Inventory
    max_age: float


@dataclass(frozen=True, slots=True)
class Pin:
    """An administrator's word on one pair; ``bound`` False keeps it apart."""

    device_id: str
    source_id: str
    source_device: str
    bound: bool


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """Everything stored that concerns one person."""

    person_id: str
    known: bool
    logins: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    mail_devices: tuple[SeenDevice, ...] = ()
    inventories: tuple[InventoryFacts, ...] = ()
    """Those that name the person, claim a DeviceId of the person's, or are pinned to one."""
    pins: tuple[Pin, ...] = ()
    tombstones: Mapping[str, tuple[Tombstone, ...]] = field(default_factory=dict)
    """By canonical DeviceId; the empty one for inventory devices without a mail device."""
    credentials: tuple[DeviceCredential, ...] = ()
    """Those that are good now."""
    sequence: int = 0


def eas_ids(inventory: Inventory) -> tuple[str, ...]:
    """The canonical DeviceIds that an inventory states; what is no DeviceId is left out."""
    found: dict[str, None] = {}
    for key in inventory.device_keys:
        if key.type == "eas":
            found[key.value] = None
        elif key.type == "eas_device_id":
            try:
                found[canonical_plain_device_id(key.value)] = None
            except InvalidValue:
                continue
    return tuple(found)


def claimed_logins(inventory: Inventory, rules: IdentityRules) -> tuple[str, ...]:
    """The canonical logins that an inventory names; what is no login is left out."""
    found: dict[str, None] = {}
    for key in inventory.device_keys:
        if key.type == "login":
            found[key.value] = None
        elif key.type in _USER_KEYS:
            try:
                found[canonical_login(key.value, rules)] = None
            except InvalidValue:
                continue
    return tuple(found)


def assemble(facts: PersonFacts) -> PersonRecord:
    """The record of a person from all that is stored."""
    claims = [_Claim.of(each, facts) for each in facts.inventories]
    seen = {device.device_id: device.first_seen_at for device in facts.mail_devices}
    ids = dict.fromkeys(seen)
    for claim in claims:
        if claim.names_person:
            ids.update(dict.fromkeys(claim.device_ids))
    ids.update(dict.fromkeys(pin.device_id for pin in facts.pins if pin.bound))
    ids.update(dict.fromkeys(device_id for device_id in facts.tombstones if device_id))
    devices = {}
    used: set[tuple[str, str]] = set()
    for device_id in ids:
        device, members = _device(device_id, facts, claims, seen)
        devices[device_id] = device
        used.update(members)
    unbound = [
        DeviceEvidence("", BindingState.BOUND, (claim.evidence,), (), None, claim.platform, claim.ownership)
        for claim in claims
        if claim.names_person and claim.key not in used
    ]
    if facts.tombstones.get(""):
        unbound.append(DeviceEvidence("", BindingState.UNMATCHED, (), facts.tombstones[""]))
    return PersonRecord(
        person_id=facts.person_id,
        known=facts.known,
        logins=facts.logins or (facts.person_id,),
        groups=facts.groups,
        devices=devices,
        unbound=tuple(unbound),
        sequence=facts.sequence,
        credentials=facts.credentials,
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """An inventory device as a claimant of DeviceIds."""

    facts: InventoryFacts
    device_ids: tuple[str, ...]
    logins: frozenset[str]
    names_person: bool
    serials: frozenset[str]
    in_use: int
    """How many DeviceIds that the person really uses are its own by id, serial number or pin."""

    @classmethod
    def of(cls, facts: InventoryFacts, person: PersonFacts) -> "_Claim":
        keys = facts.inventory.device_keys
        ids = eas_ids(facts.inventory)
        own = person.logins or (person.person_id,)
        # Two aliases of one person are not two people.
        logins = {person.person_id if key.value in own else key.value for key in keys if key.type == "login"}
        serials = frozenset(key.value.casefold() for key in keys if key.type == "serial")
        return cls(
            facts=facts,
            device_ids=ids,
            logins=frozenset(logins),
            names_person=person.person_id in logins,
            serials=serials,
            in_use=len(_claimed(facts.inventory, ids, serials, person.pins) & _used(person)),
        )

    @property
    def key(self) -> tuple[str, str]:
        return self.facts.inventory.source_id, self.facts.inventory.source_device

    @property
    def platform(self) -> Platform | None:
        return self.facts.inventory.platform

    @property
    def ownership(self) -> Ownership:
        return self.facts.inventory.ownership

    @property
    def evidence(self) -> SourceEvidence:
        inventory = self.facts.inventory
        return SourceEvidence(
            source_id=inventory.source_id,
            source_device=inventory.source_device,
            scope=inventory.scope,
            naming=inventory.naming,
            generated_at=inventory.generated_at,
            max_age=self.facts.max_age,
            apps=inventory.apps,
            full_at=inventory.full_at,
            compromised=inventory.compromised,
            compliant=inventory.compliant,
            suspicious=inventory.suspicious,
            keys=keys_of(inventory.device_keys),
        )

    def is_apple_serial_of(self, device_id: str) -> bool:
        return device_id in _derived(self.serials)


def _derived(serials: Iterable[str]) -> set[str]:
    """The DeviceIds that old iOS releases make of a serial number."""
    return {f"appl{serial}" for serial in serials if len(serial) in _APPLE_SERIAL_LENGTHS}


def _claimed(inventory: Inventory, ids: tuple[str, ...], serials: Iterable[str], pins: Iterable[Pin]) -> set[str]:
    """All DeviceIds that an inventory device may be taken for, as the administrator left it."""
    key = (inventory.source_id, inventory.source_device)
    mine = [pin for pin in pins if (pin.source_id, pin.source_device) == key]
    claimed = {*ids, *_derived(serials), *(pin.device_id for pin in mine)}
    return claimed - {pin.device_id for pin in mine if not pin.bound}


def _used(person: PersonFacts) -> set[str]:
    return {device.device_id for device in person.mail_devices}


def _device(
    device_id: str, facts: PersonFacts, claims: list[_Claim], seen: Mapping[str, float]
) -> tuple[DeviceEvidence, set[tuple[str, str]]]:
    """The evidence of one DeviceId, and the inventory devices that it uses up."""
    pins = {(p.source_id, p.source_device): p.bound for p in facts.pins if p.device_id == device_id}
    pinned_sources = {source for (source, _), bound in pins.items() if bound}
    claimants = [
        claim
        for claim in claims
        if pins.get(claim.key) is not False
        and (device_id in claim.device_ids or pins.get(claim.key) or claim.is_apple_serial_of(device_id))
    ]
    # A pin settles what its source says about this DeviceId; other sources go on by the ids.
    standing = [claim for claim in claimants if pins.get(claim.key) or claim.key[0] not in pinned_sources]
    members = [claim for claim in standing if pins.get(claim.key) or claim.names_person]
    if not members:
        # Claimed for others only, agreed or not: never bound here, but a hit on that phone is a hit.
        state, shown = BindingState.UNMATCHED, standing
    elif _in_conflict(standing, pins):
        state, shown = BindingState.CONFLICT, standing
    else:
        state, shown = BindingState.BOUND, members
    first = members[0] if members else None
    device = DeviceEvidence(
        device_id=device_id,
        binding=state,
        sources=tuple(claim.evidence for claim in shown),
        tombstones=facts.tombstones.get(device_id, ()),
        first_seen_at=seen.get(device_id),
        platform=first.platform if first else None,
        ownership=first.ownership if first else Ownership.UNKNOWN,
    )
    return device, {claim.key for claim in members}


def _in_conflict(claimants: list[_Claim], pins: Mapping[tuple[str, str], bool]) -> bool:
    by_ids = [claim for claim in claimants if not pins.get(claim.key)]
    sources = [claim.key[0] for claim in by_ids]
    if len(set(sources)) < len(sources):
        return True
    if any(claim.in_use > 1 and claim.names_person for claim in by_ids):
        return True
    return _for_different_people(by_ids)


def _for_different_people(claimants: Iterable[_Claim]) -> bool:
    named = [claim.logins for claim in claimants if claim.logins]
    return any(one.isdisjoint(other) for one, other in combinations(named, 2))
