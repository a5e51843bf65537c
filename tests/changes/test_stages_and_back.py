"""The life of a change against a store: stage by stage, back again, with deaths in between, and what audit hears."""

import json
from dataclasses import replace

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied, Rules
from gateway.changes.desk import Wanted
from gateway.changes.scheduling import Schedule
from gateway.domain.bans import Flag
from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import Exemption, PolicyVersion
from gateway.domain.stages import EVERYBODY, Stage
from tests.changes.office import ANN, BOB, REPORTED, enforce, off, office, phone
from tests.support.evidence_strategies import NOW, TIKTOK_BAN

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


def by_another_ban(version: PolicyVersion) -> PolicyVersion:
    """The same apps, banned under another name."""
    return edits.add_ban(edits.remove_ban(version, REPORTED.name), replace(TIKTOK_BAN, name="Clips"))


@pytest.mark.parametrize(("dirty", "comes"), [(60, False), (3, True)])
async def test_a_first_stage_that_lets_in_many_whom_the_whole_change_refuses_does_not_come(
    dirty: int, comes: bool
) -> None:
    """What only lessens comes at once, what takes its place in the end: the whole turns nobody."""
    made = await office(dirty=dirty, rules=Rules(second_person=False))
    await made.turn(enforce)
    made.rules, made.now = Rules(), made.now + 2 * 86_400
    before = await made.policy()
    number = await made.proposed(by_another_ban, ANN, Stage(report_only=True), EVERYBODY)
    foreseen = await made.applier.would_refuse(number)
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied) is comes
    # Who previews it is told the same.
    assert foreseen == (done if isinstance(done, NotApplied) else None)
    if isinstance(done, NotApplied):
        # Another person's approval would not help.
        assert done.hits == ()
        assert done.sentence == (
            "its first stage would let in 60 that the whole change does not: what only lessens comes at once, what "
            "takes its place in the end. Make two changes of it, or leave the stages out"
        )
        assert await made.policy() == before
        # At once it turns nobody, so one person may.
        number = await made.proposed(by_another_ban)
        assert isinstance(await made.applier.apply(number, "ann"), Applied)


@pytest.mark.parametrize(("dirty", "comes"), [(60, False), (3, True)])
async def test_nor_does_one_that_cuts_many_whom_the_whole_change_does_not(dirty: int, comes: bool) -> None:
    """A flag comes with the first stage, what narrows its ban with the last."""
    made = await office(dirty=dirty)
    narrow = replace(REPORTED.matchers[0], value="com.example.nobodys")

    def narrowed(version: PolicyVersion) -> PolicyVersion:
        return replace(version, bans=(replace(version.bans[0], matchers=(narrow,), flag=Flag.ENFORCE),), summary="x")

    before = await made.policy()
    number = await made.proposed(narrowed, ANN, Stage(percent=99.0), EVERYBODY)
    foreseen = await made.applier.would_refuse(number)
    done = await made.applier.apply(number, "ann")
    assert isinstance(done, Applied) is comes
    assert foreseen == (done if isinstance(done, NotApplied) else None)
    if isinstance(done, NotApplied):
        assert done.sentence.startswith("its first stage would cut ")
        assert await made.policy() == before


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


async def test_a_yes_in_the_middle_of_a_change_counts_as_long_as_its_token() -> None:
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, Stage(percent=50.0), EVERYBODY)
    await made.applier.apply(number, "ann")
    made.records += [phone(20_000 + each, banned=True) for each in range(60)]
    made.now += 60
    await made.desk.preview(number, "ann")
    await made.approve(number)
    made.revoked.add(BOB.token_id)
    refused = await made.applier.apply(number, "ann")
    assert isinstance(refused, NotApplied)
    assert "needs the approval of a second person" in refused.sentence
    made.revoked.clear()
    assert isinstance(await made.applier.apply(number, "ann"), Applied)


async def test_a_stage_that_is_meant_and_there_already_does_not_bring_the_next_one() -> None:
    """Asked again because the answer was lost, or by two people at once."""
    made = await office(dirty=4)
    number = await made.proposed(enforce, ANN, Stage(report_only=True), EVERYBODY)
    assert isinstance(await made.applier.apply(number, "ann", stage=0), Applied)
    with pytest.raises(InvalidValue, match=f"stage 1 of change {number} is in force already"):
        await made.applier.apply(number, "ann", stage=0)
    assert len((await made.change(number)).done) == 1


async def test_who_turns_a_flag_back_between_two_stages_is_not_overruled_by_the_next_one() -> None:
    made = await office(dirty=40, clean=10_000)
    number = await made.proposed(enforce, ANN, Stage(percent=50.0), Stage(percent=60.0, by_itself=True), EVERYBODY)
    assert isinstance(await made.applier.apply(number, "ann"), Applied)
    back = await made.turn(lambda version: edits.set_flag(version, "TikTok", Flag.REPORT_ONLY), BOB)
    assert isinstance(back, Applied)
    await Schedule(made.store, made.applier, lambda: made.now).look()
    assert (await made.policy(), made.previews.refused(await made.policy())) == (back.version, set())
    with pytest.raises(InvalidValue, match="somebody changed the same thing"):
        await made.applier.apply(number, "ann")
    done = await made.applier.withdraw(number, "ann")
    assert (done.clashes, done.kept, done.version) == (("flag:tiktok",), (), back.version)


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
