"""Person records in the little memory that a hundred thousand of them should take.

A record as objects needs 1.5 kB, more than half of it for pointers to apps. ``compact`` keeps the devices as bytes in
which a number stands for each app, and makes the objects when somebody looks: some 10 µs, once per verdict that is not
remembered. Numbers mean apps of one table; a full table is followed by a fresh one and goes when its last record goes,
so that app versions of last year don't stay.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, ValuesView
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, cast

import msgspec

from gateway.domain.evidence import DeviceEvidence, Devices, PersonRecord
from gateway.domain.inventory import App
from gateway.storage.records import DeviceRow, SourceRow, device_of, device_row, shared_groups
from gateway.storage.rows import packed

NUMBERS = 65_536
"""Apps in one table; a number takes two octets, but for the last few of a table."""

APPS = SourceRow.__struct_fields__.index("apps")
_decoder = msgspec.msgpack.Decoder(tuple[DeviceRow[int | bytes], ...])


class AppTable:
    """Numbers for apps."""

    def __init__(self) -> None:
        self._apps: list[App] = []
        self._numbers: dict[App, int] = {}
        self._asked: tuple[frozenset[str], int, frozenset[int]] = frozenset(), 0, frozenset()
        """The last ids that were asked for, how many apps were looked at, and the numbers of those that have them."""

    @property
    def full(self) -> bool:
        """Whether the next record needs another table."""
        return len(self._apps) >= NUMBERS

    def number(self, app: App) -> int:
        """The number of an app."""
        known = self._numbers.get(app)
        if known is None:
            known = self._numbers[app] = len(self._apps)
            self._apps.append(app)
        return known

    def apps(self, numbers: tuple[int | bytes, ...]) -> tuple[App, ...]:
        """The apps of numbers, or of all the numbers of a list in the octets that ``_in_two_octets`` made."""
        return tuple([self._apps[number] for number in _unpacked(numbers)])

    def numbers_of(self, ids: frozenset[str]) -> frozenset[int]:
        """The numbers of all apps with one of these ids; one question after the other is about the same ones."""
        asked, looked_at, found = self._asked
        if asked is not ids:
            looked_at, found = 0, frozenset()
        if looked_at < len(self._apps):
            new = enumerate(self._apps[looked_at:], looked_at)
            found |= {number for number, app in new if app.id in ids}
            self._asked = ids, len(self._apps), found
        return found


def _in_two_octets(numbers: list[int]) -> bytes:
    """Numbers in two octets each, behind the letter that says so; in more if one of them needs it."""
    for letter in ("H", "I"):
        with suppress(OverflowError):
            return letter.encode() + array(letter, numbers).tobytes()
    raise AssertionError("an app's number has four octets at most")


def _unpacked(numbers: tuple[int | bytes, ...]) -> Iterable[int]:
    return chain.from_iterable((each,) if isinstance(each, int) else array(chr(each[0]), each[1:]) for each in numbers)


class PackedDevices(Devices):
    """Devices by DeviceId, made into objects at each look."""

    __slots__ = ("_content", "_table")

    def __init__(self, devices: Mapping[str, DeviceEvidence], table: AppTable) -> None:
        self._table = table
        # A copy, because the encoder leaves its octets in all the room that it had made for them.
        self._content = bytes(memoryview(packed([_row(device, table) for device in devices.values()])))

    def _devices(self) -> dict[str, DeviceEvidence]:
        rows = _decoder.decode(self._content)
        return {row.device_id: device_of(row, self._table.apps) for row in rows}

    def __getitem__(self, device_id: str) -> DeviceEvidence:
        return self._devices()[device_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._devices())

    def __len__(self) -> int:
        return len(self._devices())

    def __repr__(self) -> str:
        return repr(self._devices())

    def hold_any(self, ids: frozenset[str]) -> bool:
        """See ``Devices``: no object is made for it."""
        wanted = self._table.numbers_of(ids)
        if not wanted:
            return False
        rows = _decoder.decode(self._content)
        return any(
            any(not wanted.isdisjoint(_unpacked(source.apps)) for source in row.sources)
            or any(stone.app in wanted for stone in row.tombstones)
            for row in rows
        )

    def values(self) -> ValuesView[DeviceEvidence]:
        """All devices, from one look."""
        return self._devices().values()


def _row(device: DeviceEvidence, table: AppTable) -> tuple[object, ...]:
    """A device's row, the apps of each of its sources in one piece."""
    device_id, binding, sources, *rest = device_row(device, table.number)
    rows = [(*source[:APPS], [_in_two_octets(source[APPS])], *source[APPS + 1 :]) for source in cast("Any", sources)]
    return (device_id, binding, rows, *rest)


class _Tables:
    """The table in use in this process."""

    def __init__(self) -> None:
        self._current = AppTable()

    def current(self) -> AppTable:
        if self._current.full:
            self._current = AppTable()
        return self._current


_tables = _Tables()


class _Newest:
    """The sequence number that the records of the last moments have in common, as one object."""

    def __init__(self) -> None:
        self._number = 0

    def same(self, number: int) -> int:
        if number != self._number:
            self._number = number
        return self._number


_newest = _Newest()


def compact(record: PersonRecord) -> PersonRecord:
    """An equal record that takes less memory."""
    if not record.devices or isinstance(record.devices, PackedDevices):
        return record
    logins = record.logins
    if logins and logins[0] == record.person_id:
        logins = (record.person_id, *logins[1:])
    return replace(
        record,
        logins=logins,
        groups=shared_groups(tuple(sorted(record.groups))),
        devices=PackedDevices(record.devices, _tables.current()),
        sequence=_newest.same(record.sequence),
    )
