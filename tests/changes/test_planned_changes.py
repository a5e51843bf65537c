"""A policy file on its way: onto newer policy versions, by stages that come by themselves, halted by a stop rule."""

from dataclasses import replace
from itertools import count

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied
from gateway.changes.policy_edit import Writer, edit_of
from gateway.changes.policy_export import policy_text
from gateway.changes.policy_file import read
from gateway.changes.rollout import wanted_of
from gateway.changes.scheduling import Schedule
from gateway.changes.short_form import Held, ShortForm
from gateway.domain.bans import Flag
from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from tests.changes.cut_by_workers import refuse
from tests.changes.office import ANN, BOB, REPORTED, Office, fleet, office, phone

HOUR = 3600.0
STAGES = 'stages = [{report_only_for = "24h"}, {percent = 50, for = "4h"}, {everybody = true}]'
ENFORCED = f'[[bans.ban]]\nname = "TikTok"\nflag = "enforce"\n[rollout]\n{STAGES}\n'


async def plan(made: Office, text: str) -> Held | None:
    numbers = count(1)
    file = read(text)
    writer = Writer("ann", made.now, seed=lambda: next(numbers), new_id=lambda: f"x{next(numbers)}")
    form = ShortForm(made.store, made.desk, made.applier, lambda: made.now)
    return await form.plan(ANN, edit_of(file, writer), wanted_of(file, made.now))


async def planned(made: Office, text: str) -> Held:
    held = await plan(made, text)
    assert held is not None
    return held


# --- what it is made from


async def test_an_export_changes_nothing_and_makes_no_change() -> None:
    made = await office()
    async with made.store.read() as reading:
        before = await reading.policy_changes()
    assert await plan(made, policy_text(await made.policy(), made.now)) is None
    async with made.store.read() as reading:
        assert await reading.policy_changes() == before


async def test_a_file_goes_before_what_is_in_force_unless_it_says_on_what_it_is_based() -> None:
    made = await office(dirty=1)
    based = (await made.policy()).number
    await made.turn(lambda version: edits.set_flag(version, "TikTok", Flag.OFF), BOB)
    with pytest.raises(InvalidValue) as refused:
        await plan(made, f"based_on = {based}\n{ENFORCED}")
    assert str(refused.value) == (
        f"somebody changed the same thing since policy version {based} (now {based + 1}): flag:tiktok. "
        "Nothing was made: export it anew (gatepost policy export), or leave based_on out to overrule that"
    )
    assert (await planned(made, ENFORCED)).change.base_version == based + 1


async def test_what_others_changed_elsewhere_stays() -> None:
    made = await office(dirty=1)
    text = policy_text(await made.policy(), made.now).replace('flag = "report-only"', 'flag = "enforce"')
    await made.turn(lambda version: edits.add_ban(version, replace(REPORTED, name="Other")), BOB)
    held = await planned(made, text)
    # The section is complete, and still the ban that came later is not removed by it.
    assert [touch.part for touch in held.change.touches] == ["flag:tiktok"]
    assert isinstance(await made.applier.apply(held.change.number, ANN.name), Applied)
    assert [(ban.name, ban.flag) for ban in (await made.policy()).bans] == [
        ("TikTok", Flag.ENFORCE),
        ("Other", Flag.REPORT_ONLY),
    ]


async def test_what_somebody_did_already_is_not_done_again() -> None:
    made = await office(dirty=1)
    based = (await made.policy()).number
    await made.turn(lambda version: edits.set_flag(version, "TikTok", Flag.ENFORCE), BOB)
    assert await plan(made, f"based_on = {based}\n{ENFORCED}") is None


@pytest.mark.parametrize("based", [99, 3])
async def test_a_version_that_is_not_there(based: int) -> None:
    made = Office()
    await made.begin()
    with pytest.raises(InvalidValue, match=f"based_on names policy version {based}, the newest here is 1"):
        await plan(made, f"based_on = {based}\n[flags]\nglobal = 'off'")


# --- by itself


