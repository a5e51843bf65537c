"""A change of several stages that needs a second person and warns people first, with the hours as they come."""

from dataclasses import replace

import pytest

from gateway.changes.applying import Applied, NotApplied
from gateway.changes.desk import APPROVAL_SECONDS, ChangeDesk
from gateway.changes.scheduling import AGAIN_AFTER_SECONDS, Schedule
from gateway.changes.telling import TellSettings
from gateway.domain.change import State
from gateway.domain.notice import Tell
from gateway.domain.stages import EVERYBODY, Stage
from gateway.settings import Settings
from tests.changes.office import ANN, BOB, Office, phone
from tests.changes.test_telling import apply, enforce, office_of

HOUR = 3_600.0
WEEK = 7 * 24 * HOUR
WARNED = TellSettings().warned_seconds


async def warned(*stages: Stage) -> tuple[Office, int]:
    """Approved, applied, and waiting for the deadline of its warning."""
    office = await office_of(dirty=120, site=TellSettings(Tell.WARNING_FIRST, sends=True))
    office.desk = ChangeDesk(office.store, office.previews, lambda: office.now)
    number = await office.proposed(enforce, ANN, *stages)
    await office.approve(number, BOB)
    waits = await apply(office, number)
    assert isinstance(waits, NotApplied)
    assert (await office.change(number)).state is State.SCHEDULED
    return office, number


def test_these_are_the_hours_as_they_come() -> None:
    settings = Settings()
    assert (settings.changes.approval_hours * HOUR, settings.notices.warned_hours * HOUR) == (APPROVAL_SECONDS, WARNED)
    assert APPROVAL_SECONDS < WARNED


@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_stage_behind_the_warned_one_comes_by_the_same_approval(by_itself: bool) -> None:
    office, number = await warned(
        Stage(percent=50.0), replace(EVERYBODY, after_seconds=4 * HOUR if by_itself else 0.0, by_itself=by_itself)
    )
    schedule = Schedule(office.store, office.applier, lambda: office.now)
    office.now += WARNED
    await schedule.look()
    change = await office.change(number)
    assert (change.state, len(change.done)) == (State.APPLYING, 1)
    if by_itself:
        office.now += 4 * HOUR
        await schedule.look()
    else:
        office.now += WEEK
        assert isinstance(await apply(office, number), Applied)
    assert (await office.change(number)).state is State.APPLIED


async def test_a_preview_while_people_are_warned_that_makes_the_approval_void_ends_it_for_all_stages() -> None:
    office, number = await warned(Stage(percent=50.0), EVERYBODY)
    office.previews.records += [phone(20_000 + each, banned=True) for each in range(60)]
    await office.desk.preview(number, ANN.name)
    office.now += WARNED
    await Schedule(office.store, office.applier, lambda: office.now).look()
    change = await office.change(number)
    assert (change.done, change.approvals) == ((), ())


async def test_a_stage_that_cannot_come_is_a_warning_of_status_until_it_has_come() -> None:
    office, number = await warned(Stage(percent=50.0), replace(EVERYBODY, after_seconds=4 * HOUR, by_itself=True))
    schedule = Schedule(office.store, office.applier, lambda: office.now)
    office.now += WARNED
    await schedule.look()
    office.previews.records += [phone(20_000 + each, banned=True) for each in range(60)]
    office.now += 4 * HOUR
    await schedule.look()
    (sentence,) = schedule.sentences()
    assert sentence.startswith(f"change {number} is due and cannot come into force, which is tried again: ")
    assert sentence.endswith(f"preview it again (gatepost change preview {number}) and have that approved")
    await office.desk.preview(number, ANN.name)
    await office.approve(number, BOB)
    office.now += AGAIN_AFTER_SECONDS
    await schedule.look()
    assert (await office.change(number)).state is State.APPLIED
    assert schedule.sentences() == []
