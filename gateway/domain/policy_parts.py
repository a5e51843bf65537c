"""A policy version taken apart: what a change can touch, each part under a stable name with its value.

Two versions differ in parts; a change is the list of parts that it touches, each with the value before and after.
That is what a preview shows, what is checked for having been touched meanwhile, and what a withdrawal takes back.
A part that is not there has the value None; the parts of a policy are exactly what ``put_parts`` can set.

Names: ``enforcement``, ``grace``, ``outlook_mobile``, ``unavailable``, ``unknown:CAUSE``, ``ban:NAME`` (what it
recognises), ``flag:NAME`` (for whom and when it counts), ``exemption:ID``. Names of bans are folded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gateway.domain.bans import Ban, Flag, FlagRule, Matcher
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Unavailable,
    Unknowns,
    UnknownSetting,
)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a ban recognises, and what it says to the reader."""

    name: str
    matchers: tuple[Matcher, ...]
    exceptions: tuple[Matcher, ...] = ()
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlagPart:
    """For whom, when and how a ban counts; the fields are those of ``Ban``."""

    flag: Flag = Flag.REPORT_ONLY
    rules: tuple[FlagRule, ...] = ()
    groups: frozenset[str] = frozenset()
    starts_at: float | None = None
    ends_at: float | None = None
    seed: int = 0


PartValue = bool | NewDeviceGrace | OutlookMobile | Unavailable | UnknownSetting | Recognition | FlagPart | Exemption
Parts = Mapping[str, PartValue]


@dataclass(frozen=True, slots=True)
class Touch:
    """One part that a change touches."""

    part: str
    before: PartValue | None
    after: PartValue | None


def parts_of(version: PolicyVersion) -> dict[str, PartValue]:
    """Every part of the version by name, in the order in which a reader expects them."""
    parts: dict[str, PartValue] = {"enforcement": version.enforcement_on}
    for ban in version.bans:
        key = ban.name.casefold()
        parts[f"ban:{key}"] = Recognition(ban.name, ban.matchers, ban.exceptions, ban.text, dict(ban.labels))
        parts[f"flag:{key}"] = FlagPart(ban.flag, ban.rules, ban.groups, ban.starts_at, ban.ends_at, ban.seed)
    parts.update({f"exemption:{each.id}": each for each in version.exemptions})
    parts.update({f"unknown:{each.name}": getattr(version.unknowns, each.name) for each in fields(Unknowns)})
    parts["grace"] = version.grace
    parts["outlook_mobile"] = version.outlook_mobile
    parts["unavailable"] = version.unavailable
    return parts


def differences(before: PolicyVersion, after: PolicyVersion) -> tuple[Touch, ...]:
    """The parts in which two versions differ, those of ``before`` first."""
    old, new = parts_of(before), parts_of(after)
    names = dict.fromkeys((*old, *new))
    return tuple(Touch(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def put_parts(version: PolicyVersion, values: Mapping[str, PartValue | None]) -> PolicyVersion:
    """The version with these parts set; None takes a part away. A ban needs its ``ban:`` part, new ones come last."""
    # The names say what kind of value each part has; ``replace`` is not told so.
    parts: dict[str, Any] = {**parts_of(version), **values}
    return replace(
        version,
        enforcement_on=parts["enforcement"],
        bans=tuple(
            _ban(value, parts.get(f"flag:{name.removeprefix('ban:')}"))
            for name, value in parts.items()
            if isinstance(value, Recognition)
        ),
        exemptions=tuple(value for value in parts.values() if isinstance(value, Exemption)),
        unknowns=Unknowns(**{each.name: parts[f"unknown:{each.name}"] for each in fields(Unknowns)}),
        grace=parts["grace"],
        outlook_mobile=parts["outlook_mobile"],
        unavailable=parts["unavailable"],
    )


def _ban(what: Recognition, whom: PartValue | None) -> Ban:
    part = whom if isinstance(whom, FlagPart) else FlagPart()
    return Ban(
        what.name,
        what.matchers,
        what.exceptions,
        part.flag,
        part.rules,
        part.groups,
        part.starts_at,
        part.ends_at,
        part.seed,
        what.text,
        what.labels,
    )
