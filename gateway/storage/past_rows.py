"""What is kept of the past as bytes and back, the same in every store; and the rows that an erasure leaves of it.

Only what a decision goes by is kept: of a person neither name nor address, of a source no secret.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from gateway.domain.inventory import DeviceKey, Naming, Ownership, Platform, Scope
from gateway.domain.past import FIELDS, Undo
from gateway.ports.store import MailDevice, Person, PinnedBinding, Source
from gateway.storage.inventories import decode_apps, encode_apps
from gateway.storage.rows import DAMAGED, Unreadable, packed

FORMAT = 1


class PastKind(StrEnum):
    """What stood there."""

    PERSON = "person"
    """``owner`` is the person's id."""
    LOGIN = "login"
    """``owner`` is a login, ``key`` the person whose it was."""
    DEVICE = "device"
    """A mail device that was forgotten: ``owner`` is whose, ``key`` the DeviceId."""
    PIN = "pin"
    TOMBSTONES = "tombstones"
    SOURCE = "source"
    STATED = "stated"
    """``owner`` is a device key (``type:value``, folded), ``key`` the device that stated it (``pair_key``)."""


@dataclass(frozen=True, slots=True)
class PastRow:
    """What stood somewhere until it was replaced or deleted."""

    kind: PastKind
    owner: str
    key: str
    until: float
    content: bytes | None
    """None: nothing stood there."""


def pair_key(*parts: str) -> str:
    """Several names as one."""
    return json.dumps(parts)


def parts_of(key: str) -> list[str]:
    """The names of ``pair_key``."""
    return [str(part) for part in json.loads(key)]


def stated_owner(key_type: str, value: str) -> str:
    """The owner of a ``STATED`` row."""
    return f"{key_type}:{value.casefold()}"


# --- Steps of inventories


def encode_undo(undo: Undo) -> tuple[bytes, bytes]:
    """An undo as bytes: its fields and places, and the apps that went."""
    fields: list[object] = []
    for place, name in enumerate(FIELDS):
        if name in undo.fields:
            fields += (place, _written(name, undo.fields[name]))
    row = (FORMAT, fields) if undo.places is None else (FORMAT, fields, undo.places)
    return packed(row), encode_apps(undo.removed)


def decode_undo(content: bytes, removed: bytes) -> Undo:
    """The undo of bytes that ``encode_undo`` made. Raises ``Unreadable``."""
    try:
        row: Any = msgspec.msgpack.decode(content)
        if row[0] != FORMAT:
            raise Unreadable(f"a past state of format {row[0]}; this version reads {FORMAT}")
        written = iter(row[1])
        fields = {FIELDS[place]: _read(FIELDS[place], value) for place, value in zip(written, written, strict=True)}
        places = tuple(map(int, row[2])) if len(row) > 2 else None
    except (*DAMAGED, ValueError, TypeError, IndexError, KeyError) as error:
        raise Unreadable(f"a damaged past state: {error}") from error
    return Undo(fields, decode_apps(removed), places)


def _written(name: str, value: Any) -> object:
    if name == "device_keys":
        return [(key.type, key.value) for key in value]
    return getattr(value, "value", value)


def _read(name: str, value: Any) -> object:
    return value if name not in _READ or value is None else _READ[name](value)


_READ: Mapping[str, Callable[[Any], object]] = {
    "scope": Scope,
    "naming": Naming,
    "ownership": Ownership,
    "platform": Platform,
    "device_keys": lambda rows: tuple(DeviceKey(str(kind), str(value)) for kind, value in rows),
}


def without_logins(undo: Undo, logins: Collection[str]) -> Undo | None:
    """The undo of a device that once stated one of these logins, without them; None: it names none."""
    keys: Sequence[DeviceKey] = undo.fields.get("device_keys", ())
    kept = tuple(key for key in keys if not _names_one(key, logins))
    if len(kept) == len(keys):
        return None
    return Undo({**undo.fields, "device_keys": kept}, undo.removed, undo.places)


_USER_TYPES = frozenset({"login", "user", "email", "upn"})


def _names_one(key: DeviceKey, logins: Collection[str]) -> bool:
    """Whether a key is a login or, in a source's own spelling, may be meant for one: DOMAIN\\a, a, A@B."""
    if key.type not in _USER_TYPES:
        return False
    value = key.value.casefold()
    short = value.rpartition("\\")[2]
    return any(value == login or short in (login, login.partition("@")[0]) for login in logins)


# --- Values


def encode_person(person: Person) -> bytes:
    """Who a person was, as far as decisions go by it."""
    return packed((FORMAT, person.person_id, person.aliases, sorted(person.groups)))


def encode_device(device: MailDevice) -> bytes:
    """A mail device, as far as decisions go by it."""
    return packed((FORMAT, device.person_id, device.device_id, device.first_seen_at, device.device_type))


def encode_pin(pin: PinnedBinding) -> bytes:
    """A pin."""
    row = (pin.person_id, pin.device_id, pin.source_id, pin.source_device, pin.bound, pin.author, pin.at)
    return packed((FORMAT, *row))


def encode_source(source: Source) -> bytes:
    """A source without its secrets."""
    row = (source.name, source.kind, source.devices, source.max_scope.value, source.max_age)
    return packed((FORMAT, *row, source.created_at, source.created_by, source.removed_at, source.user))


def _row_of(content: bytes) -> list[Any]:
    try:
        form, *row = msgspec.msgpack.decode(content)
    except (*DAMAGED, ValueError, TypeError) as error:
        raise Unreadable(f"a damaged past value: {error}") from error
    if form != FORMAT:
        raise Unreadable(f"a past value of format {form}; this version reads {FORMAT}")
    return list(row)


def decode_person(content: bytes) -> Person:
    """The person of then. Raises ``Unreadable``."""
    person_id, aliases, groups, *_ = _row_of(content)
    return Person(person_id, tuple(aliases), frozenset(groups))


def decode_device(content: bytes) -> MailDevice:
    """The device of then. Raises ``Unreadable``."""
    person_id, device_id, first_seen_at, device_type, *_ = _row_of(content)
    return MailDevice(person_id, device_id, first_seen_at, first_seen_at, device_type)


def decode_pin(content: bytes) -> PinnedBinding:
    """The pin of then. Raises ``Unreadable``."""
    return PinnedBinding(*_row_of(content)[:7])


def decode_source(content: bytes) -> Source:
    """The source of then, without secrets. Raises ``Unreadable``."""
    name, kind, devices, scope, max_age, created_at, created_by, removed_at, user, *_ = _row_of(content)
    return Source(name, kind, devices, Scope(scope), max_age, (), created_at, created_by, removed_at, user)
