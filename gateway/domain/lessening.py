"""Whether one value of a policy part enforces no more than another, for every device and moment.

Only what refuses counts: whether the rest is reported or let pass without a word makes no difference here.

Lists of rules are compared person by person, yet not over all persons. Every condition of a rule is one that fewer
groups and a larger share only ever fail. So where there is anybody for whom one rule decides in the one list and one in
the other, there is one with no groups but those that the two name, and with the largest share that the two allow.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.inventory import Platform
from gateway.domain.policy import Setting, UnknownSetting
from gateway.domain.policy_parts import FlagPart

EVERYBODY = 100.0
"""Percent."""


def may_enforce(part: FlagPart) -> bool:
    """Whether the ban may refuse anybody at all."""
    return Flag.ENFORCE in (part.flag, *(rule.flag for rule in part.rules))


def flag_enforces_no_more(one: FlagPart, other: FlagPart) -> bool:
    """Whether nobody is under the ban by ``one`` who is not by ``other``.

    It may say no though it is so: that rules never speak to members of the ban's own groups is not looked for.
    """
    if not may_enforce(one):
        return True
    return (
        (not other.groups or (bool(one.groups) and one.groups <= other.groups))
        and _begins(one) >= _begins(other)
        and _ends(one) <= _ends(other)
        and not shares_differ(one, other)
        and _rules_enforce_no_more(_rules(one), _rules(other))
    )


def setting_enforces_no_more(one: UnknownSetting, other: UnknownSetting) -> bool:
    """The same of a setting for unknowns."""
    return all(
        other.of(protocol, platform) is Setting.DENY
        for protocol in Protocol
        for platform in (None, *Platform)
        if one.of(protocol, platform) is Setting.DENY
    )


def _begins(part: FlagPart) -> float:
    return float("-inf") if part.starts_at is None else part.starts_at


def _ends(part: FlagPart) -> float:
    return float("inf") if part.ends_at is None else part.ends_at


def shares_differ(one: FlagPart, other: FlagPart) -> bool:
    """Whether their percentages choose other people: they go by another seed."""
    return one.seed != other.seed and any(rule.percent is not None for rule in (*one.rules, *other.rules))


def _rules(part: FlagPart) -> Sequence[FlagRule]:
    return (*part.rules, FlagRule(part.flag))


def _rules_enforce_no_more(mine: Sequence[FlagRule], theirs: Sequence[FlagRule]) -> bool:
    """Whether nobody has a rule that enforces among ``mine`` decide, and one that does not among ``theirs``."""
    named = {rule.protocol for rule in (*mine, *theirs)} - {None}
    protocols = [*named, *[each for each in Protocol if each not in named][:1]]
    return not any(
        _somebody(protocol, first, second, (*mine[:here], *theirs[:there]))
        for (here, first), (there, second) in product(enumerate(mine), enumerate(theirs))
        if first.flag is Flag.ENFORCE and second.flag is not Flag.ENFORCE
        for protocol in _of(first, _of(second, protocols))
    )


def _of(rule: FlagRule, protocols: Iterable[Protocol | None]) -> Iterator[Protocol | None]:
    return (each for each in protocols if rule.protocol in (None, each))


def _somebody(protocol: Protocol | None, first: FlagRule, second: FlagRule, before: Iterable[FlagRule]) -> bool:
    """Whether there is anybody, asking by that protocol, whom both rules are about and none of those before them."""
    share = min(EVERYBODY if rule.percent is None else rule.percent for rule in (first, second))
    return share > 0 and not any(
        rule.protocol in (None, protocol)
        and rule.group in ("", first.group, second.group)
        and (rule.percent is None or rule.percent >= share)
        for rule in before
    )
