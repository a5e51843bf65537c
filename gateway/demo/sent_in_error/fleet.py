"""The fleet of the story: hundreds of thousands of people, made of one department again and again.

A department's people, devices and app lists are drawn once; every other department is the same under other numbers. So
a million devices are written in a minute or two, and who holds the banned app is known without asking the gateway.
Some devices have no report and some an old one, as in any fleet.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.demo.values import DOMAIN
from gateway.domain.binding import InventoryFacts, PersonFacts, SeenDevice, assemble
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App, AppOrigin, DeviceKey, Inventory, Naming, Ownership, Platform, Scope

SOURCE = "agents"
MAX_AGE_SECONDS = 7 * 86_400.0
DEPARTMENT = 2_100
"""People in one at most."""
APPS = 30
CATALOGUE = 10_000
GROUPS = 300
BANNED = "com.zhiliaoapp.musically"
"""Of TikTok, on Android and iOS alike."""
BANNED_NAME = "TikTok"
TABLETS_IN_21 = 4
"""Of so many people so many have a tablet beside the phone: 840,000 people have 1,000,000 devices."""
_DAY = 86_400.0
_READERS = (
    *(("en", "America/New_York"),) * 4,
    *(("es", "Europe/Madrid"),) * 3,
    *(("de", "Europe/Berlin"),) * 3,
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a department."""

    person: int
    """Whose it is, as a number within the department."""
    letter: str
    """``a`` the phone, ``b`` the tablet."""
    platform: Platform
    apps: tuple[App, ...]
    full_at: float
    """When its last report was made."""
    first_seen_at: float
    reported: bool
    """Whether there is a report."""

    @property
    def holds(self) -> bool:
        """Whether its last report names the banned app."""
        return self.reported and any(app.id == BANNED for app in self.apps)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole company."""

    departments: int
    people_each: int
    devices_each: tuple[Device, ...]

    @property
    def people(self) -> int:
        """How many people there are."""
        return self.departments * self.people_each

    @property
    def devices(self) -> int:
        """How many devices they have."""
        return self.departments * len(self.devices_each)

    @property
    def holding(self) -> int:
        """On how many devices the banned app was reported."""
        return self.departments * sum(device.holds for device in self.devices_each)

    @property
    def people_holding(self) -> int:
        """How many people have such a device."""
        return self.departments * len({device.person for device in self.devices_each if device.holds})

    def phones(self, count: int, *, holding: bool) -> list[tuple[int, Device]]:
        """So many reported Android phones of as many people, from all departments; each with its person's number.

        With ``holding`` every one has the banned app, else none of the person's devices has it.
        """
        holders = {device.person for device in self.devices_each if device.holds}
        able = [
            device
            for device in self.devices_each
            if device.letter == "a"
            and device.platform is Platform.ANDROID
            and device.reported
            and (device.holds if holding else device.person not in holders)
        ]
        found = []
        for number in range(min(count, len(able) * self.departments)):
            device = able[number // self.departments]
            found.append((number % self.departments * self.people_each + device.person, device))
        return found


def fleet_of(people: int, now: float) -> Fleet:
    """A fleet of at least so many people, in departments of one size."""
    departments = -(-people // DEPARTMENT)
    each = -(-people // departments)
    return Fleet(departments, each, tuple(_devices(each, now)))


def _devices(people: int, now: float) -> Iterator[Device]:
    generator = random.Random(1)  # noqa: S311  (a picture, no secret)
    catalogue = {platform: _catalogue(platform) for platform in (Platform.ANDROID, Platform.IOS)}
    number = 0
    for person in range(people):
        for letter in "ab" if person % 21 < TABLETS_IN_21 else "a":
            platform = Platform.IOS if number % 9 >= 5 else Platform.ANDROID
            apps = _apps(catalogue[platform], generator, banned=number % 25 < 3)
            # One in a hundred has not reported for long; three in two hundred never did.
            age = MAX_AGE_SECONDS + _DAY if number * 13 % 100 == 5 else number * 37 % 480 * 900.0
            first = now - (40 + number * 17 % 800) * _DAY
            yield Device(person, letter, platform, apps, now - age, first, number * 11 % 200 >= 3)
            number += 1


def _catalogue(platform: Platform) -> list[App]:
    return [
        App(platform, f"com.vendor{n % 700}.product{n}", f"Product {n}", f"{n % 40}.{n % 7}.1", origin=AppOrigin.STORE)
        for n in range(CATALOGUE)
    ]


def _apps(catalogue: Sequence[App], generator: random.Random, *, banned: bool) -> tuple[App, ...]:
    """Some apps are everywhere, most are rare."""
    ranks: set[int] = set()
    while len(ranks) < APPS - banned:
        ranks.add(int(CATALOGUE ** generator.random()) - 1)
    found = [catalogue[rank] for rank in sorted(ranks)]
    if banned:
        found.append(App(found[0].platform, BANNED, BANNED_NAME, "41.2.0", origin=AppOrigin.STORE))
    return tuple(found)


# --- names


def login_of(number: int | str) -> str:
    """The login of a person, by the person's number among all or by what stands in its place."""
    return f"user{number:0>7}@{DOMAIN}"


def device_id_of(number: int | str, letter: str) -> str:
    """The DeviceId of a person's device."""
    return f"demo{number:0>7}{letter}"


def renamed(name: str, by: int) -> str:
    """The same name ``by`` people further on; logins and DeviceIds have their number at one place."""
    return f"{name[:4]}{int(name[4:11]) + by:07}{name[11:]}"


def groups_of(person: int) -> list[str]:
    """The groups of a person, by the number within the department."""
    return sorted({f"team{person % GROUPS:03}", f"country-{reader_of(person)[0]}"})


def reader_of(person: int) -> tuple[str, str]:
    """Language and time zone of a person."""
    return _READERS[person % len(_READERS)]


def inventory_of(device: Device, number: int | str) -> Inventory:
    """What a report of that device has left in the store."""
    login, device_id = login_of(number), device_id_of(number, device.letter)
    keys = (("user", login), ("eas_device_id", device_id), ("login", login), ("eas", device_id))
    return Inventory(
        SOURCE,
        f"{device.platform.value}/{device_id}",
        Scope.DEVICE,
        Naming.IDENTIFIER,
        generated_at=device.full_at,
        received_at=device.full_at,
        sequence=0,
        apps=device.apps,
        full_at=device.full_at,
        device_keys=tuple(DeviceKey(*key) for key in keys),
        ownership=Ownership.COMPANY if device.letter == "a" else Ownership.PERSONAL,
        platform=device.platform,
    )


def record_of(person: int, devices: Sequence[Device]) -> PersonRecord:
    """The record of a person of the first department with all devices, as it is assembled from what the store has."""
    login = login_of(person)
    seen = (SeenDevice(device_id_of(person, each.letter), each.first_seen_at) for each in devices)
    reports = (InventoryFacts(inventory_of(each, person), MAX_AGE_SECONDS) for each in devices if each.reported)
    facts = PersonFacts(
        person_id=login,
        known=True,
        logins=(login,),
        groups=frozenset(groups_of(person)),
        mail_devices=tuple(seen),
        inventories=tuple(reports),
    )
    return assemble(facts)
