"""What is known about one person and the devices of that person: the unit that is stored, cached and judged.

A ``PersonRecord`` holds evidence only, no verdict: verdicts follow from (record, policy version, now) and are
never stored. One record and not one per device, because user-wide identity, the grace for new devices and
binding conflicts all need the person's devices together, read at one moment.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.credential import DeviceCredential
from gateway.domain.inventory import App, Naming, Ownership, Platform, Scope


class BindingState(StrEnum):
    """Whether the mail device is known to be a certain inventory device."""

    BOUND = "bound"
    UNMATCHED = "unmatched"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class SourceEvidence:
    """What one source last said about the inventory device behind a mail device."""

    source_id: str
    source_device: str
    scope: Scope
    naming: Naming
    generated_at: float
    max_age: float
    """Seconds after ``full_at`` at which this evidence is stale; a property of the source."""
    apps: tuple[App, ...]
    full_at: float | None = None
    """When the full list this rests on was generated; None proves no absence."""
    compromised: bool | None = None
    compliant: bool | None = None
    suspicious: bool = False
    keys: tuple[str, ...] = ()
    """What a client certificate may call the inventory device (``certificate.keys_of``)."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A hit that outlives the evidence it came from (checkout, unbinding, purge) until newer evidence clears it."""

    app: App
    source_id: str
    seen_at: float
    """generated_at of the evidence that held the app."""
    scope: Scope = Scope.DEVICE
    """What that evidence could see: evidence that sees less cannot clear the hit."""


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """Everything known about one mail device of one person."""

    device_id: str
    """Canonical DeviceId; empty for an inventory device that no mail device is known for."""
    binding: BindingState
    sources: tuple[SourceEvidence, ...] = ()
    """Of the bound inventory device, one per source; in a conflict those of all claimants."""
    tombstones: tuple[Tombstone, ...] = ()
    first_seen_at: float | None = None
    """First accepted mail request; None when it never asked."""
    platform: Platform | None = None
    ownership: Ownership = Ownership.UNKNOWN


class Devices(Mapping[str, DeviceEvidence]):
    """Devices by canonical DeviceId that can be asked for their apps in a shorter way than by looking at each."""

    __slots__ = ()

    @abstractmethod
    def hold_any(self, ids: frozenset[str]) -> bool:
        """Whether one of them has, or had, an app with one of these ids (``holds_any``)."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person as the decision sees them."""

    person_id: str
    """Canonical login of the person; for a login that maps to no known person, that login."""
    known: bool
    """Whether a person of that login was imported or named by a report."""
    logins: tuple[str, ...] = ()
    """All canonical logins that mean this person, ``person_id`` first."""
    groups: frozenset[str] = frozenset()
    devices: Mapping[str, DeviceEvidence] = field(default_factory=dict)
    """By canonical DeviceId."""
    unbound: tuple[DeviceEvidence, ...] = ()
    """Inventory devices of the person without a mail device; they count for user-wide identity."""
    sequence: int = 0
    """Change-log sequence that this record includes."""
    credentials: tuple[DeviceCredential, ...] = ()
    """Those that are good now."""


def holds_any(record: PersonRecord, ids: frozenset[str]) -> bool:
    """Whether the evidence of a person shows an app with one of these ids, as sources write them."""
    devices = record.devices
    held = devices.hold_any(ids) if isinstance(devices, Devices) else _hold_any(devices.values(), ids)
    return held or _hold_any(record.unbound, ids)


def _hold_any(devices: Iterable[DeviceEvidence], ids: frozenset[str]) -> bool:
    return any(
        any(not ids.isdisjoint([app.id for app in source.apps]) for source in device.sources)
        or any(stone.app.id in ids for stone in device.tombstones)
        for device in devices
    )


UNKNOWN_DEVICE = DeviceEvidence("", BindingState.UNMATCHED)
