"""A policy version as it stands for one protocol at one moment: what of it can deny at all.

Two protocols, two versions or two moments with equal terms get one evaluation, and bans with equal terms one union of
bitmaps. Mirrors ``enforcement.flag_in_force`` and ``policy.UnknownSetting.of``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.inventory import Platform
from gateway.domain.policy import NewDeviceGrace, OutlookMobile, PolicyVersion, Setting, UnknownSetting
from gateway.domain.verdict import Cause

PLATFORMS: tuple[Platform | None, ...] = (*Platform, None)


@dataclass(frozen=True, slots=True)
class Step:
    """A flag rule that may concern somebody: those it selects are decided by it, and by none after it."""

    enforces: bool
    group: str
    percent: float | None


@dataclass(frozen=True, slots=True)
class BanTerms:
    """Whom a ban is enforced for, if they have a hit."""

    groups: frozenset[str]
    """Only members of one of these; empty: everybody."""
    steps: tuple[Step, ...]
    others: bool
    """Whether it is enforced for those whom no step selects."""
    seed: int
    """Of the shares; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a protocol's verdicts follow from."""

    bans: tuple[tuple[BanTerms, tuple[str, ...]], ...]
    """Names of the bans under each."""
    denied: Mapping[str, tuple[Platform | None, ...]]
    """By name of the unknown setting: the platforms for which it denies."""
    stranger: bool
    """A login of nobody known is refused."""
    nobody_reported: bool
    """A person of whom no device is reported is refused, where all devices should answer."""
    grace: NewDeviceGrace | None
    """None: there is none to be had."""
    noted: bool
    """A device that never asked will be noted when it does."""
    outlook: OutlookMobile
    """As it counts for this protocol."""

    def __hash__(self) -> int:
        """Mappings have none."""
        return hash((self.bans, tuple(sorted(self.denied)), self.stranger, self.nobody_reported))


def terms_of(version: PolicyVersion, protocol: Protocol, now: float) -> Terms:
    """What can deny by ``protocol`` at ``now``, the global switch and exemptions aside."""
    bans: dict[BanTerms, list[str]] = {}
    for ban in version.bans:
        found = ban_terms(ban, protocol, now)
        if found is not None:
            bans.setdefault(found, []).append(ban.name)
    denied = {
        name: tuple(each for each in PLATFORMS if setting.of(protocol, each) is Setting.DENY)
        for name, setting in _settings(version).items()
    }
    unmatched = version.unknowns.unmatched.of(protocol, None) is Setting.DENY
    missing = version.unknowns.missing.of(protocol, None) is Setting.DENY
    is_activesync = protocol is Protocol.ACTIVESYNC
    outlook = version.outlook_mobile if is_activesync else OutlookMobile.UNMATCHED
    # Without a length there is one still for devices that will have been seen first in the future: clocks differ.
    graceful = version.grace.devices > 0
    return Terms(
        tuple((terms, tuple(names)) for terms, names in bans.items()),
        {name: platforms for name, platforms in denied.items() if platforms},
        unmatched,
        missing,
        version.grace if graceful else None,
        is_activesync and graceful and version.grace.seconds > 0,
        outlook,
    )


def _settings(version: PolicyVersion) -> dict[str, UnknownSetting]:
    unknowns = version.unknowns
    return {
        **{cause.value: unknowns.of(cause) for cause in Cause},
        "compromised": unknowns.compromised,
        "not_compliant": unknowns.not_compliant,
    }


def ban_terms(ban: Ban, protocol: Protocol, now: float) -> BanTerms | None:
    """Whom the ban is enforced for; None: nobody."""
    if (ban.ends_at is not None and now >= ban.ends_at) or (ban.starts_at is not None and now < ban.starts_at):
        return None
    steps: list[Step] = []
    others = ban.flag is Flag.ENFORCE
    for rule in ban.rules:
        if rule.protocol not in (None, protocol):
            continue
        enforces = rule.flag is Flag.ENFORCE
        if not rule.group and rule.percent is None:
            others = enforces
            break
        steps.append(Step(enforces, rule.group, rule.percent))
    while steps and steps[-1].enforces is others:
        # It decides as what comes after it.
        steps.pop()
    if not others and not steps:
        return None
    shares = any(step.percent is not None for step in steps)
    return BanTerms(ban.groups, tuple(steps), others, ban.seed if shares else 0)
