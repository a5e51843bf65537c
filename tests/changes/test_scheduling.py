"""What comes by itself: scheduled changes and stages when they are due, once; stop rules halt before the next stage."""

from dataclasses import replace
from functools import partial

from structlog.testing import capture_logs

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied
from gateway.changes.desk import Actor, Wanted
from gateway.changes.scheduling import AGAIN_AFTER_SECONDS, Schedule, StopFigures, broken_rules
from gateway.domain.bans import Flag
from gateway.domain.change import GuardedAction, PolicyChange, State
from gateway.domain.notice import Notice, NoticeKind, NoticeState, Reader
from gateway.domain.policy import PolicyVersion, Setting
from gateway.domain.stages import EVERYBODY, Stage, StopRule
from gateway.ports.store import Writing
from tests.changes.office import ANN, BOB, REPORTED, Office, fleet


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, REPORTED.name, Flag.ENFORCE)


def first_stage(stop: StopRule) -> Stage:
    return Stage(report_only=True, stop=stop)


def schedule_of(office: Office) -> Schedule:
    return Schedule(office.store, office.applier, lambda: office.now)


async def begun(office: Office, *stages: Stage) -> int:
    """A change whose first stage is in force."""
    await office.begin(REPORTED)
    number = await office.proposed(enforce, ANN, *stages)
    assert isinstance(await office.applier.apply(number, ANN.name), Applied)
    return number


async def test_a_stage_comes_when_its_time_has_come_and_only_once() -> None:
    office = Office(fleet(3))
    number = await begun(office, Stage(report_only=True), replace(EVERYBODY, after_seconds=3600.0, by_itself=True))
    schedule = schedule_of(office)
    office.now += 3599
    await schedule.look()
    assert (await office.change(number)).state is State.APPLYING
    office.now += 1
    await schedule.look()
    done = await office.change(number)
    assert (done.state, len(done.done), done.done[-1].by) == (State.APPLIED, 2, "gatepost")
    await schedule.look()
    assert await office.change(number) == done


async def test_a_stage_by_hand_waits_for_a_hand() -> None:
    office = Office(fleet(3))
    number = await begun(office, Stage(report_only=True), EVERYBODY)
    office.now += 1e6
    await schedule_of(office).look()
    assert (await office.change(number)).state is State.APPLYING


async def test_a_scheduled_change_comes_at_its_moment() -> None:
    office = Office(fleet(3))
    await office.begin(REPORTED)
    change = await office.desk.propose(ANN, enforce, Wanted(starts_at=office.now + 60))
    assert change is not None
    await office.desk.preview(change.number, ANN.name)
    assert isinstance(await office.applier.apply(change.number, ANN.name), NotApplied)
    schedule = schedule_of(office)
    await schedule.look()
    assert (await office.change(change.number)).state is State.SCHEDULED
    office.now += 60
    await schedule.look()
    assert (await office.change(change.number)).state is State.APPLIED


async def test_what_the_guards_stop_rests_and_is_tried_again_later() -> None:
    office = Office(fleet(60))
    await office.begin(REPORTED)
    change = await office.desk.propose(ANN, enforce, Wanted(starts_at=office.now + 60))
    assert change is not None
    preview, _ = await office.desk.preview(change.number, ANN.name)
    assert preview.preview is not None
    await office.desk.approve(change.number, BOB, preview.preview.digest)
    await office.applier.apply(change.number, ANN.name)
    # The approval ends before the moment comes.
    office.now += 2 * 86_400
    schedule = schedule_of(office)
    await schedule.look()
    asked = office.previews.asked
    office.now += AGAIN_AFTER_SECONDS - 1
    await schedule.look()
    assert office.previews.asked == asked
    office.now += 1
    await schedule.look()
    assert office.previews.asked == asked + 1
    assert (await office.change(change.number)).state is State.SCHEDULED
    assert (await office.change(change.number)).done == ()


async def test_a_stop_rule_halts_between_two_stages_and_says_so() -> None:
    office = Office(fleet(10))
    stop = StopRule(wrong=2)
    number = await begun(office, Stage(report_only=True, stop=stop), replace(EVERYBODY, by_itself=True))
    found = StopFigures(wrong=2)

    async def figures(change: PolicyChange) -> StopFigures:
        return found

    schedule = Schedule(office.store, office.applier, lambda: office.now, figures)
    office.previews.records.clear()
    found = StopFigures(wrong=3)
    await schedule.look()
    halted = await office.change(number)
    assert (halted.state, len(halted.done)) == (State.HALTED, 1)
    await schedule.look()
    assert schedule.sentences() == [
        f"change {number} halted: 3 people who say that their notice is wrong, the stop rule allows 2; withdraw it, or "
        f"go on: gatepost apply {number}"
    ]


async def test_a_change_that_somebody_ends_meanwhile_holds_up_no_other() -> None:
    """Withdrawn between the look and the halt: the stop rule of the next change counts all the same."""
    office = Office(fleet(4))
    stop = StopRule(wrong=0)
    first = await begun(office, Stage(report_only=True, stop=stop), EVERYBODY)
    change = await office.desk.propose(
        ANN,
        lambda version: edits.set_unknown(version, "stale", Setting.DENY),
        Wanted(stages=(first_stage(stop), EVERYBODY)),
    )
    assert change is not None
    await office.desk.preview(change.number, ANN.name)
    assert isinstance(await office.applier.apply(change.number, ANN.name), Applied)

    async def figures(of: PolicyChange) -> StopFigures:
        if of.number == first:
            await office.applier.withdraw(first, BOB.name)
        return StopFigures(wrong=1)

    await Schedule(office.store, office.applier, lambda: office.now, figures).look()
    assert (await office.change(first)).state is State.WITHDRAWN
    assert (await office.change(change.number)).state is State.HALTED


