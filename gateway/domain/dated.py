"""A change at each moment at which something of it, or beside it, begins or ends by its date.

Guards must see whom a change turns whenever it turns them: a ban that is put off lets in until it begins, and an
exemption that ends tomorrow keeps nobody. So the policies with and without the change are held against each other as
they will be at these moments, not as they are now only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TypeVar

from gateway.domain.bans import Ban, Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import Exemption, PolicyVersion
from gateway.domain.verdict import FOREVER

AHEAD_SECONDS = 7 * 86_400.0
"""An exemption that lasts longer keeps those that it is for; all of them end one day."""
MOST = 16
"""Moments; the fleet is looked at for each."""

T = TypeVar("T")
Pair = tuple[PolicyVersion, PolicyVersion]


def pairs(before: PolicyVersion, after: PolicyVersion, since: float, now: float) -> tuple[Pair, ...]:
    """Both policies as they are at ``since`` (epoch seconds), and at each moment after it, for one who asks ``now``.

    Later moments at which they are the same are left out, and those of what the change does not touch where there are
    very many. Raises ``InvalidValue``: the change itself names too many.
    """
    own, others = _moments(before, after, since)
    if len(own) >= MOST:
        raise InvalidValue(
            f"bans and exemptions of this change begin or end at {len(own)} different moments, and it is looked at for"
            f" {MOST - 1} at most: let some of them fall together, or make several changes"
        )
    moments = sorted({*own, *sorted(others - own)[: MOST - 1 - len(own)]})
    first, *later = ((as_at(before, moment, now), as_at(after, moment, now)) for moment in (since, *moments))
    return (first, *(pair for pair in later if pair[0] != pair[1]))


def as_at(version: PolicyVersion, moment: float, now: float) -> PolicyVersion:
    """The policy with what is in force at ``moment``, for who asks at ``now``; the same object if nothing differs."""
    if moment == now:
        return version
    bans = tuple(_ban(ban, moment, now) for ban in version.bans)
    exemptions = tuple(_exemptions(version.exemptions, moment, now))
    if _the_same(bans, version.bans) and _the_same(exemptions, version.exemptions):
        return version
    return replace(version, bans=bans, exemptions=exemptions)


def _the_same(one: tuple[T, ...], other: tuple[T, ...]) -> bool:
    return len(one) == len(other) and all(mine is theirs for mine, theirs in zip(one, other, strict=True))


def _ban(ban: Ban, moment: float, now: float) -> Ban:
    counts = _in_force(ban.starts_at, ban.ends_at, moment)
    if counts == _in_force(ban.starts_at, ban.ends_at, now):
        return ban
    begun = replace(ban, starts_at=None, ends_at=None)
    return begun if counts else replace(begun, flag=Flag.OFF, rules=())


def _exemptions(exemptions: tuple[Exemption, ...], moment: float, now: float) -> Iterator[Exemption]:
    for each in exemptions:
        counts = each.starts_at <= moment < each.ends_at
        if counts == (each.starts_at <= now < each.ends_at):
            yield each
        elif counts:
            yield replace(each, starts_at=0.0, ends_at=FOREVER)


def _in_force(starts_at: float | None, ends_at: float | None, moment: float) -> bool:
    return (starts_at is None or starts_at <= moment) and (ends_at is None or moment < ends_at)


def _moments(before: PolicyVersion, after: PolicyVersion, since: float) -> tuple[set[float], set[float]]:
    """At which something begins or ends after ``since``: what the change touches, and the rest."""
    one, other = ({ban.name: ban for ban in version.bans} for version in (before, after))
    touched = [ban for name in {*one, *other} if one.get(name) != other.get(name) for ban in _both(one, other, name)]
    own, others = _dates(touched, since), _dates(after.bans, since)
    known, soon = {each.id for each in before.exemptions}, since + AHEAD_SECONDS
    own |= {each.ends_at for each in after.exemptions if each.id not in known and since < each.ends_at <= soon}
    return own, others


def _both(one: Mapping[str, Ban], other: Mapping[str, Ban], name: str) -> Iterator[Ban]:
    return (bans[name] for bans in (one, other) if name in bans)


def _dates(bans: Iterable[Ban], since: float) -> set[float]:
    dates = chain.from_iterable((ban.starts_at, ban.ends_at) for ban in bans)
    return {date for date in dates if date is not None and date > since}
