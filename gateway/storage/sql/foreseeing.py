"""What reports that come next will look at, read for all of them in seven statements.

A report alone asks some ten times, and each time costs more than what it finds. Each part of a question looks up its
rows by itself (LATERAL, never flattened: OFFSET 0), as the single statement would, so that no table that has grown
since the server made its plan is read whole. What was not foreseen (somebody else who is concerned, a key that a
device no longer states) is read when it is asked for: nothing depends on what is foreseen but the time it takes.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gateway.ports.store import ForeseenReport, PinnedBinding, StoredMessage, StoreUnavailable
from gateway.storage.sql.group_memory import GroupMemory, Key
from gateway.storage.sql.put_off import PERSON
from gateway.storage.sql.reading import decoded_inventory, person_of
from gateway.storage.sql.under_login import under_login

STATING_AT_MOST = 4
"""Devices that state one key; whose names are many reads them when the report comes."""
OCTETS_AT_MOST = 32_768
"""Of an inventory."""
_APPLE_PREFIX = "appl"

_MESSAGES = (
    "SELECT w.source_id, w.message_id, m.digest, m.status, m.sequence, m.received_at "
    "FROM unnest($1::text[], $2::text[]) AS w(source_id, message_id) CROSS JOIN LATERAL "
    "(SELECT * FROM messages WHERE source_id = w.source_id AND message_id = w.message_id OFFSET 0) AS m"
)
# By name: the next version may have added a column while this one still runs.
_PERSON = ", ".join(f"p.{column}" for column in PERSON)
_PEOPLE = (
    f"SELECT w.login AS asked, {_PERSON} FROM unnest($1::text[]) AS w(login) CROSS JOIN LATERAL "  # noqa: S608
    "(SELECT people.* FROM person_logins AS l JOIN people USING (person_id) WHERE l.login = w.login OFFSET 0) AS p"
)
# The columns of ``under_login.UNDER_LOGIN``.
_UNDER = (
    "SELECT w.login, u.* FROM unnest($1::text[]) AS w(login) CROSS JOIN LATERAL ("
    "SELECT 'device', person_id, device_id, device_type, user_agent, protocol_version, client_address, "
    "device_information, first_seen_at, last_seen_at, NULL::boolean FROM mail_devices WHERE person_id = w.login "
    "UNION ALL SELECT 'pin', person_id, device_id, source_id, source_device, author, NULL, NULL, at, NULL, bound "
    "FROM pins WHERE person_id = w.login "
    "UNION ALL SELECT 'tombstone', person_id, device_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL "
    "FROM tombstones WHERE person_id = w.login "
    "UNION ALL SELECT 'credential', person_id, device_id, id, digest, source_id, source_device, author, issued_at, "
    "revoked_at, NULL FROM credentials WHERE person_id = w.login) AS u"
)
_STATED = (
    "SELECT w.key_type, w.value, k.source_id, k.source_device "
    "FROM unnest($1::text[], $2::text[]) AS w(key_type, value) CROSS JOIN LATERAL ("
    "SELECT source_id, source_device FROM inventory_keys "
    "WHERE key_type = w.key_type AND value = w.value ORDER BY source_id, source_device LIMIT $3) AS k"
)
_INVENTORIES = (
    "SELECT w.source_id, w.source_device, CASE WHEN octet_length(i.content) <= $3 THEN i.content END "
    "FROM unnest($1::text[], $2::text[]) AS w(source_id, source_device) CROSS JOIN LATERAL "
    "(SELECT content FROM inventories WHERE source_id = w.source_id AND source_device = w.source_device OFFSET 0) AS i"
)
_WITH_DEVICE = (
    "SELECT w.device_id, d.person_id FROM unnest($1::text[]) AS w(device_id) CROSS JOIN LATERAL ("
    "SELECT person_id FROM mail_devices WHERE device_id = w.device_id "
    "UNION SELECT person_id FROM pins WHERE device_id = w.device_id "
    "UNION SELECT person_id FROM tombstones WHERE device_id = w.device_id) AS d"
)
_PINS = (
    "SELECT p.person_id, p.device_id, p.source_id, p.source_device, p.bound, p.author, p.at "
    "FROM unnest($1::text[], $2::text[]) AS w(source_id, source_device) CROSS JOIN LATERAL "
    "(SELECT * FROM pins WHERE source_id = w.source_id AND source_device = w.source_device OFFSET 0) AS p"
)


class Asker(Protocol):
    """Where the statements run: ``PostgresRows``."""

    async def ask(self, statement: str, *values: object) -> Sequence[Any]:
        """The rows of one."""
        ...


async def foresee(rows: Asker, memory: GroupMemory, reports: Sequence[ForeseenReport]) -> None:
    """Let ``memory`` know what ``reports`` will ask. Raises ``StoreUnavailable``."""
    seeing = _Foreseeing(rows, memory)
    await seeing.messages([(each.source_id, each.message_id) for each in reports])
    names = await seeing.people(_each_once(login for each in reports for login in each.logins))
    stated_ids = _each_once(device_id for each in reports for device_id in each.device_ids)
    seen_ids = await seeing.under(names)
    found = await seeing.stated(_keys_of(names, _each_once((*stated_ids, *seen_ids))))
    devices = _each_once((*((each.source_id, each.source_device) for each in reports), *found))
    await seeing.inventories(devices)
    await seeing.with_device(stated_ids)
    await seeing.pins(devices)
    seeing.drop_unknown()


class _Foreseeing:
    """One statement each, and what it leaves in the memory."""

    def __init__(self, rows: Asker, memory: GroupMemory) -> None:
        self._rows = rows
        self._memory = memory

    async def messages(self, keys: Sequence[Key]) -> None:
        self._memory.messages.update(dict.fromkeys(keys))
        for source_id, message_id, *stored in await self._rows.ask(_MESSAGES, *_apart(keys)):
            self._memory.messages[source_id, message_id] = StoredMessage(*stored)

    async def people(self, logins: Sequence[str]) -> Sequence[str]:
        """All names of the people with one of these logins, and the logins of nobody."""
        found = await self._rows.ask(_PEOPLE, logins)
        self._memory.people.update(dict.fromkeys(logins))
        names = dict.fromkeys(logins)
        for row in found:
            person = self._memory.people[row.asked] = person_of(row, "asked")
            names.update(dict.fromkeys((person.person_id, *person.aliases)))
        return list(names)

    async def under(self, logins: Sequence[str]) -> Sequence[str]:
        """The DeviceIds of all that stands there."""
        rows: dict[str, list[Any]] = {login: [] for login in logins}
        for login, *row in await self._rows.ask(_UNDER, logins):
            rows[login].append(row)
        found = {login: under_login(each) for login, each in rows.items()}
        self._memory.under.update(found)
        return [
            device_id
            for each in found.values()
            for some in (each.mail_devices, each.pins)
            for device_id in [one.device_id for one in some] + list(each.tombstoned)
        ]

    async def stated(self, keys: Sequence[Key]) -> Sequence[Key]:
        """The devices that state one of these keys; where they are many, nobody knows it beforehand."""
        stating: dict[Key, list[Key]] = {key: [] for key in keys}
        for key_type, value, *device in await self._rows.ask(_STATED, *_apart(keys), STATING_AT_MOST + 1):
            stating[key_type, value].append((device[0], device[1]))
        few = {key: found for key, found in stating.items() if len(found) <= STATING_AT_MOST}
        self._memory.by_key.update(few)
        return _each_once(device for found in few.values() for device in found)

    async def inventories(self, devices: Sequence[Key]) -> None:
        self._memory.inventories.update(dict.fromkeys(devices))
        for source_id, source_device, content in await self._rows.ask(_INVENTORIES, *_apart(devices), OCTETS_AT_MOST):
            key = source_id, source_device
            del self._memory.inventories[key]
            # A long one is read when it is asked for; whoever asks for one that cannot be read is told so.
            with suppress(StoreUnavailable):
                if content is not None:
                    self._memory.inventories[key] = decoded_inventory(content)

    async def with_device(self, device_ids: Sequence[str]) -> None:
        found: dict[str, list[str]] = {device_id: [] for device_id in device_ids}
        for device_id, person_id in await self._rows.ask(_WITH_DEVICE, device_ids):
            found[device_id].append(person_id)
        self._memory.with_device.update({device_id: sorted(people) for device_id, people in found.items()})

    async def pins(self, devices: Sequence[Key]) -> None:
        found: dict[Key, list[PinnedBinding]] = {device: [] for device in devices}
        for row in await self._rows.ask(_PINS, *_apart(devices)):
            pin = PinnedBinding(*row)
            found[pin.source_id, pin.source_device].append(pin)
        for pins in found.values():
            pins.sort(key=lambda pin: (pin.person_id, pin.device_id))
        self._memory.pins.update(found)

    def drop_unknown(self) -> None:
        """A key whose devices are not all known is asked for again."""
        memory = self._memory
        known = memory.inventories.keys()
        for key in [key for key, devices in memory.by_key.items() if not known >= set(devices)]:
            del memory.by_key[key]


def _keys_of(logins: Sequence[str], device_ids: Sequence[str]) -> Sequence[Key]:
    """The keys by which records and reports look for inventories, values folded."""
    keys = [("login", login.casefold()) for login in logins]
    for device_id in device_ids:
        if not device_id:
            continue
        keys.append(("eas", device_id.casefold()))
        if device_id.startswith(_APPLE_PREFIX):
            keys.append(("serial", device_id.removeprefix(_APPLE_PREFIX).casefold()))
    return _each_once(keys)


def _each_once(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _apart(keys: Sequence[Key]) -> tuple[list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]
