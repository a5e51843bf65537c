"""What a stop rule counts as cut: devices that lost their mail by the change, once they did, each once."""

from dataclasses import replace

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, Rules
from gateway.changes.scheduling import Schedule
from gateway.domain.bans import Flag
from gateway.domain.brake import Brake, Hold, Trouble
from gateway.domain.change import State
from gateway.domain.policy import Setting
from gateway.domain.stages import EVERYBODY, Stage, StopRule
from gateway.ports.store import Writing
from tests.changes.cut_by_workers import refuse
from tests.changes.office import ANN, REPORTED, Office, enforce, phone
from tests.support.evidence_strategies import DAY

SALES = frozenset({"sales"})
LIMITED = Stage(group="sales", stop=StopRule(cut_per_hour=2))


async def staged(*earlier: object) -> tuple[Office, int]:
    """Ten phones with the app, all in the group whose stage is in force; ``earlier``: bans that are there already."""
    phones = [phone(number, banned=True, groups=SALES) for number in range(10)]
    office = Office(phones, Rules(second_person=False))
    await office.begin(*earlier, REPORTED)
    number = await office.proposed(enforce, ANN, LIMITED, EVERYBODY)
    assert isinstance(await office.applier.apply(number, ANN.name), Applied)
    return office, number


@pytest.fixture
async def begun() -> tuple[Office, int]:
    return await staged()


async def looked(office: Office, number: int) -> State:
    """Where the change stands when a control process that has just begun has looked."""
    await Schedule(office.store, office.applier, lambda: office.now).look()
    return (await office.change(number)).state


async def test_what_a_preview_found_is_no_device_that_was_cut(begun: tuple[Office, int]) -> None:
    office, number = begun
    assert (await office.change(number)).done[0].newly_cut == 10
    assert await looked(office, number) is State.APPLYING


async def test_each_device_counts_once_when_it_is_cut(begun: tuple[Office, int]) -> None:
    office, number = begun
    schedule = Schedule(office.store, office.applier, lambda: office.now)
    for people, state in (([0, 1], State.APPLYING), ([1, 0, 1], State.APPLYING), ([2], State.HALTED)):
        await refuse(office, people, "cut")
        await schedule.look()
        assert (await office.change(number)).state is state
    words = (await office.change(number)).history[-1].words
    assert words == "3 devices cut within an hour, the stop rule allows 2"


async def test_a_protocol_that_only_a_later_version_knows_counts_as_well(begun: tuple[Office, int]) -> None:
    office, number = begun
    await refuse(office, [0, 1, 2], by="carrier-pigeon")
    assert await looked(office, number) is State.HALTED


async def test_the_count_outlives_the_process_that_made_it(begun: tuple[Office, int]) -> None:
    office, number = begun
    await refuse(office, [0, 1, 2])
    assert await looked(office, number) is State.HALTED


async def test_after_an_hour_they_count_no_more(begun: tuple[Office, int]) -> None:
    office, number = begun
    await refuse(office, [0, 1])
    office.now += 3_601
    await refuse(office, [2, 3])
    assert await looked(office, number) is State.APPLYING


async def test_those_too_many_to_be_noted_count_with_the_others(begun: tuple[Office, int]) -> None:
    office, number = begun
    await refuse(office, [], not_noted=5)
    assert await looked(office, number) is State.APPLYING
    await refuse(office, [0])
    assert await looked(office, number) is State.HALTED


async def test_who_was_refused_before_is_not_cut_by_the_change() -> None:
    """By another ban of the same app: without the change they would have no mail either."""
    office, number = await staged(replace(REPORTED, name="Earlier", flag=Flag.ENFORCE))
    await refuse(office, range(10))
    assert await looked(office, number) is State.APPLYING


async def test_whom_the_fleet_brake_held_is_cut_by_the_change(begun: tuple[Office, int]) -> None:
    """Without the brake the age of their lists would have refused them before."""
    office, number = begun
    await office.turn(lambda version: edits.set_unknown(version, "stale", Setting.DENY))

    async def hold(writing: Writing) -> None:
        await writing.put_brake(Brake(office.now, (Hold("mdm", Trouble.STALE, office.now, 10),)))

    await office.store.write(hold)
    office.now += 2 * DAY
    await refuse(office, [0, 1, 2])
    assert await looked(office, number) is State.HALTED


async def test_what_nobody_counts_is_not_marked() -> None:
    office = Office([phone(0, banned=True, groups=SALES)])
    await office.begin(REPORTED)
    number = await office.proposed(enforce, ANN, Stage(group="sales"), EVERYBODY)
    assert isinstance(await office.applier.apply(number, ANN.name), Applied)
    await refuse(office, [0])
    async with office.store.read() as reading:
        assert not any(b"newly_by" in each.entry for each in await reading.audit_entries())
