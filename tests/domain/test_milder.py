"""The milder of two values never enforces more than either; held on ``decide`` itself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.bans import Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Platform
from gateway.domain.milder import milder
from gateway.domain.policy import (
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
    policy_of,
)
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition, parts_of, put_parts
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, thorough

ENFORCED = FlagPart(Flag.ENFORCE)


def merged(one: PolicyVersion, present: PolicyVersion) -> PolicyVersion:
    """Each part the milder of both; a flag without its ban has nothing to say."""
    mine, theirs = parts_of(one), parts_of(present)
    values = {part: milder(mine.get(part), theirs.get(part)) for part in {**mine, **theirs}}
    return put_parts(present, values)


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), drawn.policies())
def test_the_milder_of_two_policies_refuses_nobody_whom_the_present_one_lets_in(
    request: AccessRequest, record: PersonRecord, one: PolicyVersion, present: PolicyVersion
) -> None:
    mild = decide(request, record, policy_of(merged(one, present)), NOW)
    assert mild.effect <= decide(request, record, policy_of(present), NOW).effect


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), drawn.policies())
def test_nor_anybody_whom_the_other_one_lets_in(
    request: AccessRequest, record: PersonRecord, one: PolicyVersion, present: PolicyVersion
) -> None:
    # Two rules for Outlook that cannot be compared leave the present one.
    one = replace(one, outlook_mobile=present.outlook_mobile)
    mild = decide(request, record, policy_of(merged(one, present)), NOW)
    assert mild.effect <= decide(request, record, policy_of(one), NOW).effect


@given(st.data(), drawn.policies(), drawn.policies())
def test_of_two_that_are_the_same_nothing_is_lost(
    data: st.DataObject, one: PolicyVersion, other: PolicyVersion
) -> None:
    parts = parts_of(data.draw(st.sampled_from([one, other])))
    assert {part: milder(value, value) for part, value in parts.items()} == parts


@pytest.mark.parametrize(
    ("one", "present", "expected"),
    [
        (FlagPart(Flag.REPORT_ONLY), ENFORCED, FlagPart(Flag.REPORT_ONLY)),
        (ENFORCED, FlagPart(Flag.OFF), FlagPart(Flag.OFF)),
        (
            FlagPart(Flag.ENFORCE, groups=frozenset({"a", "b"})),
            ENFORCED,
            FlagPart(Flag.ENFORCE, groups=frozenset("ab")),
        ),
        (
            FlagPart(Flag.ENFORCE, groups=frozenset({"a"})),
            FlagPart(Flag.ENFORCE, groups=frozenset({"b"})),
            FlagPart(Flag.REPORT_ONLY, groups=frozenset({"b"})),
        ),
        (
            FlagPart(Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, percent=10.0),)),
            FlagPart(Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, group="board"),)),
            FlagPart(
                Flag.REPORT_ONLY,
                (
                    FlagRule(Flag.ENFORCE, group="board", percent=10.0),
                    FlagRule(Flag.REPORT_ONLY, percent=10.0),
                    FlagRule(Flag.REPORT_ONLY, group="board"),
                ),
            ),
        ),
        (
            FlagPart(Flag.ENFORCE, starts_at=5.0, ends_at=20.0),
            FlagPart(Flag.ENFORCE, starts_at=7.0),
            FlagPart(Flag.ENFORCE, starts_at=7.0, ends_at=20.0),
        ),
        # Another seed chooses other people: nothing says who is chosen by both.
        (
            FlagPart(Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, percent=10.0),), seed=1),
            FlagPart(Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, percent=50.0),), seed=2),
            FlagPart(Flag.REPORT_ONLY, seed=2),
        ),
        (True, False, False),
        (Unavailable.DENY, Unavailable.DEFER, Unavailable.DEFER),
        (OutlookMobile.UNMATCHED, OutlookMobile.DENY, OutlookMobile.UNMATCHED),
        # A device in its grace has mail under deny, and none where another device of the user is refused.
        (OutlookMobile.USER_WIDE, OutlookMobile.DENY, OutlookMobile.DENY),
        (OutlookMobile.REPORT_ONLY, OutlookMobile.UNMATCHED, OutlookMobile.REPORT_ONLY),
        (NewDeviceGrace(60.0, 1), NewDeviceGrace(30.0, 3), NewDeviceGrace(60.0, 3)),
        (
            UnknownSetting(Setting.DENY),
            UnknownSetting(Setting.REPORT_ONLY, (SettingRule(Setting.DENY, Protocol.IMAP),)),
            UnknownSetting(Setting.REPORT_ONLY, (SettingRule(Setting.DENY, Protocol.IMAP),)),
        ),
    ],
)
def test_by_example(one: PartValue, present: PartValue, expected: PartValue) -> None:
    assert milder(one, present) == expected


def test_of_two_ways_to_recognise_an_app_only_what_both_recognise_is_left() -> None:
    android = Matcher(MatcherKind.ID, "com.tencent.mm", Platform.ANDROID)
    ios = Matcher(MatcherKind.ID, "com.tencent.xin", Platform.IOS)
    beta = Matcher(MatcherKind.ID, "com.tencent.mm.beta", Platform.ANDROID)
    one, present = Recognition("WeChat", (android,), (beta,)), Recognition("WeChat", (android, ios))
    assert milder(one, present) == Recognition("WeChat", (android,), (beta,))
    assert milder(Recognition("WeChat", (ios,)), Recognition("WeChat", (android,))) is None
    assert milder(None, present) is None
