"""Bans: a named app with the matchers that recognise it.

Kinds of matcher, strongest first: exact id per platform, id prefix on a dot boundary, signer, Apple team id,
extension id, origin, publisher and name (weak: free text, folded, globs). Each may carry a version bound. Matchers
are evaluated once per distinct app and policy version, never per request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.access import Protocol
from gateway.domain.inventory import Platform


class MatcherKind(StrEnum):
    """What of an app a matcher looks at."""

    ID = "id"
    ID_PREFIX = "id_prefix"
    SIGNER = "signer"
    TEAM_ID = "team_id"
    EXTENSION_ID = "extension_id"
    ORIGIN = "origin"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Matcher:
    """Recognises apps. ``value`` is read according to ``kind``."""

    kind: MatcherKind
    value: str
    """Package, bundle id or prefix without ``.*``; signer hex; team id; origin; or a glob on the name."""
    platform: Platform | None = None
    """None: any platform (needed for id kinds, optional for the rest)."""
    publisher: str = ""
    """Glob on the publisher, for kind ``name`` only."""
    below_version: str = ""
    """Only versions below this one match: the version code on Android where the bound is a whole number, dotted
    numerics elsewhere. A version that cannot be read counts as below."""


class Flag(StrEnum):
    """Enforcement flag."""

    OFF = "off"
    REPORT_ONLY = "report-only"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class FlagRule:
    """An exception to a ban's own flag; all conditions that are set must hold."""

    flag: Flag
    protocol: Protocol | None = None
    group: str = ""
    percent: float | None = None
    """Share of the users, 0 to 100, chosen stably by the ban's seed."""


@dataclass(frozen=True, slots=True)
class Ban:
    """A named app that must not be on a device with company mail."""

    name: str
    matchers: tuple[Matcher, ...]
    exceptions: tuple[Matcher, ...] = ()
    """An app that one of these recognises is not banned, where the exception is at least as specific."""
    flag: Flag = Flag.REPORT_ONLY
    rules: tuple[FlagRule, ...] = ()
    """Newest first; the first whose conditions hold replaces ``flag``."""
    groups: frozenset[str] = frozenset()
    """Only for members of one of these groups; empty: everybody."""
    starts_at: float | None = None
    """Before this moment enforce counts as report-only."""
    ends_at: float | None = None
    """From this moment on the ban counts as off."""
    seed: int = 0
    text: str = ""
    """For the reader: why, and what to do."""
    labels: Mapping[str, str] = field(default_factory=dict)
