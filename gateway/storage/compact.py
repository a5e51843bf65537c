"""Person records in the little memory that a hundred thousand of them should take.

A record as objects needs 1.5 kB, more than half of it for pointers to apps. ``compact`` keeps the devices as bytes in
which a number stands for each app, and makes the objects when somebody looks: some 10 µs, once per verdict that is not
remembered. Numbers mean apps of one table; a full table is followed by a fresh one and goes when its last record goes,
so that app versions of last year don't stay.
"""

from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import replace

import msgspec

from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.inventory import App
from gateway.storage.records import DeviceRow, device_of, device_row
from gateway.storage.rows import packed

NUMBERS = 65_536
"""Apps in one table; a number takes three bytes."""

_decoder = msgspec.msgpack.Decoder(tuple[DeviceRow[int], ...])


class AppTable:
    """Numbers for apps."""

    def __init__(self) -> None:
        self._apps: list[App] = []
        self._numbers: dict[App, int] = {}

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

    def apps(self, numbers: tuple[int, ...]) -> tuple[App, ...]:
        """The apps of numbers."""
        return tuple([self._apps[number] for number in numbers])


class PackedDevices(Mapping[str, DeviceEvidence]):
    """Devices by DeviceId, made into objects at each look."""

    __slots__ = ("_content", "_table")

    def __init__(self, devices: Mapping[str, DeviceEvidence], table: AppTable) -> None:
        self._table = table
        self._content = packed([device_row(device, table.number) for device in devices.values()])

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

    def values(self) -> ValuesView[DeviceEvidence]:
        """All devices, from one look."""
        return self._devices().values()


class _Tables:
    """The table in use in this process."""

    def __init__(self) -> None:
        self._current = AppTable()

    def current(self) -> AppTable:
        if self._current.full:
            self._current = AppTable()
        return self._current


_tables = _Tables()

GROUP_SETS = 10_000
_group_sets: dict[frozenset[str], frozenset[str]] = {}
"""The sets of groups that people are in: few, and each as large as a record."""


def _shared(groups: frozenset[str]) -> frozenset[str]:
    """An equal set that others have as well."""
    if len(_group_sets) >= GROUP_SETS:
        _group_sets.clear()
    return _group_sets.setdefault(groups, groups)


def compact(record: PersonRecord) -> PersonRecord:
    """An equal record that takes less memory."""
    if not record.devices or isinstance(record.devices, PackedDevices):
        return record
    logins = record.logins
    if logins and logins[0] == record.person_id:
        logins = (record.person_id, *logins[1:])
    return replace(
        record, logins=logins, groups=_shared(record.groups), devices=PackedDevices(record.devices, _tables.current())
    )
