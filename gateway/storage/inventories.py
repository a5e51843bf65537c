"""``Inventory`` and tombstones as bytes and back, for the store: one compact value per inventory device."""

import msgspec

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Ownership, Platform, Scope
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

FORMAT = 1


class InventoryRow(msgspec.Struct, array_like=True, frozen=True):
    """``Inventory`` as it is written."""

    format: int
    source_id: str
    source_device: str
    scope: Scope
    naming: Naming
    generated_at: float
    received_at: float
    sequence: int
    apps: tuple[msgspec.Raw, ...]
    full_at: float | None
    boot_id: str
    device_keys: tuple[tuple[str, str], ...]
    ownership: Ownership
    compromised: bool | None
    compliant: bool | None
    os_version: str
    platform: Platform | None
    suspicious: bool
    suspicious_at: float | None


_decoder = msgspec.msgpack.Decoder(InventoryRow)
_apps_decoder = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])
_tombstones_decoder = msgspec.msgpack.Decoder(tuple[TombstoneRow[msgspec.Raw], ...])


def encode_inventory(inventory: Inventory) -> bytes:
    """The inventory as bytes."""
    return packed(
        (
            FORMAT,
            inventory.source_id,
            inventory.source_device,
            inventory.scope.value,
            inventory.naming.value,
            inventory.generated_at,
            inventory.received_at,
            inventory.sequence,
            [app_row(app) for app in inventory.apps],
            inventory.full_at,
            inventory.boot_id,
            [(key.type, key.value) for key in inventory.device_keys],
            inventory.ownership.value,
            inventory.compromised,
            inventory.compliant,
            inventory.os_version,
            inventory.platform and inventory.platform.value,
            inventory.suspicious,
            inventory.suspicious_at,
        )
    )


def decode_inventory(content: bytes) -> Inventory:
    """The inventory of bytes that ``encode_inventory`` made. Raises ``Unreadable``."""
    try:
        row = _decoder.decode(content)
        if row.format != FORMAT:
            raise Unreadable(f"an inventory of format {row.format}; this version reads {FORMAT}")
        return Inventory(
            source_id=row.source_id,
            source_device=row.source_device,
            scope=row.scope,
            naming=row.naming,
            generated_at=row.generated_at,
            received_at=row.received_at,
            sequence=row.sequence,
            apps=apps_of(row.apps),
            full_at=row.full_at,
            boot_id=row.boot_id,
            device_keys=tuple(DeviceKey(*key) for key in row.device_keys),
            ownership=row.ownership,
            compromised=row.compromised,
            compliant=row.compliant,
            os_version=row.os_version,
            platform=row.platform,
            suspicious=row.suspicious,
            suspicious_at=row.suspicious_at,
        )
    except DAMAGED as error:
        raise Unreadable(f"a damaged inventory: {error}") from error


def encode_apps(apps: tuple[App, ...]) -> bytes:
    """A list of apps as bytes."""
    return packed([app_row(app) for app in apps])


def decode_apps(content: bytes) -> tuple[App, ...]:
    """The apps of bytes that ``encode_apps`` made. Raises ``Unreadable``."""
    try:
        return apps_of(_apps_decoder.decode(content))
    except DAMAGED as error:
        raise Unreadable(f"a damaged list of apps: {error}") from error


def encode_tombstones(stones: tuple[Tombstone, ...]) -> bytes:
    """Tombstones as bytes."""
    return packed([tombstone_row(stone) for stone in stones])


def decode_tombstones(content: bytes) -> tuple[Tombstone, ...]:
    """The tombstones of bytes that ``encode_tombstones`` made. Raises ``Unreadable``."""
    try:
        return tombstones_of(_tombstones_decoder.decode(content), apps_of)
    except DAMAGED as error:
        raise Unreadable(f"damaged tombstones: {error}") from error
