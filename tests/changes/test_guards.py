"""What makes a change need a second person, guard by guard."""

from dataclasses import replace

import pytest

from gateway.changes.edits import set_flag
from gateway.changes.guards import GuardLimits, Measured, WideBan, guard_hits, turns_down_only
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.change import PolicyChange, StageDone, State
from gateway.domain.inventory import Platform
from gateway.domain.policy import (
    Exemption,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
    first_policy,
)
from gateway.domain.policy_parts import differences
from tests.support.evidence_strategies import NOW, TIKTOK_BAN

EMPTY = first_policy(NOW)
BANNED = replace(EMPTY, bans=(TIKTOK_BAN,))
REPORTED = replace(EMPTY, bans=(replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY),))
FEW = Measured(3, 0, 1000)


def change(before: PolicyVersion, after: PolicyVersion) -> PolicyChange:
    return PolicyChange(9, "ann", "t1", NOW, "title", 1, differences(before, after))


def guards(one: PolicyChange, measured: Measured = FEW, *recent: PolicyChange) -> list[str]:
    return [hit.guard for hit in guard_hits(one, measured, recent, GuardLimits(), ("ann@corp.example",), NOW)]


ENFORCES = change(REPORTED, BANNED)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Measured(0, 0, 0), []),
        (Measured(50, 0, 100_000), []),
        (Measured(51, 0, 100_000), ["newly_cut"]),
        (Measured(0, 51, 100_000), ["newly_admitted"]),
        (Measured(4, 0, 4), []),
        (Measured(5, 0, 500), []),
        (Measured(6, 0, 500), ["newly_cut"]),
        (Measured(30, 25, 100_000), []),
        (Measured(60, 60, 100_000), ["newly_cut", "newly_admitted"]),
        (Measured(1, 0, 1000, wide=(WideBan("Mail", "com.google.android.gm", 900, 90.0),)), ["over_wide"]),
        (Measured(1, 0, 50, wide=(WideBan("Mail", "com.google.android.gm", 45, 90.0),)), []),
        (Measured(1, 0, 1000, named_cut=("ann",)), ["named_people"]),
    ],
)
def test_by_numbers(measured: Measured, expected: list[str]) -> None:
    assert guards(ENFORCES, measured) == expected


def applied(number: int, author: str, cut: int, at: float) -> PolicyChange:
    done = (StageDone(0, 2, at, author, cut, 0),)
    return replace(ENFORCES, number=number, author=author, state=State.APPLIED, done=done)


def staged(number: int, author: str, *stages: tuple[int, float]) -> PolicyChange:
    done = tuple(StageDone(place, 2, at, author, cut, 0) for place, (cut, at) in enumerate(stages))
    return replace(ENFORCES, number=number, author=author, state=State.APPLYING, done=done)


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        ((), []),
        ((applied(1, "ann", 48, NOW - 60),), ["newly_cut"]),
        ((applied(1, "ANN", 24, NOW - 60), applied(2, "ann", 24, NOW - 86_000)), ["newly_cut"]),
        ((applied(1, "ann", 48, NOW - 86_401),), []),
        ((applied(1, "bob", 48, NOW - 60),), []),
        # A change of several stages counts stage by stage, however long ago it began.
        ((staged(1, "ann", (30, NOW - 90_000), (48, NOW - 60)),), ["newly_cut"]),
        ((staged(1, "ann", (48, NOW - 90_000), (1, NOW - 60)),), []),
        # Withdrawn or not, it was done.
        ((replace(applied(1, "ann", 48, NOW - 60), state=State.WITHDRAWN),), ["newly_cut"]),
        ((replace(applied(1, "ann", 48, NOW - 60), state=State.PREVIEWED, done=()),), []),
    ],
)
def test_what_the_same_person_did_within_a_day_counts(recent: tuple[PolicyChange, ...], expected: list[str]) -> None:
    assert guards(ENFORCES, FEW, *recent) == expected if len(recent) else guards(ENFORCES) == expected


def test_exemptions_of_oneself_and_of_groups() -> None:
    def exempting(login: str = "", group: str = "") -> PolicyChange:
        exemption = Exemption("e1", "ann", "why", NOW, NOW + 60, login=login, group=group)
        return change(EMPTY, replace(EMPTY, exemptions=(exemption,)))

    assert guards(exempting(login="ann@corp.example")) == ["exempts_author"]
    assert guards(exempting(login="bob@corp.example")) == []
    # Where nobody has said which logins are the author's.
    own = exempting(login="ann@corp.example")
    assert [hit.guard for hit in guard_hits(own, FEW, (), GuardLimits(), (), NOW)] == ["exempts_author"]
    assert guards(exempting(group="board")) == ["exempts_group"]


def test_the_earlier_stages_of_a_change_count_with_it() -> None:
    under_way = replace(ENFORCES, done=staged(9, "ann", (48, NOW - 60)).done)
    assert guards(under_way) == ["newly_cut"]


STALE_ON_IOS = UnknownSetting(Setting.DENY, (SettingRule(Setting.ALLOW, None, Platform.IOS),))
DENIED = replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=UnknownSetting(Setting.DENY)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (EMPTY, replace(EMPTY, unknowns=replace(EMPTY.unknowns, missing=UnknownSetting(Setting.ALLOW))), True),
        (DENIED, replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=STALE_ON_IOS)), True),
        (replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=STALE_ON_IOS)), DENIED, False),
        (DENIED, EMPTY, False),
        (EMPTY, replace(EMPTY, unavailable=Unavailable.ALLOW), True),
        (EMPTY, replace(EMPTY, unavailable=Unavailable.DENY), False),
        (EMPTY, replace(EMPTY, outlook_mobile=OutlookMobile.ALLOW), True),
        (EMPTY, replace(EMPTY, outlook_mobile=OutlookMobile.REPORT_ONLY), False),
    ],
)
def test_nobody_alone_lets_pass_whom_nobody_can_judge(
    before: PolicyVersion, after: PolicyVersion, expected: bool
) -> None:
    """A preview of today does not count who will be unknown tomorrow."""
    assert guards(change(before, after)) == (["passes_unjudged"] if expected else [])


OFF = replace(EMPTY, bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))
GROUPS = (FlagRule(Flag.ENFORCE, group="b"), FlagRule(Flag.ENFORCE, group="a"))
BY_GROUPS = replace(EMPTY, bans=(replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY, rules=GROUPS),))
ALLOWING = replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=UnknownSetting(Setting.ALLOW)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (BANNED, REPORTED, True),
        (BANNED, OFF, True),
        (BY_GROUPS, set_flag(BY_GROUPS, "TikTok", Flag.OFF, group="b"), True),
        (BY_GROUPS, set_flag(BY_GROUPS, "TikTok", Flag.OFF, protocol=Protocol.IMAP), True),
        (BY_GROUPS, set_flag(BY_GROUPS, "TikTok", Flag.ENFORCE, group="c"), False),
        (EMPTY, replace(EMPTY, enforcement_on=False), True),
        (replace(EMPTY, enforcement_on=False), EMPTY, False),
        (REPORTED, BANNED, False),
        # Less, too, but not by a flag: who is admitted is counted.
        (BANNED, EMPTY, False),
        (EMPTY, ALLOWING, False),
        (EMPTY, REPORTED, False),
    ],
)
def test_turning_down_is_by_flags_and_the_switch(before: PolicyVersion, after: PolicyVersion, expected: bool) -> None:
    assert turns_down_only(differences(before, after)) is expected
    if expected:
        assert guards(change(before, after), Measured(0, 100_000, 100_000)) == []
