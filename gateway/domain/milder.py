"""The milder of two values of a policy part: one that enforces no more than either, for every device and moment.

Where one of the two flags of a ban enforces no more than the other (``lessening``) it is that one. Where they cannot
be compared, what both agree on is left: a rule for a group and one for a share become a rule for that share of that
group. Where even that cannot be written down, the flag becomes report-only. A withdrawal goes from the present value to
the milder of it and the one before the change: it can free phones, never cut one.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.inventory import Platform
from gateway.domain.lessening import flag_enforces_no_more, setting_enforces_no_more, shares_differ
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
)
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition

MOST_RULES = 100
"""A product of two lists of rules that would be longer is given up for report-only."""

_FLAGS = (Flag.OFF, Flag.REPORT_ONLY, Flag.ENFORCE)
_SETTINGS = (Setting.ALLOW, Setting.REPORT_ONLY, Setting.DENY)
_UNAVAILABLE = (Unavailable.ALLOW, Unavailable.DEFER, Unavailable.DENY)


def milder(one: PartValue | None, present: PartValue | None) -> PartValue | None:
    """What enforces no more than ``one`` nor than ``present``; ``present`` where they cannot be told apart."""
    if one == present:
        return present
    if isinstance(one, Exemption) or isinstance(present, Exemption):
        # Being let through is the milder; ids are not used twice.
        return present if isinstance(present, Exemption) else one
    if one is None or present is None:
        return None
    return _of_one_kind(one, present)


def is_no_harsher(one: PartValue | None, present: PartValue | None) -> bool:
    """Whether ``one`` enforces no more than ``present``: reporting enforces nothing."""
    match one, present:
        case FlagPart(), FlagPart():
            return flag_enforces_no_more(one, present)
        case UnknownSetting(), UnknownSetting():
            return setting_enforces_no_more(one, present)
        case OutlookMobile.ALLOW | OutlookMobile.REPORT_ONLY, OutlookMobile():
            return True
    return milder(one, present) == one


def _of_one_kind(one: PartValue, present: PartValue) -> PartValue | None:
    match one, present:
        case bool(), bool():
            return one and present
        case Recognition(), Recognition():
            return _recognition(one, present)
        case FlagPart(), FlagPart():
            return _flag_part(one, present)
        case UnknownSetting(), UnknownSetting():
            return _unknown(one, present)
        case NewDeviceGrace(), NewDeviceGrace():
            return NewDeviceGrace(max(one.seconds, present.seconds), max(one.devices, present.devices))
        case Unavailable(), Unavailable():
            return min(one, present, key=_UNAVAILABLE.index)
        case OutlookMobile(), OutlookMobile():
            return _outlook(one, present)
    raise TypeError(f"{type(one).__name__} and {type(present).__name__} are no values of one part")


def _recognition(one: Recognition, present: Recognition) -> Recognition | None:
    matchers = tuple(each for each in present.matchers if each in one.matchers)
    if not matchers:
        return None
    exceptions = tuple(dict.fromkeys((*present.exceptions, *one.exceptions)))
    return replace(one, matchers=matchers, exceptions=exceptions)


def _outlook(one: OutlookMobile, present: OutlookMobile) -> OutlookMobile:
    for mild in (OutlookMobile.ALLOW, OutlookMobile.REPORT_ONLY):
        if mild in (one, present):
            return mild
    # User-wide goes by other devices, which deny does not: neither is the milder for everybody.
    return one if (one, present) == (OutlookMobile.UNMATCHED, OutlookMobile.DENY) else present


# --- flags


def _flag_part(one: FlagPart, present: FlagPart) -> FlagPart:
    if flag_enforces_no_more(present, one):
        return present
    if flag_enforces_no_more(one, present):
        return one
    rules = None if shares_differ(one, present) else _rules_of_both(one, present)
    groups = one.groups & present.groups if one.groups and present.groups else one.groups | present.groups
    if rules is None or len(rules) > MOST_RULES:
        return replace(present, flag=Flag.REPORT_ONLY, rules=())
    if one.groups and present.groups and not groups:
        return replace(present, flag=Flag.REPORT_ONLY, rules=())
    return FlagPart(
        min(one.flag, present.flag, key=_FLAGS.index),
        rules,
        groups,
        _latest(one.starts_at, present.starts_at),
        _earliest(one.ends_at, present.ends_at),
        present.seed,
    )


def _rules_of_both(one: FlagPart, present: FlagPart) -> tuple[FlagRule, ...] | None:
    """The first rule that fits of each list decides: all pairs in order, with the conditions of both."""
    mine, theirs = (*one.rules, FlagRule(one.flag)), (*present.rules, FlagRule(present.flag))
    both: list[FlagRule] = []
    for first, second in product(mine, theirs):
        if first.protocol and second.protocol and first.protocol is not second.protocol:
            continue
        if first.group and second.group and first.group != second.group:
            # Members of both groups: no rule can say that.
            return None
        both.append(
            FlagRule(
                min(first.flag, second.flag, key=_FLAGS.index),
                first.protocol or second.protocol,
                first.group or second.group,
                _earliest(first.percent, second.percent),
            )
        )
    return tuple(_spoken(both[:-1]))


def _spoken(rules: list[FlagRule]) -> Iterator[FlagRule]:
    """Without those that an earlier one with the same conditions keeps from ever speaking."""
    seen: set[tuple[Protocol | None, str, float | None]] = set()
    for rule in rules:
        conditions = (rule.protocol, rule.group, rule.percent)
        if conditions not in seen:
            seen.add(conditions)
            yield rule


def _latest(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


def _earliest(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)


# --- settings for what cannot be known


def _unknown(one: UnknownSetting, present: UnknownSetting) -> UnknownSetting:
    mine, theirs = (*one.rules, SettingRule(one.default)), (*present.rules, SettingRule(present.default))
    both: dict[tuple[Protocol | None, Platform | None], Setting] = {}
    for first, second in product(mine, theirs):
        if first.protocol and second.protocol and first.protocol is not second.protocol:
            continue
        if first.platform and second.platform and first.platform is not second.platform:
            continue
        conditions = (first.protocol or second.protocol, first.platform or second.platform)
        both.setdefault(conditions, min(first.setting, second.setting, key=_SETTINGS.index))
    default = both.pop((None, None))
    rules = tuple(SettingRule(setting, *conditions) for conditions, setting in both.items())
    return UnknownSetting(default, rules) if len(rules) <= MOST_RULES else UnknownSetting(Setting.REPORT_ONLY)
