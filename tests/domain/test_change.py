"""The life of a change: its states, what it does to a policy by stages, and what taking it back leaves."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.change import (
    WAYS,
    Approval,
    PolicyChange,
    PreviewSeen,
    StageDone,
    State,
    approval_in_force,
    approved,
    at_stage,
    clashes,
    moved,
    previewed,
    taken_back,
)
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.milder import is_no_harsher
from gateway.domain.policy import OutlookMobile, PolicyVersion, Setting, UnknownSetting, first_policy, policy_of
from gateway.domain.policy_parts import differences, parts_of
from gateway.domain.stages import EVERYBODY, Stage, see_that_stages_rise
from gateway.domain.verdict import Effect
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, TENCENT_BAN, TIKTOK_BAN, thorough

EMPTY = first_policy(NOW)
BANNED = replace(EMPTY, bans=(TIKTOK_BAN,))
REPORTED = replace(EMPTY, bans=(replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY),))
SEEN = PreviewSeen("d1", 1, 7, NOW, 3, 0, 100)
STAGES = (Stage(report_only=True), Stage(percent=10.0), Stage(group="sales"), EVERYBODY)


def change(before: PolicyVersion, after: PolicyVersion, *stages: Stage) -> PolicyChange:
    touches = differences(before, after)
    return PolicyChange(1, "ann", "t1", NOW, "TikTok", before.number, touches, stages=stages or (EVERYBODY,))


def refused(request: AccessRequest, record: PersonRecord, version: PolicyVersion) -> bool:
    return decide(request, record, policy_of(version), NOW).effect is Effect.DENY


# --- states


@pytest.mark.parametrize(("here", "there"), list(product(State, State)))
def test_a_change_goes_the_ways_of_the_table_and_no_other(here: State, there: State) -> None:
    one = replace(change(EMPTY, BANNED), state=here)
    if there in WAYS[here]:
        assert moved(one, there, NOW, "bob", "why").state is there
        assert moved(one, there, NOW, "bob", "why").history[-1].words == "why"
    else:
        with pytest.raises(InvalidValue, match=f"change 1 is {here}"):
            moved(one, there, NOW, "bob")


def test_every_life_comes_to_an_end() -> None:
    ends = {state for state, ways in WAYS.items() if not ways}
    assert ends == {State.WITHDRAWN, State.REJECTED}
    for state in State:
        seen, last = {state}, set[State]()
        while seen != last:
            last, seen = seen, seen | {way for each in seen for way in WAYS[each]}
        assert seen & ends


def test_the_author_cannot_approve_not_even_in_capitals() -> None:
    one = previewed(change(EMPTY, BANNED), SEEN, "ann")
    for name in ("ann", "ANN"):
        with pytest.raises(InvalidValue, match="needs another person's approval"):
            approved(one, Approval(name, "t2", NOW, "d1", NOW + 60))
    assert approved(one, Approval("bob", "t3", NOW, "d1", NOW + 60)).state is State.APPROVED


def test_an_approval_is_for_one_preview_and_for_a_time() -> None:
    one = previewed(change(EMPTY, BANNED), SEEN, "ann")
    with pytest.raises(InvalidValue, match="is another one by now"):
        approved(one, Approval("bob", "t3", NOW, "d0", NOW + 60))
    yes = approved(one, Approval("bob", "t3", NOW, "d1", NOW + 60))
    assert approval_in_force(yes, NOW + 59)
    assert approval_in_force(yes, NOW + 60) is None
    same = previewed(yes, replace(SEEN, at=NOW + 1), "ann")
    assert (same.state, approval_in_force(same, NOW + 2)) == (State.APPROVED, yes.approvals[0])
    other = previewed(yes, replace(SEEN, digest="d2"), "ann")
    assert (other.state, approval_in_force(other, NOW + 2)) == (State.PREVIEWED, None)


def test_a_yes_in_the_middle_of_a_change_moves_nothing() -> None:
    done = (StageDone(0, 2, NOW, "ann"),)
    for state in (State.SCHEDULED, State.APPLYING, State.HALTED):
        one = replace(change(EMPTY, BANNED, *STAGES), state=state, done=done, preview=SEEN)
        yes = approved(one, Approval("bob", "t3", NOW, "d1", NOW + 60))
        assert (yes.state, yes.history[-1].state, approval_in_force(yes, NOW)) == (
            state,
            State.APPROVED,
            yes.approvals[0],
        )


def test_what_began_under_an_approval_goes_on_after_its_end() -> None:
    yes = approved(previewed(change(EMPTY, BANNED, *STAGES), SEEN, "ann"), Approval("bob", "t3", NOW, "d1", NOW + 60))
    for began, lasts in ((NOW + 59, True), (NOW + 60, False)):
        under_way = replace(yes, state=State.APPLYING, done=(StageDone(0, 2, began, "ann"),))
        assert (approval_in_force(under_way, NOW + 1e6) is not None) is lasts


def test_an_approval_that_stands_is_taken_to_a_new_preview() -> None:
    yes = approved(previewed(change(EMPTY, BANNED), SEEN, "ann"), Approval("bob", "t3", NOW, "d1", NOW + 60))
    other = previewed(yes, replace(SEEN, digest="d2"), "ann", approvals_stand=True)
    assert (other.state, other.approvals) == (State.APPROVED, yes.approvals)


def test_a_change_that_waits_for_its_moment_without_an_approval_goes_on_waiting() -> None:
    waits = moved(previewed(change(EMPTY, BANNED), SEEN, "ann"), State.SCHEDULED, NOW, "ann")
    assert previewed(waits, replace(SEEN, digest="d2"), "bob").state is State.SCHEDULED


# --- on a policy


@thorough
@given(drawn.policies(), drawn.policies())
def test_a_change_put_on_what_it_was_made_against_gives_what_was_wanted(
    before: PolicyVersion, after: PolicyVersion
) -> None:
    one = change(before, after)
    there = at_stage(one, before, 0)
    assert parts_of(there) == parts_of(after)
    # Put on twice, after control died between two steps, it is the same.
    assert at_stage(one, there, 0) == there


def test_a_change_stands_on_a_later_version_that_touched_something_else() -> None:
    later = replace(EMPTY, number=2, bans=(TENCENT_BAN,))
    assert [ban.name for ban in at_stage(change(EMPTY, BANNED), later, 0).bans] == ["Tencent", "TikTok"]


def test_two_changes_that_cross_are_told_so() -> None:
    one = change(REPORTED, BANNED)
    later = replace(REPORTED, number=5, bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))
    with pytest.raises(InvalidValue, match=r"version 1, now 5\): flag:tiktok\. Plan it anew"):
        at_stage(one, later, 0)
    assert [clash.part for clash in clashes(one, later)] == ["flag:tiktok"]


# --- by stages


@thorough
@given(drawn.requests, drawn.records(), drawn.policies())
def test_each_stage_refuses_no_more_than_the_whole_change(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion
) -> None:
    one = change(before, replace(before, bans=(replace(TIKTOK_BAN, name="New"), *before.bans)), *STAGES)
    final = refused(request, record, at_stage(one, before, 3))
    for number in range(3):
        if not final:
            assert not refused(request, record, at_stage(one, before, number))


@thorough
@given(drawn.requests, drawn.records(), drawn.policies())
def test_the_first_stage_that_only_reports_refuses_nobody_anew(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion
) -> None:
    new = replace(before, bans=(*before.bans, replace(TENCENT_BAN, name="New", flag=Flag.ENFORCE)))
    first = at_stage(change(before, new, *STAGES), before, 0)
    assert refused(request, record, first) <= refused(request, record, before)


def test_stages_of_a_flag() -> None:
    one = change(REPORTED, BANNED, *STAGES)
    flags = [
        (at_stage(one, REPORTED, number).bans[0].flag, at_stage(one, REPORTED, number).bans[0].rules)
        for number in range(4)
    ]
    assert flags == [
        (Flag.REPORT_ONLY, ()),
        (Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, percent=10.0),)),
        # The tenth stays under the ban when the group comes to it.
        (Flag.REPORT_ONLY, (FlagRule(Flag.ENFORCE, group="sales"), FlagRule(Flag.ENFORCE, percent=10.0))),
        (Flag.ENFORCE, ()),
    ]


def test_the_next_stage_stands_on_the_one_before() -> None:
    one = change(REPORTED, BANNED, *STAGES)
    second = replace(at_stage(one, REPORTED, 1), number=2)
    after = replace(one, state=State.APPLYING, done=(StageDone(0, 1, NOW, "ann"), StageDone(1, 2, NOW, "ann")))
    assert at_stage(after, second, 3).bans[0].flag is Flag.ENFORCE


def test_a_setting_for_unknowns_is_only_reported_until_the_last_stage() -> None:
    strict = replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=UnknownSetting(Setting.DENY)))
    allowed = replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=UnknownSetting(Setting.ALLOW)))
    one = change(allowed, strict, *STAGES)
    settings = [at_stage(one, allowed, number).unknowns.stale.default for number in range(4)]
    assert settings == [Setting.REPORT_ONLY, Setting.ALLOW, Setting.ALLOW, Setting.DENY]


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        ((), "the last stage of a change is for everybody"),
        ((Stage(percent=10.0),), "the last stage of a change is for everybody"),
        ((EVERYBODY, EVERYBODY), "stage 1 is for everybody already"),
        ((Stage(percent=10.0, group="sales"), EVERYBODY), "stage 1 has a percentage and a group"),
        ((Stage(percent=10.0), Stage(percent=5.0), EVERYBODY), "stage 2: its percentage lies above 10 and below 100"),
        ((Stage(percent=10.0, after_seconds=-1), EVERYBODY), "stage 1 cannot come before"),
        ((Stage(percent=5.0), Stage(report_only=True), EVERYBODY), "stage 2 only reports, after one that does more"),
        ((*(Stage(group=str(n)) for n in range(20)), EVERYBODY), "at most 20 stages"),
    ],
)
def test_stages_rise_to_everybody(stages: tuple[Stage, ...], sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        see_that_stages_rise(stages)
    see_that_stages_rise(STAGES)


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(exempting=False))
def test_whom_a_stage_refuses_the_next_one_refuses_too(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion
) -> None:
    """Also where a share of the people is followed by a group: who fell under the share stays under the ban."""
    reported = replace(before, bans=(replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY),))
    one = change(reported, replace(before, bans=(TIKTOK_BAN,)), Stage(percent=50.0), Stage(group="sales"), EVERYBODY)
    found = [refused(request, record, at_stage(one, reported, stage)) for stage in range(3)]
    assert found == sorted(found)


# --- and back


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), drawn.policies(), drawn.policies())
def test_taking_back_never_refuses_anybody_who_is_let_in_now(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion, after: PolicyVersion, now: PolicyVersion
) -> None:
    back = taken_back(change(before, after), now).version
    assert decide(request, record, policy_of(back), NOW).effect <= decide(request, record, policy_of(now), NOW).effect


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), st.integers(0, 3))
def test_a_ban_taken_back_at_any_stage_is_as_if_it_had_never_been(
    request: AccessRequest, record: PersonRecord, before: PolicyVersion, stage: int
) -> None:
    new = replace(before, bans=(*before.bans, replace(TENCENT_BAN, name="New", flag=Flag.ENFORCE)))
    one = change(before, new, *STAGES)
    there = at_stage(one, before, stage)
    one = replace(one, done=(StageDone(stage, 2, NOW, "ann"),))
    back = taken_back(one, there)
    assert (parts_of(back.version), back.clashes, back.kept) == (parts_of(before), (), ())


def test_where_a_later_change_touched_the_same_the_milder_value_stands() -> None:
    one = replace(change(REPORTED, BANNED), done=(StageDone(0, 2, NOW, "ann"),))
    off = replace(REPORTED, bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))
    back = taken_back(one, off)
    assert (back.version.bans[0].flag, back.clashes, back.kept) == (Flag.OFF, ("flag:tiktok",), ("flag:tiktok",))


def test_taking_back_a_lessening_enforces_nothing_and_says_so() -> None:
    one = replace(change(BANNED, EMPTY), done=(StageDone(0, 2, NOW, "ann"),))
    back = taken_back(one, EMPTY)
    assert (back.version, back.clashes, back.kept) == (EMPTY, (), ("ban:tiktok", "flag:tiktok"))


def test_taking_back_what_enforced_for_one_group_more_leaves_the_other_group_under_the_ban() -> None:
    for_a, for_b = FlagRule(Flag.ENFORCE, group="a"), FlagRule(Flag.ENFORCE, group="b")
    before = replace(REPORTED, bans=(replace(REPORTED.bans[0], rules=(for_a,)),))
    after = replace(REPORTED, bans=(replace(REPORTED.bans[0], rules=(for_b, for_a)),))
    back = taken_back(replace(change(before, after), done=(StageDone(0, 2, NOW, "ann"),)), after)
    assert (back.version, back.clashes, back.kept) == (before, (), ())


def with_setting(setting: UnknownSetting) -> PolicyVersion:
    return replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=setting))


OFF_FOR_A = FlagRule(Flag.OFF, group="a")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REPORTED, replace(REPORTED, bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))),
        (REPORTED, replace(REPORTED, bans=(replace(REPORTED.bans[0], rules=(OFF_FOR_A,)),))),
        (with_setting(UnknownSetting(Setting.REPORT_ONLY)), with_setting(UnknownSetting(Setting.ALLOW))),
        (replace(EMPTY, outlook_mobile=OutlookMobile.REPORT_ONLY), replace(EMPTY, outlook_mobile=OutlookMobile.ALLOW)),
    ],
)
def test_what_was_only_reported_is_so_again_where_nobody_touched_it_since(
    before: PolicyVersion, after: PolicyVersion
) -> None:
    one = change(before, after)
    there = at_stage(one, before, 0)
    back = taken_back(replace(one, done=(StageDone(0, 2, NOW, "ann"),)), there)
    assert (back.version, back.clashes, back.kept) == (before, (), ())


@thorough
@given(drawn.policies(), drawn.policies())
def test_where_nobody_touched_it_since_what_is_kept_would_enforce_more(
    before: PolicyVersion, after: PolicyVersion
) -> None:
    one = change(before, after)
    there = at_stage(one, before, 0)
    back = taken_back(replace(one, done=(StageDone(0, 6, NOW, "ann"),)), there)
    befores, present = parts_of(before), parts_of(there)
    assert not [part for part in back.kept if is_no_harsher(befores.get(part), present.get(part))]
