"""A policy is exactly its parts, and differences put on the one give the other."""

from dataclasses import replace

from hypothesis import given

from gateway.domain.bans import Flag
from gateway.domain.policy import PolicyVersion, first_policy
from gateway.domain.policy_parts import differences, parts_of, put_parts
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, TENCENT_BAN, TIKTOK_BAN, thorough

EMPTY = replace(first_policy(NOW), summary="")


@thorough
@given(drawn.policies())
def test_a_policy_is_its_parts(version: PolicyVersion) -> None:
    empty = replace(version, bans=(), exemptions=())
    assert put_parts(empty, parts_of(version)) == version


@thorough
@given(drawn.policies(), drawn.policies())
def test_differences_lead_from_the_one_to_the_other(one: PolicyVersion, other: PolicyVersion) -> None:
    touches = differences(one, other)
    there = put_parts(one, {touch.part: touch.after for touch in touches})
    assert parts_of(there) == parts_of(other)
    back = put_parts(there, {touch.part: touch.before for touch in touches})
    assert parts_of(back) == parts_of(one)
    assert differences(one, one) == ()


def test_what_a_ban_recognises_and_whether_it_counts_are_two_parts() -> None:
    before = replace(EMPTY, bans=(TIKTOK_BAN, TENCENT_BAN))
    turned = replace(before, bans=(TIKTOK_BAN, replace(TENCENT_BAN, flag=Flag.ENFORCE)))
    assert [touch.part for touch in differences(before, turned)] == ["flag:tencent"]
    narrowed = replace(before, bans=(replace(TIKTOK_BAN, matchers=TIKTOK_BAN.matchers[:1]), TENCENT_BAN))
    assert [touch.part for touch in differences(before, narrowed)] == ["ban:tiktok"]
    assert [touch.part for touch in differences(before, EMPTY)] == [
        "ban:tiktok",
        "flag:tiktok",
        "ban:tencent",
        "flag:tencent",
    ]


def test_a_ban_keeps_its_place_and_a_new_one_comes_last() -> None:
    before = replace(EMPTY, bans=(TIKTOK_BAN,))
    added = put_parts(before, parts_of(replace(EMPTY, bans=(TENCENT_BAN, TIKTOK_BAN))))
    assert [ban.name for ban in added.bans] == ["TikTok", "Tencent"]
