"""Inventory reports and how the newest state of one inventory device follows from them.

An inventory device is known by (source_id, source_device): the source's own key for it. ``apply_report`` is the
only place that knows the order of reports: the highest (generated_at, sequence) wins, a delta fits only on the
sequence it names, a full list that suddenly shrinks is not believed.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

FUTURE_TOLERANCE_SECONDS = 300.0
SHRINK_SUSPICIOUS_BELOW = 0.2
"""A full list with fewer than this share of the apps known before, at an unchanged OS version, is suspicious."""
SHRINK_COUNTS_FROM_APPS = 10
"""Lists shorter than this lose most of their apps in ordinary life."""


class ReportKind(StrEnum):
    """Whether a report replaces the stored list or changes it."""

    FULL = "full"
    DELTA = "delta"


class Scope(StrEnum):
    """What the collector could see. Only ``device`` can prove that an app is absent."""

    DEVICE = "device"
    WORK_PROFILE = "work_profile"
    MANAGED_ONLY = "managed_only"
    USER = "user"
    NONE = "none"


class Naming(StrEnum):
    """How a source names apps. Intune knows display names only."""

    IDENTIFIER = "identifier"
    DISPLAY_NAME = "display_name"


class Platform(StrEnum):
    """The app ecosystem; ids are compared by its rules."""

    ANDROID = "android"
    IOS = "ios"
    MACOS = "macos"
    WINDOWS = "windows"
    LINUX = "linux"
    CHROME = "chrome"


class Ownership(StrEnum):
    """Whose device it is."""

    COMPANY = "company"
    PERSONAL = "personal"
    UNKNOWN = "unknown"


class AppOrigin(StrEnum):
    """Where an app was installed from."""

    SYSTEM = "system"
    STORE = "store"
    MANAGED = "managed"
    SIDELOAD = "sideload"
    MARKETPLACE = "marketplace"
    UNKNOWN = "unknown"


class AppState(StrEnum):
    """An app's state in a report; sources map their own words to these.

    An app on its way in counts as present, one that failed to arrive or is gone as absent
    (Apple InstalledApplicationListItem, AMAPI ApplicationReport.state).
    """

    INSTALLED = "installed"
    INSTALLING = "installing"
    DOWNLOAD_WAITING = "download_waiting"
    DOWNLOAD_PAUSED = "download_paused"
    PENDING_REMOVAL = "pending_removal"
    DOWNLOAD_FAILED = "download_failed"
    DOWNLOAD_CANCELLED = "download_cancelled"
    REMOVED = "removed"

    @property
    def present(self) -> bool:
        """Whether a ban on the app counts."""
        return self not in _ABSENT


_ABSENT = frozenset({AppState.DOWNLOAD_FAILED, AppState.DOWNLOAD_CANCELLED, AppState.REMOVED})


@dataclass(frozen=True, slots=True)
class App:
    """One installed app as a source names it. Equal apps are shared in memory across devices."""

    platform: Platform
    id: str
    name: str = ""
    version: str = ""
    version_code: int | None = None
    publisher: str = ""
    team_id: str = ""
    signers: tuple[str, ...] = ()
    """``sha256:`` and 64 lower-case hex digits."""
    installer: str = ""
    origin: AppOrigin = AppOrigin.UNKNOWN
    system: bool = False


@dataclass(frozen=True, slots=True)
class ReportedApp:
    """An app within a report, with its state there."""

    app: App
    state: AppState = AppState.INSTALLED


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """One of the names a source knows a device by: ``serial``, ``imei``, ``eas_device_id``, ``user`` …"""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """One statement of one source about one device."""

    source_id: str
    source_device: str
    kind: ReportKind
    scope: Scope
    generated_at: float
    """Time on the device or at the MDM, not of arrival."""
    received_at: float
    apps: tuple[ReportedApp, ...]
    sequence: int = 0
    """Monotonic per source device; 0 where the source has none."""
    base_sequence: int | None = None
    boot_id: str = ""
    """Random per agent installation; a change lets the sequence restart, with a full report only."""
    naming: Naming = Naming.IDENTIFIER
    device_keys: tuple[DeviceKey, ...] = ()
    ownership: Ownership = Ownership.UNKNOWN
    compromised: bool | None = None
    compliant: bool | None = None
    os_version: str = ""
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one source last said about one of its devices: the state after every applied report."""

    source_id: str
    source_device: str
    scope: Scope
    """Of the newest full list; a delta inherits it or narrows it."""
    naming: Naming
    generated_at: float
    received_at: float
    sequence: int
    apps: tuple[App, ...]
    full_at: float | None = None
    """generated_at of the full list this state rests on; None when there has been none yet."""
    boot_id: str = ""
    device_keys: tuple[DeviceKey, ...] = ()
    ownership: Ownership = Ownership.UNKNOWN
    compromised: bool | None = None
    compliant: bool | None = None
    os_version: str = ""
    platform: Platform | None = None
    suspicious: bool = False
    """A later full list shrank unbelievably: the apps are the ones before it, and CLEAN is not provable."""
    suspicious_at: float | None = None


class Outcome(StrEnum):
    """What became of a report."""

    APPLIED = "applied"
    STALE = "stale_ignored"
    GAP = "gap"
    FUTURE = "future"
    SUSPICIOUS = "suspicious"


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of applying a report: the outcome and the state to store (unchanged when refused)."""

    outcome: Outcome
    inventory: Inventory | None
    added: tuple[App, ...] = ()
    removed: tuple[App, ...] = ()
    scope_capped: bool = False
    """The report claimed a wider scope than its source has; the narrower one was stored."""
