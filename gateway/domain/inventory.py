"""Inventory reports and how the newest state of one inventory device follows from them.

An inventory device is known by (source_id, source_device): the source's own key for it. ``apply_report`` is the
only place that knows the order of reports: the highest (generated_at, sequence) wins, a delta fits only on the
sequence it names, a full list that suddenly shrinks is not believed.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum

FUTURE_TOLERANCE_SECONDS = 300.0
SHRINK_SUSPICIOUS_BELOW = 0.2
"""A full list with fewer than this share of the apps known before, at an unchanged OS version, is suspicious."""
SHRINK_COUNTS_FROM_APPS = 10
"""Lists shorter than this lose most of their apps in ordinary life."""
APPS_KEPT = 10_000
"""Deltas, and unbelievable lists, add to the apps known one after the other; this ends it."""


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
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        """Kept once it is known: apps are looked up by the million when a policy changes. Of this process only."""
        known = self._hash
        if not known:
            known = hash((self.platform, self.id, self.name, self.version, self.signers, self.installer)) or 1
            object.__setattr__(self, "_hash", known)
        return known


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
    """A later full list shrank unbelievably: the apps are its own and those before it; CLEAN is not provable."""
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


_WIDTH = {Scope.DEVICE: 3, Scope.WORK_PROFILE: 2, Scope.USER: 2, Scope.MANAGED_ONLY: 1, Scope.NONE: 0}


def sees_at_least(scope: Scope, other: Scope) -> bool:
    """Whether whoever sees ``scope`` sees all that ``other`` shows."""
    return scope is other or _WIDTH[scope] > _WIDTH[other]


def capped_scope(claimed: Scope, maximum: Scope) -> Scope:
    """The scope that counts: a payload cannot claim more than its source is configured to see."""
    return claimed if _WIDTH[claimed] <= _WIDTH[maximum] else maximum


def apply_report(current: Inventory | None, report: InventoryReport, max_scope: Scope, now: float) -> Applied:
    """The state after a report, or why it changes nothing.

    Order: a report counts only if its (generated_at, sequence) is above the stored one, whatever it says, because
    transports retry and overlap. A delta must name the stored sequence as its base, leave no more than ``APPS_KEPT``,
    and name no app of which there are several (``GAP`` otherwise: ask for a full one). More than five minutes in the
    future is refused. A full list that shrinks unbelievably keeps the old apps beside its own and marks the state
    suspicious.
    """
    if report.generated_at > now + FUTURE_TOLERANCE_SECONDS:
        return Applied(Outcome.FUTURE, current)
    if current is not None and not _follows(current, report):
        return Applied(Outcome.STALE, current)
    scope = capped_scope(report.scope, max_scope)
    capped = scope is not report.scope
    if report.kind is ReportKind.DELTA:
        return _apply_delta(current, report, scope, capped)
    if current is not None and _shrinks_unbelievably(current, report, scope):
        return _apply_suspicious(current, report, capped)
    return _apply_full(current, report, scope, capped)


def _follows(current: Inventory, report: InventoryReport) -> bool:
    if (report.generated_at, report.sequence) <= (current.generated_at, current.sequence):
        return False
    # Within one installation of an agent the sequence never starts again, whatever the clock says.
    restarted = report.boot_id != current.boot_id or not report.sequence or not current.sequence
    return restarted or report.sequence > current.sequence


def _shrinks_unbelievably(current: Inventory, report: InventoryReport, scope: Scope) -> bool:
    present = sum(1 for reported in report.apps if reported.state.present)
    if present == 0 and scope is Scope.DEVICE:
        return True
    if current.scope is not scope or current.os_version != report.os_version:
        return False
    known = len(current.apps)
    return known >= SHRINK_COUNTS_FROM_APPS and present < known * SHRINK_SUSPICIOUS_BELOW


def _apply_suspicious(current: Inventory, report: InventoryReport, capped: bool) -> Applied:
    # Too short to prove an absence, but what it shows is there: only good news has to wait for a believable list.
    shown = (reported.app for reported in report.apps if reported.state.present)
    apps = tuple(dict.fromkeys((*shown, *current.apps)))[:APPS_KEPT]
    inventory = replace(
        current,
        suspicious=True,
        suspicious_at=report.generated_at,
        generated_at=report.generated_at,
        received_at=report.received_at,
        sequence=report.sequence,
        boot_id=report.boot_id,
        apps=apps,
        compromised=report.compromised or current.compromised,
        compliant=False if report.compliant is False else current.compliant,
    )
    return Applied(Outcome.SUSPICIOUS, inventory, *_difference(current.apps, apps), scope_capped=capped)


def _apply_full(current: Inventory | None, report: InventoryReport, scope: Scope, capped: bool) -> Applied:
    apps = tuple(dict.fromkeys(reported.app for reported in report.apps if reported.state.present))
    before = () if current is None else current.apps
    # The very first list may be empty as well: a whole device without a single app is not believable.
    suspicious = current is None and not apps and scope is Scope.DEVICE
    inventory = Inventory(
        source_id=report.source_id,
        source_device=report.source_device,
        scope=scope,
        naming=report.naming,
        generated_at=report.generated_at,
        received_at=report.received_at,
        sequence=report.sequence,
        apps=apps,
        full_at=None if suspicious else report.generated_at,
        boot_id=report.boot_id,
        device_keys=report.device_keys,
        ownership=report.ownership,
        compromised=report.compromised,
        compliant=report.compliant,
        os_version=report.os_version,
        platform=report.platform,
        suspicious=suspicious,
        suspicious_at=report.generated_at if suspicious else None,
    )
    outcome = Outcome.SUSPICIOUS if suspicious else Outcome.APPLIED
    return Applied(outcome, inventory, *_difference(before, apps), scope_capped=capped)


def _apply_delta(current: Inventory | None, report: InventoryReport, scope: Scope, capped: bool) -> Applied:
    if current is None or report.base_sequence != current.sequence or report.boot_id != current.boot_id:
        return Applied(Outcome.GAP, current)
    said = tuple(dict.fromkeys(report.apps))
    changed = {app_key(each.app): each.app if each.state.present else None for each in said}
    known = [(app_key(app), app) for app in current.apps]
    copies = Counter(key for key, _ in known if key in changed)
    if len(changed) < len(said) or any(number > 1 for number in copies.values()):
        # Of an app that is there twice (two versions, two profiles) nobody can say which one is meant: lest the other
        # is forgotten, only a whole list tells.
        return Applied(Outcome.GAP, current)
    # What is changed stays in its place; what is new comes behind.
    kept = [changed.pop(key, app) for key, app in known]
    after = tuple(app for app in (*kept, *changed.values()) if app is not None)
    if len(after) > max(APPS_KEPT, len(current.apps)):
        # Of so many only a whole list is believed, which has a bound of its own.
        return Applied(Outcome.GAP, current)
    inventory = replace(
        current,
        scope=capped_scope(current.scope, scope),
        generated_at=report.generated_at,
        received_at=report.received_at,
        sequence=report.sequence,
        apps=after,
        device_keys=report.device_keys or current.device_keys,
        ownership=current.ownership if report.ownership is Ownership.UNKNOWN else report.ownership,
        compromised=current.compromised if report.compromised is None else report.compromised,
        compliant=current.compliant if report.compliant is None else report.compliant,
        os_version=report.os_version or current.os_version,
        platform=report.platform or current.platform,
    )
    return Applied(Outcome.APPLIED, inventory, *_difference(current.apps, after), scope_capped=capped)


def app_key(app: App) -> tuple[Platform, str]:
    """What makes two list items the same app on one device: the id, by its platform's own case rule.

    Android package names differ by case; Apple bundle ids and Windows family names do not.
    """
    return app.platform, folded_id(app.platform, app.id)


def folded_id(platform: Platform, app_id: str) -> str:
    """An app id as its platform compares it."""
    if platform in (Platform.IOS, Platform.MACOS, Platform.WINDOWS):
        return app_id.casefold()
    return app_id


def _difference(before: tuple[App, ...], after: tuple[App, ...]) -> tuple[tuple[App, ...], tuple[App, ...]]:
    old, new = set(before), set(after)
    return tuple(app for app in after if app not in old), tuple(app for app in before if app not in new)
