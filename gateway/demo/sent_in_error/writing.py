"""Writes the story's fleet for a gateway that has not started yet: the database in bulk, and the index of previews.

``python -m gateway.demo.sent_in_error.writing DATABASE INDEX PEOPLE NOW`` reads the secret of the source of reports
from its standard input and tells on standard output, in lines of JSON, how far it is. It is a process of its own, so
that whoever watches is not kept waiting and its memory is given back.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from gateway.changes.impact.saving import frozen, save
from gateway.changes.impact.tiling import tiled
from gateway.changes.impact.writing import Update, Writer
from gateway.demo.sent_in_error.fleet import (
    MAX_AGE_SECONDS,
    SOURCE,
    Device,
    Fleet,
    device_id_of,
    fleet_of,
    groups_of,
    inventory_of,
    login_of,
    reader_of,
    record_of,
    renamed,
)
from gateway.domain.inventory import Platform
from gateway.storage.inventories import encode_inventory
from gateway.storage.sql.filling import Filled, fill

_PLACE = "#######"
"""Stands for a person's number; as long as one, since lengths are part of what is written."""
_MODELS = {(Platform.ANDROID, "a"): "Pixel 9", (Platform.ANDROID, "b"): "Galaxy Tab"}
_TYPES = {Platform.ANDROID: "Android", Platform.IOS: "iPhone"}

Tell = Callable[[str, int, int], None]


def write(database: Path, index: Path, fleet: Fleet, secret: str, now: float, tell: Tell) -> None:
    """Both files. Raises ``StoreUnavailable``, ``OSError``."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    life, sequence = fill(database, _tables(fleet, secret, now), tell)
    tell("index of the fleet", 0, fleet.devices)
    save(frozen(index_of(fleet, life, sequence)), index)
    tell("index of the fleet", fleet.devices, fleet.devices)


def index_of(fleet: Fleet, life: str, sequence: int) -> Writer:
    """The index of the whole fleet, from the records of one department."""
    part = Writer(life, sequence)
    owned: list[list[Device]] = [[] for _ in range(fleet.people_each)]
    for device in fleet.devices_each:
        owned[device.person].append(device)
    part.put(Update(record_of(person, devices)) for person, devices in enumerate(owned))
    return tiled(part, fleet.departments, lambda name, tile: renamed(name, tile * fleet.people_each))


def _tables(fleet: Fleet, secret: str, now: float) -> Iterator[Filled]:
    columns = ("name", "kind", "devices", "max_scope", "max_age", "secrets", "created_at", "created_by", "user")
    source = (SOURCE, "push", "*", "device", MAX_AGE_SECONDS, json.dumps([secret]), now, "demo", "")
    yield Filled("sources", columns, [source], 1)
    reported = fleet.departments * sum(device.reported for device in fleet.devices_each)
    content = ("source_id", "source_device", "received_at", "content")
    yield Filled("inventories", content, _inventories(fleet), reported)
    keys = ("key_type", "value", "source_id", "source_device")
    yield Filled("inventory_keys", keys, _keys(fleet), reported * 4)
    people = ("person_id", "aliases", "groups", "display_name", "language", "time_zone", "origin")
    yield Filled("people", people, _people(fleet), fleet.people)
    logins = ((login_of(number), login_of(number)) for number in range(fleet.people))
    yield Filled("person_logins", ("login", "person_id"), logins, fleet.people)
    named = ("person_id", "device_id", "first_seen_at", "last_seen_at", "device_type", "user_agent")
    more = ("protocol_version", "client_address", "device_information")
    yield Filled("mail_devices", (*named, *more), _mail_devices(fleet, now), fleet.devices)


def _each(fleet: Fleet, devices: Iterable[Device]) -> Iterator[tuple[int, Device]]:
    """Every such device of every department, with the number of its person."""
    listed = list(devices)
    for department in range(fleet.departments):
        for device in listed:
            yield department * fleet.people_each + device.person, device


def _reported(fleet: Fleet) -> list[Device]:
    """In the order of their keys, which begin with the platform."""
    return [device for device in fleet.devices_each if device.reported]


def _inventories(fleet: Fleet) -> Iterator[Sequence[object]]:
    """Platform by platform, since the key of a row begins with it."""
    for platform in (Platform.ANDROID, Platform.IOS):
        devices = [device for device in _reported(fleet) if device.platform is platform]
        pieces = {
            id(device): encode_inventory(inventory_of(device, _PLACE)).split(_PLACE.encode()) for device in devices
        }
        for number, device in _each(fleet, devices):
            content = f"{number:07}".encode().join(pieces[id(device)])
            yield SOURCE, f"{platform.value}/{device_id_of(number, device.letter)}", device.full_at, content


def _keys(fleet: Fleet) -> Iterator[Sequence[object]]:
    for kind in ("eas", "eas_device_id", "login", "user"):
        by_device = kind.startswith("eas")
        for number, device in _each(fleet, _reported(fleet)):
            device_id = device_id_of(number, device.letter)
            yield kind, device_id if by_device else login_of(number), SOURCE, f"{device.platform.value}/{device_id}"


def _people(fleet: Fleet) -> Iterator[Sequence[object]]:
    traits = [(json.dumps(groups_of(person)), *reader_of(person)) for person in range(fleet.people_each)]
    for number in range(fleet.people):
        groups, language, zone = traits[number % fleet.people_each]
        yield login_of(number), "[]", groups, f"Employee {number}", language, zone, "import"


def _mail_devices(fleet: Fleet, now: float) -> Iterator[Sequence[object]]:
    for number, device in _each(fleet, fleet.devices_each):
        model = _MODELS.get((device.platform, device.letter), "iPad" if device.letter == "b" else "iPhone 16")
        told = json.dumps({"Model": model})
        seen = (device.first_seen_at, now, _TYPES[device.platform], "", "", "", told)
        yield login_of(number), device_id_of(number, device.letter), *seen


def main(arguments: list[str]) -> None:
    """Of the process."""
    database, index, people, now = Path(arguments[0]), Path(arguments[1]), int(arguments[2]), float(arguments[3])
    secret = sys.stdin.readline().strip()

    def tell(what: str, done: int, whole: int) -> None:
        sys.stdout.write(json.dumps([what, done, whole]) + "\n")
        sys.stdout.flush()

    write(database, index, fleet_of(people, now), secret, now, tell)


if __name__ == "__main__":
    main(sys.argv[1:])
