"""The life of a change against a store: guards and the second person; no refusal leaves anything behind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied, Rules
from gateway.changes.desk import Actor, NoSuchChange, Wanted
from gateway.changes.guards import GuardLimits
from gateway.changes.previews import Previewed
from gateway.domain.bans import Flag
from gateway.domain.change import GuardedAction, State
from gateway.domain.errors import InvalidValue
from gateway.domain.freeze import freeze_span
from gateway.domain.policy import Exemption, PolicyVersion, Setting
from gateway.ports.store import ChangeKind
from tests.changes.by_hand import ByHand
from tests.changes.office import ANN, BOB, EVE, Office, enforce, fleet, off, office, phone
from tests.support.evidence_strategies import NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

# --- few devices: one person


async def test_a_small_change_is_one_persons() -> None:
    made = await office(dirty=3)
    done = await made.turn(enforce)
    assert isinstance(done, Applied)
    assert (done.change.state, done.version.number, done.version.author) == (State.APPLIED, 3, "ann")
    assert done.version.summary == "flag of TikTok set to enforce"
    assert (done.in_force.in_force, done.in_force.workers) == (2, 2)
    assert [each.kind for each in made.sent].count(ChangeKind.POLICY) == 3
    assert len(made.previews.refused(await made.policy())) == 3


async def test_what_changes_nothing_is_no_change() -> None:
    made = await office()
    assert await made.desk.propose(ANN, lambda version: edits.set_global(version, True)) is None


# --- many: two


async def test_many_devices_need_a_second_person_and_nothing_is_half_done() -> None:
    made = await office(dirty=100)
    before = await made.policy()
    refused = await made.turn(enforce)
    assert isinstance(refused, NotApplied)
    assert [hit.sentence for hit in refused.hits] == [
        "100 devices newly cut; one person alone may turn 50 within a day"
    ]
    assert refused.sentence == "change 2 needs the approval of a second person, not ann: gatepost approve 2"
    assert await made.policy() == before
    await made.approve(2)
    done = await made.applier.apply(2, "ann")
    assert isinstance(done, Applied)
    assert len(made.previews.refused(await made.policy())) == 100


async def test_a_share_of_a_small_fleet_needs_one_too() -> None:
    made = await office(dirty=6, clean=94)
    refused = await made.turn(enforce)
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence.startswith("6 devices newly cut, 6 % of the fleet")


async def test_ten_small_changes_are_as_guarded_as_a_large_one() -> None:
    made = Office(fleet(0, 6000))
    await made.begin()
    for number in range(3):
        apps = [replace(TIKTOK, id=f"com.example.a{number}")] * 1
        made.records += [
            replace(of_person(bound(seen(*apps))), person_id=f"x{number}-{each}@corp.example") for each in range(49)
        ]
    outcomes = []
    for number in range(3):
        matcher = replace(TIKTOK_BAN.matchers[0], value=f"com.example.a{number}")
        ban = replace(TIKTOK_BAN, name=f"A{number}", matchers=(matcher,))
        outcomes.append(await made.turn(lambda version, ban=ban: edits.add_ban(version, ban)))  # type: ignore[misc]
    assert [type(each) for each in outcomes] == [Applied, NotApplied, NotApplied]
    assert "49 more by ann's changes of the last 24 hours" in outcomes[1].hits[0].sentence  # type: ignore[union-attr]
    # Another person's first 49 are that person's.
    assert isinstance(await made.applier.apply(2, "ann"), NotApplied)
    made.now += 86_401
    assert isinstance(await made.applier.apply(2, "ann"), Applied)


@pytest.mark.parametrize(
    ("actor", "sentence"),
    [
        (ANN, "made with the same token"),
        (Actor("ann", "t9"), "ann made change 2: it needs another person's approval"),
        (Actor("Ann", "t9"), "it needs another person's approval"),
        (EVE, "eve may not approve: this needs the role approver"),
        (Actor("root", "t0", first_start=True), "the token of the first start cannot approve"),
    ],
)
async def test_whose_yes_does_not_count(actor: Actor, sentence: str) -> None:
    made = await office()
    number = await made.proposed(enforce)
    with pytest.raises(InvalidValue, match=sentence):
        await made.approve(number, actor)
    assert isinstance(await made.applier.apply(number, "ann"), NotApplied)


async def test_an_approval_ends() -> None:
    made = await office()
    await made.approve(await made.proposed(enforce))
    made.now += 86_400
    refused = await made.applier.apply(2, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence.startswith("its approval has ended: change 2 needs the approval of a second person")


async def test_an_approval_that_ended_is_given_again() -> None:
    made = await office()
    await made.approve(await made.proposed(enforce))
    made.now += 86_400
    await made.approve(2)
    assert isinstance(await made.applier.apply(2, "ann"), Applied)


async def test_a_scheduled_change_whose_approval_ended_is_approved_where_it_stands() -> None:
    made = await office()
    change = await made.desk.propose(ANN, enforce, Wanted(starts_at=NOW + 2 * 86_400))
    assert change is not None
    await made.desk.preview(change.number, "ann")
    await made.approve(change.number)
    await made.applier.apply(change.number, "ann")
    # It lasts a day beyond the moment.
    made.now += 3 * 86_400
    refused = await made.applier.apply(change.number, "schedule")
    assert isinstance(refused, NotApplied)
    assert refused.sentence.startswith("its approval has ended: change 2 needs the approval of a second person")
    assert (await made.approve(change.number)).state is State.SCHEDULED
    assert isinstance(await made.applier.apply(change.number, "schedule"), Applied)


async def test_an_approval_by_a_token_that_was_revoked_since_counts_no_more() -> None:
    made = await office()
    await made.approve(await made.proposed(enforce))
    before, made.revoked = await made.policy(), {"t2"}
    refused = await made.applier.apply(2, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence == "change 2 needs the approval of a second person, not ann: gatepost approve 2"
    assert await made.policy() == before
    await made.approve(2, Actor("carl", "t7"))
    assert isinstance(await made.applier.apply(2, "ann"), Applied)


async def test_nor_by_one_that_is_revoked_while_the_fleet_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes its time with a large one."""
    made = await office()
    await made.approve(await made.proposed(enforce))
    before, looked = await made.policy(), ByHand.of

    async def of(self: ByHand, *versions: PolicyVersion, **others: Any) -> Previewed:
        made.revoked.add("t2")
        return await looked(self, *versions, **others)

    monkeypatch.setattr(ByHand, "of", of)
    refused = await made.applier.apply(2, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence == "change 2 needs the approval of a second person, not ann: gatepost approve 2"
    assert await made.policy() == before


async def test_many_more_admitted_than_approved_need_another_yes() -> None:
    """A group that grew behind its exemption, say: who is let in counts like who is cut."""
    made = Office([replace(of_person(bound()), person_id=f"p{each}") for each in range(60)], Rules(second_person=False))
    await made.begin()
    await made.turn(lambda version: edits.set_unknown(version, "missing", Setting.DENY))
    made.rules = Rules()
    number = await made.proposed(lambda version: edits.set_unknown(version, "missing", Setting.REPORT_ONLY))
    await made.approve(number)
    made.records += [replace(of_person(bound()), person_id=f"q{each}") for each in range(7)]
    before = await made.policy()
    refused = await made.applier.apply(number, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence.startswith(
        "7 devices more would be admitted than in the preview that bob approved (at most 6 may differ)"
    )
    assert await made.policy() == before


async def test_a_fleet_that_changed_since_the_preview_needs_another_yes() -> None:
    made = await office(dirty=100)
    await made.approve(await made.proposed(enforce))
    made.records += [phone(5000 + each, banned=True) for each in range(11)]
    refused = await made.applier.apply(2, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence.startswith(
        "11 devices would be cut that were not in the preview that bob approved (at most 10 may differ)"
    )
    # A new preview makes the approval void.
    change, _ = await made.desk.preview(2, "ann")
    assert (change.state, change.approvals) == (State.PREVIEWED, ())


async def test_some_devices_more_than_approved_are_let_pass() -> None:
    made = await office(dirty=100)
    await made.approve(await made.proposed(enforce))
    made.records += [phone(5000 + each, banned=True) for each in range(10)]
    assert isinstance(await made.applier.apply(2, "ann"), Applied)


async def test_an_approval_is_for_the_preview_that_was_seen() -> None:
    made = await office()
    number = await made.proposed(enforce)
    with pytest.raises(InvalidValue, match="is another one by now: look at it again"):
        await made.desk.approve(number, BOB, "0" * 64)


async def test_a_change_without_a_preview_is_not_applied() -> None:
    made = await office(dirty=1)
    change = await made.desk.propose(ANN, enforce)
    assert change is not None
    refused = await made.applier.apply(change.number, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.sentence == "change 2 has no preview yet: gatepost change preview 2"


async def test_exempting_oneself_or_a_group_needs_a_second_person() -> None:
    made = await office(dirty=0)

    def exempting(**who: str) -> Callable[[PolicyVersion], PolicyVersion]:
        exemption = Exemption("e1", "ann", "travels", NOW, NOW + 60, **who)
        return lambda version: edits.add_exemption(version, exemption, NOW)

    refused = await made.turn(exempting(group="board"))
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence == "the whole group board would be exempt"


async def test_letting_unknowns_in_counts_the_admitted() -> None:
    made = Office([replace(of_person(bound()), person_id=f"p{each}") for each in range(60)])
    await made.begin()
    deny = await made.turn(lambda version: edits.set_unknown(version, "missing", Setting.DENY))
    assert isinstance(deny, NotApplied)
    await made.approve(1)
    assert isinstance(await made.applier.apply(1, "ann"), Applied)
    less = await made.turn(lambda version: edits.set_unknown(version, "missing", Setting.REPORT_ONLY), BOB)
    assert isinstance(less, NotApplied)
    assert less.hits[0].sentence == "60 devices newly admitted; one person alone may turn 50 within a day"


async def test_what_begins_at_a_later_date_is_judged_by_whom_it_turns_then() -> None:
    """Else one person would cut everybody, in a minute."""
    made = Office(fleet(100))
    await made.begin()
    later = replace(TIKTOK_BAN, starts_at=NOW + 60)
    refused = await made.turn(lambda version: edits.add_ban(version, later))
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence == "100 devices newly cut; one person alone may turn 50 within a day"
    assert (await made.change(1)).preview.newly_cut == 100  # type: ignore[union-attr]
    await made.approve(1)
    done = await made.applier.apply(1, "ann")
    assert isinstance(done, Applied)
    # It comes at its date all the same.
    assert (done.version.bans[0].starts_at, made.previews.refused(done.version)) == (NOW + 60, set())


async def test_exemptions_that_begin_later_count_now() -> None:
    made = Office(fleet(100), Rules(second_person=False))
    await made.begin(TIKTOK_BAN)
    later = Exemption("e1", "ann", "travels", NOW + 60, NOW + 120, login="p1@corp.example")
    done = await made.turn(lambda version: edits.add_exemption(version, later, NOW))
    assert isinstance(done, Applied)
    assert done.change.done[0].newly_admitted == 1


async def test_a_guarded_action_waits_for_a_second_person_and_is_done_with_the_change() -> None:
    made = await office()
    action = GuardedAction("operator", {"name": "carl"})
    change = await made.desk.propose_action(ANN, action, Wanted(title="operator carl"))
    await made.desk.preview(change.number, "ann")
    refused = await made.applier.apply(change.number, "ann")
    assert isinstance(refused, NotApplied)
    assert (refused.hits[0].sentence, made.performed) == ("operator carl: this always needs a second person", [])
    await made.approve(change.number)
    assert isinstance(await made.applier.apply(change.number, "ann"), Applied)
    assert made.performed == [action]


async def test_an_action_that_is_not_possible_any_more_says_why() -> None:
    made = await office()
    change = await made.desk.propose_action(ANN, GuardedAction("operator", {}), Wanted(title="operator carl"))
    await made.desk.preview(change.number, "ann")
    await made.approve(change.number)
    made.taken = "there is an operator carl already"
    with pytest.raises(InvalidValue, match="change 2 cannot be applied any more: there is an operator carl already"):
        await made.applier.apply(change.number, "ann")
    assert (await made.change(change.number)).state is State.APPROVED


async def test_withdrawing_an_action_says_that_it_is_not_undone() -> None:
    made = await office(rules=Rules(second_person=False))
    change = await made.desk.propose_action(ANN, GuardedAction("operator", {}), Wanted(title="operator carl"))
    await made.desk.preview(change.number, "ann")
    await made.applier.apply(change.number, "ann")
    assert (await made.applier.withdraw(change.number, "ann")).kept == ("action:operator",)


async def test_freeze_hours_need_a_second_person_for_more_and_nobody_for_less() -> None:
    week = GuardLimits(freeze=(freeze_span("mon 00:00 - sun 23:59"), freeze_span("sun 23:00 - mon 01:00")))
    made = await office(dirty=1)
    made.rules = Rules(week)
    refused = await made.turn(enforce)
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].guard == "freeze_hours"
    assert isinstance(await made.turn(off), Applied)


async def test_a_shop_of_one_sees_the_guards_and_goes_on() -> None:
    made = await office(dirty=100, rules=Rules(second_person=False))
    assert isinstance(await made.turn(enforce), Applied)


# --- less, always


async def test_turning_down_is_one_step_for_one_person_without_a_preview() -> None:
    made = await office(dirty=100, rules=Rules(second_person=False))
    await made.turn(enforce)
    made.rules = Rules()
    asked = made.previews.asked
    for edit in (off, lambda version: edits.set_global(version, False)):
        change = await made.desk.propose(EVE, edit)
        assert change is not None
        assert isinstance(await made.applier.apply(change.number, "eve"), Applied)
    assert made.previews.asked == asked


# --- two at once


async def test_of_two_changes_that_cross_the_second_one_is_refused() -> None:
    made = await office(dirty=1)
    one, other = await made.proposed(enforce), await made.proposed(off, BOB)
    assert isinstance(await made.applier.apply(one, "ann"), Applied)
    with pytest.raises(InvalidValue, match="somebody changed the same thing since change 3 was made"):
        await made.applier.apply(other, "bob")


async def test_a_change_is_put_on_what_others_did_elsewhere() -> None:
    made = await office(dirty=1)
    number = await made.proposed(enforce)
    await made.turn(lambda version: edits.set_grace(version, 60.0, 1), BOB)
    assert isinstance(await made.applier.apply(number, "ann"), Applied)
    policy = await made.policy()
    assert (policy.bans[0].flag, policy.grace.seconds) == (Flag.ENFORCE, 60.0)


async def test_a_change_that_is_over_is_over() -> None:
    made = await office(dirty=1)
    number = await made.proposed(enforce)
    await made.desk.reject(number, BOB, "not today")
    for act in (made.applier.apply(number, "ann"), made.desk.preview(number, "ann"), made.desk.reject(number, ANN)):
        with pytest.raises(InvalidValue, match=f"change {number} is rejected"):
            await act
    with pytest.raises(NoSuchChange, match="there is no change 77"):
        await made.applier.apply(77, "ann")