async def test_a_stage_that_somebody_applied_meanwhile_does_not_bring_the_one_behind_it() -> None:
    office = Office(fleet(3))
    by_itself = replace(Stage(percent=50.0), by_itself=True, after_seconds=60.0, stop=StopRule(wrong=5))
    number = await begun(office, Stage(report_only=True, stop=StopRule(wrong=5)), by_itself, EVERYBODY)
    office.now += 60

    async def figures(of: PolicyChange) -> StopFigures:
        if (await office.change(number)).next_stage == 1:
            await office.applier.apply(number, BOB.name)
        return StopFigures()

    await Schedule(office.store, office.applier, lambda: office.now, figures).look()
    change = await office.change(number)
    assert ([each.by for each in change.done], change.state) == (["ann", "bob"], State.APPLYING)


async def test_a_change_is_minded_however_many_came_after_it() -> None:
    office = Office(fleet(3))
    number = await begun(office, Stage(report_only=True), replace(EVERYBODY, after_seconds=3600.0, by_itself=True))
    for each in range(250):
        await office.desk.propose_action(ANN, GuardedAction("operator", {}), Wanted(title=f"operator {each}"))
    office.now += 3600
    await schedule_of(office).look()
    assert (await office.change(number)).state is State.APPLIED


async def test_a_mistake_in_one_change_stops_no_rule_of_another() -> None:
    office = Office(fleet(3))
    stop = StopRule(wrong=0)
    number = await begun(office, first_stage(stop), EVERYBODY)

    async def figures(of: PolicyChange) -> StopFigures:
        raise ValueError("never expected")

    schedule = Schedule(office.store, office.applier, lambda: office.now, figures)
    with capture_logs() as logged:
        await schedule.look()
    assert [each["event"] for each in logged if each.get("change") == number] == ["change_not_due"]
    assert (await office.change(number)).state is State.APPLYING


def test_at_the_limit_nothing_halts() -> None:
    stop = StopRule(cut_per_hour=5, undelivered=1, wrong=0)
    assert list(broken_rules(stop, StopFigures(5, 1, 0))) == []
    assert len(list(broken_rules(stop, StopFigures(6, 2, 1)))) == 3
    assert list(broken_rules(StopRule(), StopFigures(9, 9, 9))) == []


async def test_readers_who_say_that_their_notice_is_wrong_halt_a_change() -> None:
    office = Office(fleet(3))
    stop = StopRule(wrong=2)
    number = await begun(office, Stage(report_only=True, stop=stop), replace(EVERYBODY, by_itself=True))
    for readers, state in ((2, State.APPLIED), (3, State.HALTED)):
        number = await begun_again(office, number, stop)
        for reader in range(readers):
            await office.store.write(partial(complain, number, reader))
        await schedule_of(office).look()
        assert (await office.change(number)).state is state


async def complain(number: int, reader: int, writing: Writing) -> None:
    await writing.put_complaint(number, f"t{reader}", 1.0)


async def begun_again(office: Office, number: int, stop: StopRule) -> int:
    """The change before is taken back; another one like it stands at its first stage."""
    await office.applier.withdraw(number, ANN.name)
    # By somebody else: the whole of a change counts before its first stage, and one person's day is soon full.
    other = Actor(f"other{number}", f"o{number}")
    again = await office.proposed(
        enforce, other, Stage(report_only=True, stop=stop), replace(EVERYBODY, by_itself=True)
    )
    assert isinstance(await office.applier.apply(again, other.name), Applied)
    return again


async def test_notices_that_could_not_be_delivered_halt_a_change() -> None:
    office = Office(fleet(3))
    stop = StopRule(undelivered=2)
    number = await begun(office, Stage(report_only=True, stop=stop), replace(EVERYBODY, by_itself=True))
    for undelivered, state in ((2, State.APPLIED), (3, State.HALTED)):
        number = await begun_again(office, number, stop)
        await office.store.write(partial(put_notices, number, undelivered))
        await schedule_of(office).look()
        assert (await office.change(number)).state is state
    assert (await office.change(number)).history[-1].words == (
        "3 notices that could not be delivered, the stop rule allows 2"
    )


async def put_notices(number: int, undelivered: int, writing: Writing) -> None:
    """Among those that arrived some that did not, of every sort."""
    bad = (NoticeState.FAILED, NoticeState.BOUNCED, NoticeState.UNCERTAIN)
    states = [*bad[:undelivered], NoticeState.SENT, NoticeState.PLANNED]
    kinds = (NoticeKind.WARNING, NoticeKind.CUT)
    await writing.add_notices(
        [
            Notice(number, kinds[place % 2], Reader(f"p{place}", f"p{place}@x", "en", ""), f"<{place}@x>", state=state)
            for place, state in enumerate(states)
        ]
    )
