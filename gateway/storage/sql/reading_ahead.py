"""Many people's records read in a few statements instead of a dozen for each.

After ``read_ahead`` what is assembled into the records of those people is at hand; whoever assembles asks as he would
ask any reading and sees the same. What was not foreseen (another login, another key) is read when it is asked for, so
that nothing depends on what is foreseen here but the time it takes.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import BindParameter, bindparam, select

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import Inventory
from gateway.ports.store import IssuedCredential, MailDevice, Person, PinnedBinding, Source, UnderLogin
from gateway.storage.inventories import decode_tombstones
from gateway.storage.sql import schema as s
from gateway.storage.sql.reading import SqlReading, decoded_inventory, person_of, readable
from gateway.storage.sql.rows import Rows

T = TypeVar("T")

VALUES_AT_ONCE = 500
"""In one statement; SQLite takes 32,766, PostgreSQL 32,767."""

_WANTED: BindParameter[Any] = bindparam("wanted", expanding=True)
_PEOPLE = (
    select(s.people, s.person_logins.c.login.label("asked"))
    .join(s.person_logins)
    .where(s.person_logins.c.login.in_(_WANTED))
)
_DEVICES = select(s.mail_devices).where(s.mail_devices.c.person_id.in_(_WANTED)).order_by(s.mail_devices.c.device_id)
_PINS = (
    select(s.pins)
    .where(s.pins.c.person_id.in_(_WANTED))
    .order_by(s.pins.c.person_id, s.pins.c.device_id, s.pins.c.source_id, s.pins.c.source_device)
)
_TOMBSTONES = select(s.tombstones).where(s.tombstones.c.person_id.in_(_WANTED)).order_by(s.tombstones.c.device_id)
_CREDENTIALS = select(s.credentials).where(s.credentials.c.person_id.in_(_WANTED)).order_by(s.credentials.c.id)
_BY_KEYS = (
    select(
        s.inventory_keys.c.value,
        s.inventories.c.source_id,
        s.inventories.c.source_device,
        s.inventories.c.content,
    )
    .join(s.inventories)
    .where(s.inventory_keys.c.key_type == bindparam("type"), s.inventory_keys.c.value.in_(_WANTED))
    .order_by(s.inventory_keys.c.source_id, s.inventory_keys.c.source_device)
)


class SqlReadingAhead(SqlReading):
    """``ports.store.Reading`` on one transaction that can know some people beforehand."""

    def __init__(self, rows: Rows, sequence: int, incarnation: str) -> None:
        super().__init__(rows, sequence, incarnation)
        self._people: dict[str, Person | None] = {}
        self._devices: dict[str, list[MailDevice]] = {}
        self._pins: dict[str, list[PinnedBinding]] = {}
        self._tombstones: dict[str, dict[str, Sequence[Tombstone]]] = {}
        self._credentials: dict[str, list[IssuedCredential]] = {}
        self._by_key: dict[tuple[str, str], list[Inventory]] = {}
        self._inventories: dict[tuple[str, str], Inventory] = {}
        self._sources: dict[str, Source | None] = {}

    async def read_ahead(self, logins: Sequence[str]) -> None:
        """See ``ports.store.Reading``; those of an earlier call are forgotten."""
        asked = list(dict.fromkeys(logins))
        self._by_key.clear()
        self._inventories.clear()
        self._people = dict.fromkeys(asked)
        async for row in self._each(_PEOPLE, asked):
            self._people[row.asked] = person_of(row, "asked")
        known = [person for person in self._people.values() if person is not None]
        names = list(dict.fromkeys((*asked, *(name for each in known for name in (each.person_id, *each.aliases)))))
        self._devices = await self._grouped(_DEVICES, names, lambda row: MailDevice(*row))
        self._pins = await self._grouped(_PINS, names, lambda row: PinnedBinding(*row))
        self._credentials = await self._grouped(_CREDENTIALS, names, lambda row: IssuedCredential(*row))
        self._tombstones = {name: {} for name in names}
        async for row in self._each(_TOMBSTONES, names):
            self._tombstones[row.person_id][row.device_id] = readable(decode_tombstones, row.content)
        await self._fetch_inventories("login", names)
        await self._fetch_inventories("eas", self._device_ids())

    def _device_ids(self) -> list[str]:
        """Every DeviceId that a record may ask for."""
        found = {each.device_id for devices in self._devices.values() for each in devices}
        found |= {each.device_id for pins in self._pins.values() for each in pins}
        found |= {device_id for stones in self._tombstones.values() for device_id in stones}
        keys = (key for inventory in self._inventories.values() for key in inventory.device_keys)
        return sorted((found | {key.value for key in keys if key.type == "eas"}) - {""})

    async def _fetch_inventories(self, key_type: str, values: Sequence[str]) -> None:
        by_folded: dict[str, list[Inventory]] = {value.casefold(): [] for value in values}
        async for row in self._each(_BY_KEYS, list(by_folded), type=key_type):
            key = row.source_id, row.source_device
            inventory = self._inventories.get(key)
            if inventory is None:
                inventory = self._inventories[key] = decoded_inventory(row.content)
            by_folded[row.value].append(inventory)
        self._by_key.update({(key_type, value): found for value, found in by_folded.items()})

    async def _grouped(self, statement: Any, names: Sequence[str], make: Callable[[Any], T]) -> dict[str, list[T]]:
        found: dict[str, list[T]] = {name: [] for name in names}
        async for row in self._each(statement, names):
            found[row.person_id].append(make(row))
        return found

    async def _each(self, statement: Any, values: Sequence[str], **more: str) -> AsyncIterator[Any]:
        for some in _runs(values, VALUES_AT_ONCE):
            for row in await self._rows.all(statement, {"wanted": some, **more}):
                yield row

    # --- what a record is assembled from

    async def person_by_login(self, login: str) -> Person | None:
        return self._people[login] if login in self._people else await super().person_by_login(login)

    async def mail_devices(self, person_id: str) -> Sequence[MailDevice]:
        found = self._devices.get(person_id)
        return await super().mail_devices(person_id) if found is None else found

    async def under_login(self, login: str) -> UnderLogin:
        if login not in self._devices:
            return await super().under_login(login)
        stones = list(self._tombstones[login])
        return UnderLogin(self._devices[login], self._pins[login], stones, self._credentials[login])

    async def pins_of_person(self, person_id: str) -> Sequence[PinnedBinding]:
        found = self._pins.get(person_id)
        return await super().pins_of_person(person_id) if found is None else found

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        found = self._tombstones.get(person_id)
        return await super().tombstoned_devices(person_id) if found is None else list(found)

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        found = self._tombstones.get(person_id)
        return await super().tombstones(person_id, device_id) if found is None else found.get(device_id, ())

    async def credentials_of_person(self, person_id: str) -> Sequence[IssuedCredential]:
        found = self._credentials.get(person_id)
        return await super().credentials_of_person(person_id) if found is None else found

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        found = self._by_key.get((key_type, value.casefold()))
        return await super().inventories_by_key(key_type, value) if found is None else found

    async def source(self, name: str) -> Source | None:
        if name not in self._sources:
            self._sources[name] = await super().source(name)
        return self._sources[name]


def _runs(values: Sequence[str], most: int) -> Iterator[list[str]]:
    left = iter(values)
    while some := list(islice(left, most)):
        yield some
