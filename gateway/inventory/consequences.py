"""What a change of evidence means for people: tombstones for hits that lost their evidence, and whom to announce.

Every change of inventories, pins and people goes through ``announced``: it compares the records of everybody concerned
before and after, inside the same unit of work. Nobody is announced whose record stays the same.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from gateway.domain.binding import claimed_logins
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import Inventory
from gateway.domain.matching import BanIndex
from gateway.domain.policy import Policy
from gateway.domain.posture import surviving_hits
from gateway.inventory.claims import claimed_ids
from gateway.inventory.records import APPLE_PREFIX, load_record
from gateway.ports.store import Change, Reading, Store, Writing

T = TypeVar("T")

Turned: TypeAlias = tuple[tuple[PersonRecord, PersonRecord], ...]
"""People's records before and after a change of evidence."""


async def _nobody_else_writes(reading: Reading) -> None:
    """Where one process makes all policy versions it knows the newest."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where evidence is changed: the store, how names are read, who hears of changes, and the policy of now."""

    store: Store
    rules: IdentityRules
    publish: Callable[[Sequence[Change]], Awaitable[None]]
    policy: Callable[[], Policy]
    catch_up: Callable[[Reading], Awaitable[None]] = _nobody_else_writes
    """Makes ``policy`` that of a unit of work."""

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> T:
        """Run a unit of work and publish what it changed, after its commit. Raises as ``Store.write``."""
        result, changes = await self.store.write(work)
        await self.publish(changes)
        return result

    async def concerned(self, reading: Reading, *inventories: Inventory | None) -> tuple[str, ...]:
        """``people_concerned`` by the names of now."""
        return await people_concerned(reading, inventories, self.rules)

    async def announced(
        self,
        writing: Writing,
        people: Iterable[str],
        change: Callable[[], Awaitable[None]],
        *,
        forgotten: tuple[str, str] | None = None,
    ) -> Turned:
        """``announced`` by the names and the bans of now."""
        await self.catch_up(writing)
        return await announced(writing, self.rules, self.policy().index, people, change, forgotten=forgotten)


async def people_concerned(
    reading: Reading, inventories: Iterable[Inventory | None], rules: IdentityRules
) -> tuple[str, ...]:
    """The ids of everybody in whose record one of these inventories may appear.

    They are those it names, those who have a DeviceId that it claims, those whose other inventories claim it too, and
    those with a pin on any of these. A login that belongs to nobody stands for itself.
    """
    claimants: dict[tuple[str, str], Inventory] = {}
    owners: dict[str, None] = {}
    device_ids: dict[str, None] = {}
    for inventory in inventories:
        if inventory is not None:
            # The state before and after may name different people: both count.
            owners.update(dict.fromkeys(claimed_logins(inventory, rules)))
            device_ids.update(dict.fromkeys(claimed_ids(inventory)))
            claimants[inventory.source_id, inventory.source_device] = inventory
    for device_id in device_ids:
        owners.update(dict.fromkeys(await reading.people_with_device(device_id)))
        for other in await reading.inventories_by_key("eas", device_id):
            claimants.setdefault((other.source_id, other.source_device), other)
        if device_id.startswith(APPLE_PREFIX):
            for other in await reading.inventories_by_key("serial", device_id.removeprefix(APPLE_PREFIX)):
                claimants.setdefault((other.source_id, other.source_device), other)
    for key, claimant in claimants.items():
        owners.update(dict.fromkeys(claimed_logins(claimant, rules)))
        owners.update(dict.fromkeys(pin.person_id for pin in await reading.pins_of_inventory(*key)))
    return tuple(dict.fromkeys([await person_id_of(reading, login) for login in owners]))


async def person_id_of(reading: Reading, login: str) -> str:
    """The id of the person of a login; the login itself where it belongs to nobody."""
    person = await reading.person_by_login(login)
    return person.person_id if person else login


async def announced(
    writing: Writing,
    rules: IdentityRules,
    index: BanIndex,
    people: Iterable[str],
    change: Callable[[], Awaitable[None]],
    *,
    forgotten: tuple[str, str] | None = None,
) -> Turned:
    """Run ``change`` and store what follows from it for the records of ``people``.

    Open hits whose evidence the change takes away become tombstones, except those of the device ``forgotten`` (person
    id and canonical DeviceId). All logins whose record differs afterwards go to the change log; those records are the
    answer.
    """
    before = {person_id: await load_record(writing, person_id, rules) for person_id in people}
    await change()
    logins: dict[str, None] = {}
    records, turned, entombed = [], [], False
    for person_id, old in before.items():
        new = await load_record(writing, person_id, rules)
        kept = await _entomb(writing, old, new, index, forgotten)
        if kept or replace(old, sequence=0) != replace(new, sequence=0):
            logins.update(dict.fromkeys((*old.logins, *new.logins)))
            records.append(new)
            turned.append((old, new))
        entombed |= kept
    if logins:
        # A tombstone is in no record that was read before it.
        writing.log_people(tuple(logins), () if entombed else records)
    return tuple(turned)


async def _entomb(
    writing: Writing, old: PersonRecord, new: PersonRecord, index: BanIndex, forgotten: tuple[str, str] | None
) -> bool:
    """Store the tombstones that must change; whether there are any."""
    changed = False
    for device_id, stones in surviving_hits(old, new, index).items():
        if (new.person_id, device_id) == forgotten:
            continue
        changed = True
        await writing.put_tombstones(new.person_id, device_id, stones)
        for alias in new.logins:
            # Those collected under an alias are among ``stones`` and stand under the person from now on.
            if alias != new.person_id:
                await writing.put_tombstones(alias, device_id, ())
    return changed