async def test_a_staged_change_goes_through_by_itself() -> None:
    made = await office(dirty=40, clean=4_000)
    held = await planned(made, ENFORCED)
    assert held.refused is None
    number = held.change.number
    assert isinstance(await made.applier.apply(number, ANN.name), Applied)
    schedule = Schedule(made.store, made.applier, lambda: made.now)
    seen = []
    for hours in (23, 1, 3, 1):
        made.now += hours * HOUR
        await schedule.look()
        change = await made.change(number)
        seen.append((change.state, len(change.done), len(made.previews.refused(await made.policy()))))
    half = seen[1][2]
    assert 8 < half < 32
    assert seen == [
        (State.APPLYING, 1, 0),
        (State.APPLYING, 2, half),
        (State.APPLYING, 2, half),
        (State.APPLIED, 3, 40),
    ]
    assert [each.by for each in (await made.change(number)).done] == ["ann", "gatepost", "gatepost"]


async def test_the_stop_rule_halts_it_in_the_middle_of_a_stage() -> None:
    made = await office(dirty=40, clean=4_000)
    held = await planned(made, f"{ENFORCED}stop = {{ cut_per_hour = 5 }}\n")
    number = held.change.number
    await made.applier.apply(number, ANN.name)
    schedule = Schedule(made.store, made.applier, lambda: made.now)
    made.now += 24 * HOUR
    await schedule.look()
    assert (await made.change(number)).state is State.APPLYING
    half, policy = (await made.change(number)).done[-1].newly_cut, await made.policy()
    made.now += 2.0
    cut = made.previews.refused(policy)
    await refuse(made, [place for place, each in enumerate(made.records) if (each.person_id, *each.devices) in cut])
    await schedule.look()
    halted = await made.change(number)
    assert (halted.state, halted.history[-1].words) == (
        State.HALTED,
        f"{half} devices cut within an hour, the stop rule allows 5",
    )
    made.now += 30 * 24 * HOUR
    await schedule.look()
    assert await made.policy() == policy
    assert schedule.sentences()[0].startswith(f"change {number} halted: {half} devices cut within an hour")


async def test_the_first_stage_needs_the_yes_that_the_whole_change_needs() -> None:
    """Its other stages come by themselves: nobody would be there to give it."""
    made = await office(dirty=100)
    number = (await planned(made, ENFORCED)).change.number
    refused = await made.applier.apply(number, ANN.name)
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence.startswith("100 devices newly cut")
    await made.approve(number)
    schedule = Schedule(made.store, made.applier, lambda: made.now)
    assert isinstance(await made.applier.apply(number, ANN.name), Applied)
    for hours in (24, 4):
        made.now += hours * HOUR
        await schedule.look()
    assert (await made.change(number)).state is State.APPLIED
    assert len(made.previews.refused(await made.policy())) == 100


async def test_a_stage_that_would_cut_more_than_was_approved_gets_another_yes() -> None:
    made = await office(dirty=40, clean=4_000)
    number = (await planned(made, ENFORCED)).change.number
    assert isinstance(await made.applier.apply(number, ANN.name), Applied)
    made.records += [phone(50_000 + each, banned=True) for each in range(200)]
    made.now += 24 * HOUR
    schedule = Schedule(made.store, made.applier, lambda: made.now)
    await schedule.look()
    assert len((await made.change(number)).done) == 1
    await made.desk.preview(number, ANN.name)
    await made.approve(number)
    for hours, stages in ((1, 2), (4, 3)):
        made.now += hours * HOUR
        await schedule.look()
        assert len((await made.change(number)).done) == stages
    assert (await made.change(number)).state is State.APPLIED


async def test_a_change_at_its_moment_begins_by_itself() -> None:
    made = Office(fleet(3))
    await made.begin(REPORTED)
    made.now = 1_795_000_000.0
    number = (await planned(made, f"{ENFORCED}at = '2026-12-01T06:00+01:00'\n")).change.number
    waits = await made.applier.apply(number, ANN.name)
    assert isinstance(waits, NotApplied)
    assert (waits.change.state, waits.comes_at) == (State.SCHEDULED, 1_796_101_200.0)
    schedule = Schedule(made.store, made.applier, lambda: made.now)
    for moment, stages in ((1_796_101_199.0, 0), (1_796_101_200.0, 1), (1_796_101_200.0 + 24 * HOUR, 2)):
        made.now = moment
        await schedule.look()
        assert len((await made.change(number)).done) == stages
