"""The life of a change against a store: guards, second person, stages, back; no refusal leaves anything behind."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from gateway.changes import edits
from gateway.changes.apply import ensure_first_policy
from gateway.changes.applying import Applied, Applier, NotApplied, Rules
from gateway.changes.desk import Actor, ChangeDesk, NoSuchChange, Wanted
from gateway.changes.guards import GuardLimits
from gateway.domain.bans import Flag
from gateway.domain.change import Approval, GuardedAction, PolicyChange, State
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.freeze import freeze_span
from gateway.domain.policy import Exemption, PolicyVersion, Setting
from gateway.domain.stages import EVERYBODY, Stage
from gateway.ports.store import Change, ChangeKind, Conflict, Writing
from gateway.storage.memory import MemoryStore
from tests.changes.by_hand import ByHand
from tests.support.control import Workers
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

T = TypeVar("T")

ANN, BOB, EVE = Actor("ann", "t1"), Actor("bob", "t2"), Actor("eve", "t3", may_approve=False)
REPORTED = replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY)


def phone(number: int, *, banned: bool, groups: frozenset[str] = frozenset()) -> PersonRecord:
    record = of_person(bound(seen(TIKTOK if banned else MAIL)), groups=groups)
    return replace(record, person_id=f"p{number}@corp.example")


def fleet(dirty: int, clean: int = 1000) -> list[PersonRecord]:
    return [phone(number, banned=number < dirty) for number in range(dirty + clean)]


class Dying(MemoryStore):
    """A store whose process dies at the n-th unit of work, before or after its commit."""

    def __init__(self) -> None:
        super().__init__()
        self.die_at = 0
        self.after_commit = False
        self.quicker = 0
        """So often somebody else commits first."""

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        if self.quicker:
            self.quicker -= 1
            raise Conflict("policy version 4 is there already")
        self.die_at -= 1
        if self.die_at == 0 and not self.after_commit:
            raise KeyboardInterrupt
        done = await super().write(work)
        if self.die_at == 0:
            raise KeyboardInterrupt
        return done


@dataclass
class Office:
    """A desk and an applier over one store."""

    records: list[PersonRecord] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    now: float = NOW
    store: Dying = field(default_factory=Dying)
    sent: list[Change] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    performed: list[GuardedAction] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    """Tokens."""
    taken: str = ""
    """Why the action cannot be done any more."""

    def __post_init__(self) -> None:
        self.previews = ByHand(self.records, NOW)
        self.workers = Workers(("w1", "w2"))
        self.desk = ChangeDesk(
            self.store, self.previews, lambda: self.now, operators=self.operators, rejected=self.cancelled
        )
        self.applier = Applier(
            self.store,
            self.previews,
            self.publish,
            self.workers,
            lambda: self.now,
            rules=lambda: self.rules,
            perform=self.perform,
            withdrawn=self.cancelled,
            stands=self.stands,
        )

    async def publish(self, changes: Sequence[Change]) -> None:
        self.sent += changes

    async def stands(self, reading: object, approval: Approval) -> bool:
        return approval.token_id not in self.revoked

    async def cancelled(self, writing: Writing, change: PolicyChange, words: str) -> None:
        self.told.append(f"notices of change {change.number} cancelled")

    async def perform(self, writing: Writing, action: GuardedAction, change: PolicyChange) -> None:
        if self.taken:
            raise Conflict(self.taken)
        self.performed.append(action)

    async def operators(self, reading: object) -> int:
        return 2

    async def begin(self, *bans: object) -> None:
        await ensure_first_policy(self.store, self.publish, NOW)
        for ban in bans:
            await self.turn(lambda version, ban=ban: edits.add_ban(version, ban))  # type: ignore[misc]

    async def turn(self, edit: Callable[[PolicyVersion], PolicyVersion], actor: Actor = ANN) -> Applied | NotApplied:
        number = await self.proposed(edit, actor)
        return await self.applier.apply(number, actor.name)

    async def proposed(self, edit: Callable[[PolicyVersion], PolicyVersion], actor: Actor = ANN, *stages: Stage) -> int:
        change = await self.desk.propose(actor, edit, Wanted(stages=stages or (EVERYBODY,)))
        assert change is not None
        await self.desk.preview(change.number, actor.name)
        return change.number

    async def change(self, number: int) -> PolicyChange:
        async with self.store.read() as reading:
            found = await reading.policy_change(number)
        assert found is not None
        return found

    async def policy(self) -> PolicyVersion:
        async with self.store.read() as reading:
            found = await reading.policy()
        assert found is not None
        return found

    async def approve(self, number: int, actor: Actor = BOB) -> PolicyChange:
        change = await self.change(number)
        assert change.preview is not None
        return await self.desk.approve(number, actor, change.preview.digest)


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, "TikTok", Flag.ENFORCE)


def off(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, "TikTok", Flag.OFF)


async def office(dirty: int = 100, *, clean: int = 1000, rules: Rules | None = None) -> Office:
    """With the ban in place, reported only."""
    made = Office(fleet(dirty, clean), rules or Rules())
    await made.begin(REPORTED)
    return made


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


# --- stages

STAGES = (Stage(report_only=True), Stage(percent=50.0, after_seconds=3600.0), EVERYBODY)


async def test_stage_by_stage_with_its_waiting_time() -> None:
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, *STAGES)
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied)
    assert (done.change.state, len(made.previews.refused(done.version))) == (State.APPLYING, 0)
    waits = await made.applier.apply(number, "ann")
    assert isinstance(waits, NotApplied)
    assert waits.sentence == "not before its time, in 60 minutes; then: gatepost apply 2"
    made.now += 3600
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied)
    half = len(made.previews.refused(done.version))
    assert 8 < half < 32
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied)
    assert (done.change.state, len(made.previews.refused(done.version))) == (State.APPLIED, 40)
    assert [each.newly_cut for each in done.change.done] == [0, half, 40 - half]


async def test_a_halted_change_stays_where_it_is_and_goes_on() -> None:
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, Stage(percent=50.0), EVERYBODY)
    await made.applier.apply(number, "ann")
    before = await made.policy()
    halted = await made.applier.halt(number, "stop rule", "more than 10 devices cut within an hour")
    assert (halted.state, await made.policy()) == (State.HALTED, before)
    assert isinstance(await made.applier.apply(number, "ann"), Applied)


async def test_a_change_with_a_time_is_scheduled_until_then() -> None:
    made = await office(dirty=1)
    change = await made.desk.propose(ANN, enforce, Wanted(starts_at=NOW + 7200))
    assert change is not None
    await made.desk.preview(change.number, "ann")
    waits = await made.applier.apply(change.number, "ann")
    assert isinstance(waits, NotApplied)
    assert (waits.change.state, waits.sentence) == (
        State.SCHEDULED,
        "not before its time, in 2 hours; it comes then by itself",
    )
    made.now += 7200
    assert isinstance(await made.applier.apply(change.number, "schedule"), Applied)


async def test_the_whole_of_a_staged_change_is_guarded_before_its_first_stage() -> None:
    """Else a change would begin that nobody can bring to its end."""
    made = await office(dirty=100)
    number = await made.proposed(enforce, ANN, *STAGES)
    before = await made.policy()
    refused = await made.applier.apply(number, "ann")
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence == "100 devices newly cut; one person alone may turn 50 within a day"
    assert (await made.policy(), (await made.change(number)).done) == (before, ())


async def test_many_small_stages_are_as_guarded_as_a_large_one() -> None:
    """The fleet grows under a change: what it cut already counts with what it would cut."""
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, Stage(percent=50.0), EVERYBODY)
    assert isinstance(await made.applier.apply(number, "ann"), Applied)
    made.records += [phone(20_000 + each, banned=True) for each in range(60)]
    before = await made.policy()
    refused = await made.applier.apply(number, "ann")
    assert isinstance(refused, NotApplied)
    assert "more by ann's changes of the last 24 hours" in refused.hits[0].sentence
    assert await made.policy() == before
    # And it is not stuck there: the rest is previewed and approved in the middle of the change.
    await made.desk.preview(number, "ann")
    assert (await made.approve(number)).state is State.APPLYING
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied)
    assert done.change.state is State.APPLIED


async def test_a_stage_that_is_meant_and_there_already_does_not_bring_the_next_one() -> None:
    """Asked again because the answer was lost, or by two people at once."""
    made = await office(dirty=4)
    number = await made.proposed(enforce, ANN, Stage(report_only=True), EVERYBODY)
    assert isinstance(await made.applier.apply(number, "ann", stage=0), Applied)
    with pytest.raises(InvalidValue, match=f"stage 1 of change {number} is in force already"):
        await made.applier.apply(number, "ann", stage=0)
    assert len((await made.change(number)).done) == 1


async def test_what_turns_down_at_a_moment_is_scheduled_without_a_preview() -> None:
    made = await office(dirty=1)
    change = await made.desk.propose(ANN, off, Wanted(starts_at=NOW + 7200))
    assert change is not None
    waits = await made.applier.apply(change.number, "ann")
    assert isinstance(waits, NotApplied)
    assert (waits.change.state, waits.sentence) == (
        State.SCHEDULED,
        "not before its time, in 2 hours; it comes then by itself",
    )


# --- back


async def test_a_withdrawal_is_one_step_by_one_person_and_leaves_the_policy_as_before() -> None:
    made = await office(dirty=100, rules=Rules(second_person=False))
    before = await made.policy()
    await made.turn(enforce)
    made.rules = Rules()
    done = await made.applier.withdraw(2, "eve", "sent in error")
    assert (done.change.state, done.clashes, done.kept) == (State.WITHDRAWN, (), ())
    assert done.version.bans == before.bans
    assert done.change.withdrawn_by_version == done.version.number
    assert made.told == ["notices of change 2 cancelled"]
    with pytest.raises(InvalidValue, match="change 2 is withdrawn"):
        await made.applier.withdraw(2, "eve")


async def test_who_was_warned_of_a_change_hears_when_it_is_rejected() -> None:
    made = await office()
    await made.desk.reject(await made.proposed(enforce), BOB, "not this week")
    assert made.told == ["notices of change 2 cancelled"]


async def test_a_withdrawal_goes_on_where_another_was_quicker() -> None:
    made = await office(dirty=1)
    await made.turn(enforce)
    made.store.quicker = 2
    done = await made.applier.withdraw(2, "ann")
    assert (done.change.state, made.store.quicker) == (State.WITHDRAWN, 0)


async def test_withdrawing_the_middle_of_a_stage() -> None:
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, Stage(percent=50.0), EVERYBODY)
    await made.applier.apply(number, "ann")
    await made.applier.halt(number, "ann", "wait")
    done = await made.applier.withdraw(number, "bob")
    assert made.previews.refused(done.version) == set()


async def test_withdrawing_what_has_not_begun_touches_no_policy() -> None:
    made = await office(dirty=1)
    before = await made.policy()
    done = await made.applier.withdraw(await made.proposed(enforce), "ann")
    assert (done.change.state, await made.policy()) == (State.REJECTED, before)


# --- a process that dies


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("step", range(1, 7))
async def test_killed_at_each_step_a_change_is_whole_or_not_there_and_goes_on(step: int, after_commit: bool) -> None:
    made = await office(dirty=1)
    made.store.die_at, made.store.after_commit = step, after_commit
    try:
        number = await made.proposed(enforce)
        await made.applier.apply(number, "ann")
        await made.applier.withdraw(number, "ann")
        assert step > 4
    except KeyboardInterrupt:
        pass
    made.store.die_at = 0
    async with made.store.read() as reading:
        present = await reading.policy_change(2)
    policy = await made.policy()
    enforced = policy.bans[0].flag is Flag.ENFORCE
    # The policy and what the change says of itself are never apart.
    assert enforced is bool(present and present.state is State.APPLIED)
    if present is None:
        return
    if present.state is State.DRAFT:
        await made.desk.preview(2, "ann")
    if present.state in (State.DRAFT, State.PREVIEWED):
        assert isinstance(await made.applier.apply(2, "ann"), Applied)
    if (await made.change(2)).state is State.APPLIED:
        await made.applier.withdraw(2, "ann")
    assert (await made.policy()).bans[0].flag is Flag.REPORT_ONLY


# --- what the audit log is told


async def test_each_step_stands_in_the_audit_log_in_its_own_unit_of_work() -> None:
    made = await office(dirty=100)
    number = await made.proposed(enforce)
    await made.approve(number)
    await made.applier.apply(number, "ann")
    await made.applier.withdraw(number, "eve", "sent in error")
    async with made.store.read() as reading:
        entries = [json.loads(each.entry) for each in await reading.audit_entries()]
    told = [(each["kind"], each["actor"]) for each in entries if each.get("details", {}).get("change") == number]
    assert told == [
        ("change_proposed", "ann"),
        ("preview_shown", "ann"),
        ("change_approved", "bob"),
        ("change_applied", "ann"),
        ("change_withdrawn", "eve"),
    ]
    assert [each["details"]["version"] for each in entries if each["kind"] == "policy_edited"] == [1, 2, 3, 4]
    assert entries[-1]["details"]["reason"] == "sent in error"


async def test_whom_an_exemption_is_for_stands_there_as_a_pseudonym_only() -> None:
    made = await office(dirty=0)
    exemption = Exemption("e1", "ann", "travels", NOW, NOW + 60, login="bob@corp.example")
    await made.turn(lambda version: edits.add_exemption(version, exemption, NOW))
    async with made.store.read() as reading:
        entries = [each.entry for each in await reading.audit_entries()]
    assert b"bob@corp.example" not in b"".join(entries)
    assert json.loads(entries[-1])["subjects"][0]["person"].startswith("p-")
