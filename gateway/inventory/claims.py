"""How many inventory devices of one source may claim the same user, or the same DeviceId; and name how many people.

A record gathers all of them, and so does every report about one of them: without a bound, whoever has one source's
secret makes the record of a person as large, and everybody's reports as slow, as it likes. Counted for each source by
itself, so that none takes another one's place; and only what a device newly claims, so that what is stored goes on.
What it claimed before and left an open hit under counts as well: that stays in the record.
"""

from collections.abc import Iterable

from gateway.domain.binding import claimed_logins, eas_ids
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import DeviceKey, Inventory
from gateway.inventory.records import APPLE_PREFIX, APPLE_SERIAL_LENGTHS
from gateway.ports.store import Reading

CLAIMS_PER_NAME = 50
"""Devices of one source for one name; a person has a few, an account for shared tablets may have more."""


def claimed_ids(inventory: Inventory) -> tuple[str, ...]:
    """The DeviceIds that an inventory states, and those that old iOS releases make of its serial number."""
    return (*eas_ids(inventory), *derived_ids(inventory.device_keys))


def derived_ids(keys: Iterable[DeviceKey]) -> tuple[str, ...]:
    """The DeviceIds that old iOS releases make of a serial number."""
    serials = [key.value.casefold() for key in keys if key.type == "serial"]
    return tuple(APPLE_PREFIX + serial for serial in serials if len(serial) in APPLE_SERIAL_LENGTHS)


async def too_much_claimed(
    reading: Reading, current: Inventory | None, fresh: Inventory, rules: IdentityRules, at_most: int
) -> str:
    """What ``fresh``, which takes the place of ``current``, would claim beyond ``at_most``; empty: nothing."""
    logins = _added(claimed_logins(fresh, rules), claimed_logins(current, rules) if current else ())
    for login in logins:
        if len(await _others(reading, fresh, "login", login)) >= at_most:
            return f"{at_most} other devices for the user {login}"
    known = claimed_ids(current) if current else ()
    claimed = set(claimed_ids(fresh))
    added = claimed - set(known)
    for login in claimed_logins(fresh, rules) if added else logins:
        left = await _left_behind(reading, fresh.source_id, login)
        # One that was left may come back, also beside those that the device has.
        if len(left) >= at_most and not (claimed if login in logins else added) <= left:
            return f"{at_most} other DeviceIds with hits for the user {login}"
    for device_id in claimed_ids(fresh):
        if device_id in known and not logins:
            continue
        others = await _claimants(reading, fresh, device_id)
        if device_id not in known and len(others) >= at_most:
            return f"{at_most} other devices for the DeviceId {device_id}"
        people = {login for each in (fresh, *others) for login in claimed_logins(each, rules)}
        if len(people) > at_most:
            return f"more than {at_most} users for the DeviceId {device_id}"
    return ""


def _added(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in known)


async def _left_behind(reading: Reading, source_id: str, login: str) -> set[str]:
    """The DeviceIds of a person under which hits of a source outlived its evidence."""
    person = await reading.person_by_login(login)
    found = set()
    for name in (person.person_id, *person.aliases) if person else (login,):
        for device_id in (await reading.under_login(name)).tombstoned:
            if device_id and any(each.source_id == source_id for each in await reading.tombstones(name, device_id)):
                found.add(device_id)
    return found


async def _claimants(reading: Reading, fresh: Inventory, device_id: str) -> list[Inventory]:
    found = await _others(reading, fresh, "eas", device_id)
    if device_id.startswith(APPLE_PREFIX):
        found += await _others(reading, fresh, "serial", device_id.removeprefix(APPLE_PREFIX))
    return found


async def _others(reading: Reading, fresh: Inventory, key_type: str, value: str) -> list[Inventory]:
    """Other devices of the same source that hold a key."""
    return [
        each
        for each in await reading.inventories_by_key(key_type, value)
        if each.source_id == fresh.source_id and each.source_device != fresh.source_device
    ]
