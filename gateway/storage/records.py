"""``PersonRecord`` as bytes and back, for the shared cache.

The first element is the format. A record of a format that is not known reads as ``Unreadable``: the reader takes the
store's word then.
"""

import sys
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from gateway.domain.credential import DeviceCredential
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Ownership, Platform, Scope
from gateway.storage.rows import (
    DAMAGED,
    TombstoneRow,
    Unreadable,
    app_row,
    apps_of,
    packed,
    tombstone_row,
    tombstones_of,
)

A = TypeVar("A")

FORMAT = 1


class SourceRow(msgspec.Struct, Generic[A], array_like=True, frozen=True):
    """``SourceEvidence`` as it is written; ``A`` stands for an app."""

    source_id: str
    source_device: str
    scope: Scope
    naming: Naming
    generated_at: float
    max_age: float
    apps: tuple[A, ...]
    full_at: float | None = None
    compromised: bool | None = None
    compliant: bool | None = None
    suspicious: bool = False
    keys: tuple[str, ...] = ()
    """Left out where there is none."""


class DeviceRow(msgspec.Struct, Generic[A], array_like=True, frozen=True):
    """``DeviceEvidence`` as it is written."""

    device_id: str
    binding: BindingState
    sources: tuple[SourceRow[A], ...] = ()
    tombstones: tuple[TombstoneRow[A], ...] = ()
    first_seen_at: float | None = None
    platform: Platform | None = None
    ownership: Ownership = Ownership.UNKNOWN


class RecordRow(msgspec.Struct, array_like=True, frozen=True):
    """``PersonRecord`` as it is written."""

    format: int
    person_id: str
    known: bool
    logins: tuple[str, ...]
    groups: tuple[str, ...]
    devices: tuple[DeviceRow[msgspec.Raw], ...]
    unbound: tuple[DeviceRow[msgspec.Raw], ...]
    sequence: int
    credentials: tuple[tuple[str, str, str], ...] = ()
    """ID, digest and DeviceId of each; left out where there is none, as for most people."""


_decoder = msgspec.msgpack.Decoder(RecordRow)


def encode_record(record: PersonRecord) -> bytes:
    """The record as bytes."""
    return packed(
        (
            FORMAT,
            record.person_id,
            record.known,
            record.logins,
            sorted(record.groups),
            [device_row(device) for device in record.devices.values()],
            [device_row(device) for device in record.unbound],
            record.sequence,
            *([[(each.id, each.digest, each.device_id) for each in record.credentials]] if record.credentials else ()),
        )
    )


def decode_record(content: bytes) -> PersonRecord:
    """The record of bytes that ``encode_record`` made. Raises ``Unreadable``."""
    try:
        row = _decoder.decode(content)
        if row.format != FORMAT:
            raise Unreadable(f"a record of format {row.format}; this version reads {FORMAT}")
        return PersonRecord(
            person_id=row.person_id,
            known=row.known,
            logins=_same_object(row.person_id, row.logins),
            groups=shared_groups(row.groups),
            devices={each.device_id: device_of(each, apps_of) for each in row.devices},
            unbound=tuple([device_of(each, apps_of) for each in row.unbound]),
            sequence=row.sequence,
            credentials=tuple(DeviceCredential(*each) for each in row.credentials),
        )
    except DAMAGED as error:
        raise Unreadable(f"a damaged record: {error}") from error


def device_row(device: DeviceEvidence, name: Callable[[App], object] = app_row) -> tuple[object, ...]:
    """A device as a positional row; ``name`` gives what stands for an app."""
    return (
        device.device_id,
        device.binding.value,
        [_source_row(source, name) for source in device.sources],
        [tombstone_row(stone, name) for stone in device.tombstones],
        device.first_seen_at,
        device.platform and device.platform.value,
        device.ownership.value,
    )


def _source_row(source: SourceEvidence, name: Callable[[App], object]) -> tuple[object, ...]:
    return (
        source.source_id,
        source.source_device,
        source.scope.value,
        source.naming.value,
        source.generated_at,
        source.max_age,
        [name(app) for app in source.apps],
        source.full_at,
        source.compromised,
        source.compliant,
        source.suspicious,
        *([source.keys] if source.keys else ()),
    )


def device_of(row: DeviceRow[A], read: Callable[[tuple[A, ...]], tuple[App, ...]]) -> DeviceEvidence:
    """A device from its row; ``read`` gives the apps back."""
    return DeviceEvidence(
        row.device_id,
        row.binding,
        tuple([_source(source, read) for source in row.sources]),
        tombstones_of(row.tombstones, read),
        row.first_seen_at,
        row.platform,
        row.ownership,
    )


def _source(row: SourceRow[A], read: Callable[[tuple[A, ...]], tuple[App, ...]]) -> SourceEvidence:
    # One number object where both moments are the same, as after every full list.
    full_at = row.generated_at if row.full_at == row.generated_at else row.full_at
    return SourceEvidence(
        sys.intern(row.source_id),
        row.source_device,
        row.scope,
        row.naming,
        row.generated_at,
        _shared_number(row.max_age),
        read(row.apps),
        full_at,
        row.compromised,
        row.compliant,
        row.suspicious,
        row.keys,
    )


_SHARED = 10_000
_shared_numbers: dict[float, float] = {}
_shared_sets: dict[tuple[str, ...], frozenset[str]] = {}


def _shared_number(value: float) -> float:
    """The age limits of sources are few."""
    if len(_shared_numbers) < _SHARED:
        return _shared_numbers.setdefault(value, value)
    return value


def shared_groups(names: tuple[str, ...]) -> frozenset[str]:
    """Most people are in the same few combinations of groups."""
    known = _shared_sets.get(names)
    if known is None:
        known = frozenset(map(sys.intern, names))
        if len(_shared_sets) < _SHARED:
            _shared_sets[names] = known
    return known


def _same_object(person_id: str, logins: tuple[str, ...]) -> tuple[str, ...]:
    return (person_id,) if logins == (person_id,) else logins
