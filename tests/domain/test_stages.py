"""Whom a stage lets in: nobody whom neither the policy before it nor the whole change lets in; held on ``decide``."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.change import PolicyChange, at_stage
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Platform
from gateway.domain.policy import (
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    UnknownSetting,
    first_policy,
    policy_of,
)
from gateway.domain.policy_parts import Touch, differences
from gateway.domain.stages import EVERYBODY, Stage, is_milder, staged
from gateway.domain.verdict import Effect
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, TIKTOK_BAN, thorough

STAGES = (Stage(report_only=True), Stage(percent=50.0), Stage(group="sales"), EVERYBODY)
ONLY_REPORTED_FOR_LINUX = UnknownSetting(Setting.DENY, (SettingRule(Setting.REPORT_ONLY, platform=Platform.LINUX),))
DENIED_FOR_ANDROID = UnknownSetting(Setting.ALLOW, (SettingRule(Setting.DENY, platform=Platform.ANDROID),))


def change(*touches: Touch) -> PolicyChange:
    return PolicyChange(1, "ann", "t1", NOW, "some", 5, touches, stages=STAGES)


def refused(request: AccessRequest, record: PersonRecord, version: PolicyVersion) -> bool:
    return decide(request, record, policy_of(version), NOW).effect is Effect.DENY


def test_where_a_setting_denies_already_a_stage_that_only_reports_leaves_it_so() -> None:
    for before in (ONLY_REPORTED_FOR_LINUX, DENIED_FOR_ANDROID):
        touch = Touch("unknown:unmatched", before, UnknownSetting(Setting.DENY))
        values = [staged(touch, STAGES[: number + 1]) for number in range(4)]
        assert values == [before, before, before, UnknownSetting(Setting.DENY)]


def test_where_only_a_rule_enforces_groups_and_dates_cannot_change_by_stages_either() -> None:
    ban = replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY, rules=(FlagRule(Flag.ENFORCE, group="sales"),))
    before = replace(first_policy(NOW), bans=(ban,))
    after = replace(before, bans=(replace(TIKTOK_BAN, groups=frozenset({"board"})),))
    (touch,) = differences(before, after)
    with pytest.raises(InvalidValue, match="cannot change by stages"):
        staged(touch, STAGES[:2])


def apart(before: PolicyVersion, after: PolicyVersion) -> list[tuple[Touch, ...]]:
    """What two policies differ in, each ban and each setting a change of its own."""
    subjects: dict[str, tuple[Touch, ...]] = {}
    for touch in differences(before, after):
        name = touch.part.replace("flag:", "ban:", 1)
        subjects[name] = (*subjects.get(name, ()), touch)
    return list(subjects.values())


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), drawn.policies(), st.integers(0, 2))
def test_no_stage_lets_in_whom_the_whole_change_does_not(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion, after: PolicyVersion, number: int
) -> None:
    if not refused(request, record, before):
        return
    for touches in apart(before, after):
        one = change(*touches)
        try:
            staged_so = at_stage(one, before, number)
        except InvalidValue:
            continue
        if refused(request, record, at_stage(one, before, len(STAGES) - 1)):
            assert refused(request, record, staged_so), (touches, staged_so)


def test_of_two_rules_for_outlook_that_cannot_be_compared_neither_only_lessens() -> None:
    """By other devices of the user, or as one that nobody knows: for some the one refuses, for some the other."""
    for before, after in permutations((OutlookMobile.UNMATCHED, OutlookMobile.USER_WIDE)):
        touch = Touch("outlook_mobile", before, after)
        assert not is_milder(touch)
        assert staged(touch, STAGES[:1]) is before
    assert is_milder(Touch("outlook_mobile", OutlookMobile.DENY, OutlookMobile.REPORT_ONLY))
