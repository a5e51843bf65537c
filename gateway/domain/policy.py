"""A policy version: the immutable, numbered snapshot that every verdict names.

A fresh install enforces nothing: every flag and every setting for unknowns is report-only until an
administrator turns it.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.domain.access import Protocol
from gateway.domain.ageing import AGEING, Ageing
from gateway.domain.bans import Ban
from gateway.domain.inventory import Platform
from gateway.domain.matching import BanIndex, compiled
from gateway.domain.verdict import Cause


class Setting(StrEnum):
    """What to do where the evidence does not suffice."""

    ALLOW = "allow"
    REPORT_ONLY = "report-only"
    DENY = "deny"


class Unavailable(StrEnum):
    """What to answer when the state itself cannot be read beyond its bound."""

    DEFER = "defer"
    ALLOW = "allow"
    DENY = "deny"


class OutlookMobile(StrEnum):
    """Outlook for iOS and Android comes from a cloud with one DeviceId for all phones of a user.

    The rule stands in for that of unmatched devices; a DeviceId that is bound is judged like any other, whatever type
    it states. ``allow`` lets everybody in who states the type.
    """

    UNMATCHED = "unmatched"
    USER_WIDE = "user-wide"
    ALLOW = "allow"
    REPORT_ONLY = "report-only"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class SettingRule:
    """A setting for one protocol, one platform, or both; the first that fits wins."""

    setting: Setting
    protocol: Protocol | None = None
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class UnknownSetting:
    """A setting with its exceptions, newest first."""

    default: Setting = Setting.REPORT_ONLY
    rules: tuple[SettingRule, ...] = ()

    def of(self, protocol: Protocol, platform: Platform | None) -> Setting:
        """The setting for a request by ``protocol`` from a device of ``platform`` (None: not known)."""
        for rule in self.rules:
            if rule.protocol not in (None, protocol):
                continue
            if rule.platform is None or rule.platform is platform:
                return rule.setting
        return self.default


@dataclass(frozen=True, slots=True)
class Unknowns:
    """What to do with each cause of UNKNOWN, and with devices that a source calls compromised."""

    missing: UnknownSetting = UnknownSetting()
    stale: UnknownSetting = UnknownSetting()
    scope: UnknownSetting = UnknownSetting()
    unmatched: UnknownSetting = UnknownSetting()
    conflict: UnknownSetting = UnknownSetting()
    compromised: UnknownSetting = UnknownSetting()
    not_compliant: UnknownSetting = UnknownSetting()

    def of(self, cause: Cause) -> UnknownSetting:
        """The setting of one cause."""
        setting: UnknownSetting = getattr(self, cause.value)
        return setting


@dataclass(frozen=True, slots=True)
class Exemption:
    """Somebody or something let through, by name, with an end."""

    id: str
    author: str
    reason: str
    starts_at: float
    ends_at: float
    login: str = ""
    """Canonical login of a person."""
    device_id: str = ""
    """With ``login``: that device of that person only."""
    group: str = ""


@dataclass(frozen=True, slots=True)
class NewDeviceGrace:
    """How long a device never seen before may go unmatched or unreported, and how many of them a user has.

    No grace while any device of the user has an open hit under enforcement, else inventing a DeviceId a day
    would be a way in.
    """

    seconds: float = 0.0
    devices: int = 2
    """New devices with grace per user within ``WINDOW_SECONDS``."""


GRACE_WINDOW_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """Everything an administrator decides, at one number."""

    number: int
    created_at: float
    author: str
    summary: str = ""
    """What changed against the version before, in one line."""
    enforcement_on: bool = True
    """The global switch."""
    bans: tuple[Ban, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    unknowns: Unknowns = field(default_factory=Unknowns)
    grace: NewDeviceGrace = NewDeviceGrace()
    outlook_mobile: OutlookMobile = OutlookMobile.UNMATCHED
    unavailable: Unavailable = Unavailable.DEFER


def first_policy(now: float) -> PolicyVersion:
    """Version 1 of a fresh install: nothing banned, nothing enforced."""
    return PolicyVersion(number=1, created_at=now, author="gatepost", summary="first start")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy version ready to judge by."""

    version: PolicyVersion
    index: BanIndex
    ageing: Ageing = AGEING
    """How far evidence ages at present; no part of the version."""
    mark: object = field(default_factory=object, init=False, repr=False, compare=False)
    """Of this very object, for whoever remembers by what was judged and must not keep all of it for that."""

    def ageing_on(self, ageing: Ageing) -> "Policy":
        """The same with lists that may age further than before, of the same sources.

        What was judged before holds as long as it says (``valid_until``), so whoever remembers it goes on: same mark.
        """
        policy = replace(self, ageing=ageing)
        object.__setattr__(policy, "mark", self.mark)
        return policy


def policy_of(version: PolicyVersion, before: Policy | None = None) -> Policy:
    """Compile a policy version.

    With the one ``before`` it is cheaper where only flags differ, and evidence ages as by that one.
    """
    if before is None:
        return Policy(version, compiled(version.bans, None))
    return Policy(version, compiled(version.bans, before.index), before.ageing)


def caught_anew(before: Policy, after: Policy) -> frozenset[str] | None:
    """Ids of the apps that one policy recognises otherwise than the one before it, where they differ in bans only.

    Whoever had no app of a ban by the one before, and has none of these, has the same verdict by both. None: that is
    not known, or something else differs.
    """
    old, new = before.version, after.version
    alike = replace(
        new, number=old.number, created_at=old.created_at, author=old.author, summary=old.summary, bans=old.bans
    )
    if alike != old or after.ageing != before.ageing:
        return None
    return after.index.caught_since(before.index)
