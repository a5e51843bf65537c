"""What an approval is for: the same wherever it is computed, and another one as soon as anything differs."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from gateway.changes.impact.digest import policy_digest
from gateway.changes.impact.impact import impact_of
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    Unavailable,
    Unknowns,
    UnknownSetting,
)
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK
from tests.support.impact_values import PEOPLE, fleet, person, policy, tiktok

BEFORE, AFTER = policy(), policy(tiktok(), number=2)


def test_order_of_people_and_the_past_of_the_index_do_not_matter() -> None:
    expected = impact_of(fleet(), BEFORE, AFTER, NOW).digest
    writer = Writer("life", 3)
    writer.put([Update(person("zoe", "gone", z1=(TIKTOK,))), Update(person("ann", "", a9=(MAIL,)))])
    writer.put([Update(replace(PEOPLE[0], person_id="zoe@corp.example", known=False, devices={}, logins=()))])
    writer.put(Update(each) for each in reversed(PEOPLE))
    writer.sequence = 7
    assert impact_of(writer.view(), BEFORE, AFTER, NOW).digest == expected


def test_another_fleet_another_life() -> None:
    found = {
        impact_of(each, BEFORE, AFTER, NOW).digest
        for each in (
            fleet(),
            fleet(*PEOPLE[1:]),
            fleet(*PEOPLE[:-2], person("dan", "board", d1=(TIKTOK,))),
            replace(fleet(), incarnation="another"),
        )
    }
    assert len(found) == 4


def test_reports_that_turn_nobody_leave_it_as_it_is() -> None:
    """Else every approval would be void a moment after it was given."""
    one = impact_of(fleet(), BEFORE, AFTER, NOW).digest
    assert impact_of(replace(fleet(), sequence=8), BEFORE, AFTER, NOW).digest == one


def test_cut_and_admitted_are_not_the_same() -> None:
    assert impact_of(fleet(), BEFORE, AFTER, NOW).digest != impact_of(fleet(), AFTER, BEFORE, NOW).digest


BAN = Ban(
    "x",
    (Matcher(MatcherKind.NAME, "x*"),),
    (Matcher(MatcherKind.NAME, "xy"),),
    rules=(FlagRule(Flag.OFF),),
    groups=frozenset({"a", "b", "c", "d"}),
    labels={"k": "v", "l": "w"},
)
EXEMPTION = Exemption("e1", "root", "why", 1.0, 2.0, "ann", "d1")
WHOLE = PolicyVersion(3, 4.0, "root", bans=(BAN,), exemptions=(EXEMPTION,))


def with_ban(**changed: object) -> PolicyVersion:
    return replace(WHOLE, bans=(replace(BAN, **changed),))  # type: ignore[arg-type]


def with_exemption(**changed: object) -> PolicyVersion:
    return replace(WHOLE, exemptions=(replace(EXEMPTION, **changed),))  # type: ignore[arg-type]


BAN_CHANGES: dict[str, object] = {
    "name": "y",
    "matchers": (Matcher(MatcherKind.NAME, "x*", below_version="2"),),
    "exceptions": (),
    "flag": Flag.OFF,
    "rules": (FlagRule(Flag.OFF, percent=1.0),),
    "groups": frozenset({"a"}),
    "starts_at": 1.0,
    "ends_at": 1.0,
    "seed": 1,
    "text": "t",
    "labels": {"k": "w", "l": "w"},
}
EXEMPTION_CHANGES: dict[str, object] = {
    **dict.fromkeys(("id", "author", "reason", "login", "device_id", "group"), "other"),
    "starts_at": 1.5,
    "ends_at": 2.5,
}
VERSION_CHANGES: dict[str, object] = {
    "enforcement_on": False,
    "bans": (),
    "exemptions": (),
    "unknowns": Unknowns(stale=UnknownSetting(Setting.DENY)),
    "grace": NewDeviceGrace(5.0),
    "outlook_mobile": OutlookMobile.DENY,
    "unavailable": Unavailable.DENY,
}
NOT_SAID = {"number", "created_at", "author", "summary"}


@pytest.mark.parametrize(
    ("changes", "changed", "of"),
    [
        (BAN_CHANGES, with_ban, BAN),
        (EXEMPTION_CHANGES, with_exemption, EXEMPTION),
        (VERSION_CHANGES, lambda **changed: replace(WHOLE, **changed), WHOLE),
    ],
    ids=["ban", "exemption", "version"],
)
def test_whatever_a_policy_says_is_in_it(
    changes: dict[str, object], changed: Callable[..., PolicyVersion], of: object
) -> None:
    assert set(changes) | NOT_SAID >= {each.name for each in fields(of)}  # type: ignore[arg-type]
    found = [policy_digest(WHOLE), *(policy_digest(changed(**{name: value})) for name, value in changes.items())]
    assert len(set(found)) == len(found)


def test_number_and_author_are_not() -> None:
    other = replace(WHOLE, number=9, created_at=9.0, author="eve", summary="other")
    assert policy_digest(other) == policy_digest(WHOLE)


def test_the_order_of_sets_does_not_matter() -> None:
    names = [f"group{number}" for number in range(50)]
    one, other = with_ban(groups=frozenset(names)), with_ban(groups=frozenset(reversed(names)))
    assert policy_digest(one) == policy_digest(other)
    turned = with_ban(labels={"l": "w", "k": "v"})
    assert policy_digest(turned) == policy_digest(WHOLE)
