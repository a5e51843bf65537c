"""Notices that go with a change: a warning that it waits for, word of the cut in the transaction of the cut, none."""

from dataclasses import replace

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, Applier, NotApplied, Rules
from gateway.changes.desk import ChangeDesk, Wanted
from gateway.changes.scheduling import Schedule
from gateway.changes.telling import Telling, TellSettings
from gateway.domain.bans import Flag
from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, MailingState, NoticeKind, Tell
from gateway.domain.policy import PolicyVersion, Setting
from gateway.domain.stages import EVERYBODY, Stage
from gateway.notices.releasing import stop
from gateway.notices.taking_back import TakingBack
from tests.changes.office import ANN, BOB, REPORTED, Office, fleet

SITE = TellSettings(Tell.WARNING_FIRST, sends=True, warned_seconds=3_600.0)
WARNING, CUT = NoticeKind.WARNING, NoticeKind.CUT


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, REPORTED.name, Flag.ENFORCE)


async def office_of(dirty: int = 3, site: TellSettings = SITE) -> Office:
    office = Office(fleet(dirty))

    def now() -> float:
        return office.now

    taking_back = TakingBack(now).withdrawn
    office.desk = ChangeDesk(
        office.store, office.previews, now, operators=office.operators, rejected=taking_back, approval_seconds=86_400.0
    )
    office.applier = Applier(
        office.store,
        office.previews,
        office.publish,
        office.workers,
        now,
        rules=lambda: office.rules,
        withdrawn=taking_back,
        telling=Telling(site, now),
    )
    await office.begin(replace(REPORTED, text="The security office asks for it."))
    return office


async def mailings(office: Office, number: int) -> dict[NoticeKind, Mailing]:
    async with office.store.read() as reading:
        return {each.kind: each for each in await reading.mailings(number)}


async def apply(office: Office, number: int, tell: Tell | None = None) -> Applied | NotApplied:
    return await office.applier.apply(number, ANN.name, tell)


async def look(office: Office) -> None:
    await Schedule(office.store, office.applier, lambda: office.now).look()


async def test_people_are_warned_first_and_the_change_comes_by_itself_at_the_deadline() -> None:
    office = await office_of()
    before = await office.policy()
    number = await office.proposed(enforce)
    waits = await apply(office, number)
    assert isinstance(waits, NotApplied)
    assert waits.sentence == (
        f"the people whom change {number} cuts are warned first: it comes by itself in 60 minutes; to cut at once: "
        f"gatepost apply {number} --tell with-the-cut"
    )
    change, told = await office.change(number), await mailings(office, number)
    assert (change.state, change.starts_at, await office.policy()) == (State.SCHEDULED, office.now + 3_600, before)
    assert list(told) == [WARNING]
    warning = told[WARNING]
    assert (warning.state, warning.deadline, warning.plan.waves) == (MailingState.PLANNING, office.now + 3_600, (0,))
    assert (warning.apps, warning.text) == (("TikTok",), "The security office asks for it.")
    office.now += 3_599
    await look(office)
    assert (await office.change(number)).state is State.SCHEDULED
    office.now += 1
    await look(office)
    assert (await office.change(number)).state is State.APPLIED
    cut = (await mailings(office, number))[CUT]
    assert (cut.state, cut.plan.waves) == (MailingState.PLANNING, ((await office.policy()).number,))


async def test_asked_again_it_still_waits_and_nobody_is_warned_twice() -> None:
    office = await office_of()
    number = await office.proposed(enforce)
    await apply(office, number)
    told, change = await mailings(office, number), await office.change(number)
    office.now += 60
    again = await apply(office, number)
    assert isinstance(again, NotApplied)
    assert "it comes then by itself" in again.sentence
    assert (await mailings(office, number), await office.change(number)) == (told, change)


@pytest.mark.parametrize("warned", [False, True], ids=["at once", "while people are warned"])
async def test_with_the_cut_it_comes_at_once_and_a_warning_leaves_no_more(warned: bool) -> None:
    office = await office_of()
    number = await office.proposed(enforce)
    if warned:
        await apply(office, number)
    done = await apply(office, number, Tell.WITH_THE_CUT)
    assert isinstance(done, Applied)
    told = await mailings(office, number)
    assert told[CUT].plan.waves == (done.version.number,)
    assert (await office.change(number)).tell is Tell.WITH_THE_CUT
    if warned:
        assert told[WARNING].state is MailingState.CANCELLED
        assert told[WARNING].words == "the cut came before its deadline"
    else:
        assert WARNING not in told


@pytest.mark.parametrize("asked", [Tell.WITH_THE_CUT, Tell.NEVER])
@pytest.mark.parametrize("ahead", [1_800.0, 7 * 86_400.0], ids=["within the warning", "long after it"])
async def test_who_does_not_wait_for_the_warning_waits_for_the_moment_of_the_change(ahead: float, asked: Tell) -> None:
    office = await office_of()
    moment = office.now + ahead
    change = await office.desk.propose(ANN, enforce, Wanted(starts_at=moment))
    assert change is not None
    await office.desk.preview(change.number, ANN.name)
    assert isinstance(await apply(office, change.number), NotApplied)
    assert WARNING in await mailings(office, change.number)
    before = await office.policy()
    waits = await apply(office, change.number, asked)
    assert isinstance(waits, NotApplied)
    assert (await office.policy(), waits.comes_at) == (before, max(moment, office.now + SITE.warned_seconds))
    office.now = moment
    assert isinstance(await apply(office, change.number, asked), Applied)


async def test_a_change_says_itself_how_its_people_are_told() -> None:
    office = await office_of(site=replace(SITE, tell=Tell.NEVER))
    change = await office.desk.propose(ANN, enforce, Wanted(tell=Tell.WARNING_FIRST))
    assert change is not None
    await office.desk.preview(change.number, ANN.name)
    await apply(office, change.number)
    assert list(await mailings(office, change.number)) == [WARNING]


@pytest.mark.parametrize(
    ("site", "asked"),
    [(replace(SITE, tell=Tell.NEVER), None), (SITE, Tell.NEVER), (TellSettings(Tell.WARNING_FIRST), None)],
    ids=["by the settings", "by the change", "where no notices are sent"],
)
async def test_never_means_that_the_change_comes_and_nobody_is_told(site: TellSettings, asked: Tell | None) -> None:
    office = await office_of(site=site)
    number = await office.proposed(enforce)
    assert isinstance(await apply(office, number, asked), Applied)
    assert await mailings(office, number) == {}


async def test_telling_is_refused_where_no_notices_are_sent() -> None:
    office = await office_of(site=TellSettings())
    number = await office.proposed(enforce)
    with pytest.raises(InvalidValue, match=r"set \[notices\] sender and server"):
        await apply(office, number, Tell.WITH_THE_CUT)
    assert (await office.change(number)).state is State.PREVIEWED


async def test_a_change_that_cuts_nobody_tells_nobody() -> None:
    office = await office_of(dirty=0)
    number = await office.proposed(enforce)
    assert isinstance(await apply(office, number), Applied)
    assert await mailings(office, number) == {}


async def test_a_change_that_is_about_no_app_tells_nobody() -> None:
    office = await office_of(dirty=0)
    office.previews.records.clear()
    office.previews.records += fleet(3)
    number = await office.proposed(lambda version: edits.set_unknown(version, "missing", Setting.DENY))
    assert isinstance(await apply(office, number), Applied)
    assert await mailings(office, number) == {}


async def test_stopped_warnings_keep_the_change_from_coming() -> None:
    office = await office_of()
    number = await office.proposed(enforce)
    await apply(office, number)
    await stop(office.store, (await mailings(office, number))[WARNING], "the text is wrong", "bob")
    office.now += 7_200
    await look(office)
    assert (await office.change(number)).state is State.SCHEDULED
    refused = await apply(office, number)
    assert isinstance(refused, NotApplied)
    assert refused.sentence == (
        f"the warnings of change {number} are stopped (the text is wrong): gatepost notice resume {number} warning, or "
        f"gatepost apply {number} --tell with-the-cut"
    )
    assert isinstance(await apply(office, number, Tell.WITH_THE_CUT), Applied)


async def test_an_approval_that_was_good_when_people_were_warned_is_good_at_the_deadline() -> None:
    office = await office_of(dirty=60, site=replace(SITE, warned_seconds=3 * 86_400.0))
    number = await office.proposed(enforce)
    refused = await apply(office, number)
    assert isinstance(refused, NotApplied)
    assert refused.hits
    assert await mailings(office, number) == {}
    await office.approve(number, BOB)
    await apply(office, number)
    office.now += 3 * 86_400
    await look(office)
    assert (await office.change(number)).state is State.APPLIED


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("tell", [Tell.WARNING_FIRST, Tell.WITH_THE_CUT])
async def test_a_process_that_is_killed_leaves_both_the_step_and_its_notices_or_neither(
    tell: Tell, after_commit: bool
) -> None:
    office = await office_of()
    number = await office.proposed(enforce)
    office.store.die_at, office.store.after_commit = 1, after_commit
    with pytest.raises(KeyboardInterrupt):
        await apply(office, number, tell)
    change = await office.change(number)
    assert bool(await mailings(office, number)) is after_commit
    assert (change.state is State.PREVIEWED) is not after_commit


@pytest.mark.parametrize("way", ["withdraw", "reject"])
async def test_whoever_was_warned_hears_of_it_when_the_change_is_ended(way: str) -> None:
    office = await office_of()
    number = await office.proposed(enforce)
    await apply(office, number)
    if way == "withdraw":
        await office.applier.withdraw(number, BOB.name, "sent in error")
    else:
        await office.desk.reject(number, BOB, "sent in error")
    told = await mailings(office, number)
    assert told[WARNING].state is MailingState.CANCELLED
    assert told[NoticeKind.CORRECTION].state is MailingState.SENDING
    assert (await office.change(number)).state is State.REJECTED


async def staged(office: Office, *stages: Stage) -> int:
    number = await office.proposed(enforce, ANN, *stages)
    assert isinstance(await apply(office, number), Applied)
    return number


async def test_the_stage_that_cuts_first_is_the_one_that_waits_though_it_comes_by_hand() -> None:
    office = await office_of()
    number = await staged(office, Stage(report_only=True), EVERYBODY)
    assert await mailings(office, number) == {}
    assert isinstance(await apply(office, number), NotApplied)
    change = await office.change(number)
    assert (change.state, len(change.done)) == (State.APPLYING, 1)
    office.now += 3_600
    await look(office)
    assert (await office.change(number)).state is State.APPLIED
    assert sorted(await mailings(office, number)) == [CUT, WARNING]


async def test_each_stage_tells_whom_it_cuts_and_everybody_is_warned_once() -> None:
    office = await office_of(dirty=40, site=replace(SITE, tell=Tell.WITH_THE_CUT))
    office.rules = Rules(second_person=False)
    number = await staged(office, Stage(percent=50.0), EVERYBODY)
    first = (await mailings(office, number))[CUT]
    await apply(office, number)
    second = (await mailings(office, number))[CUT]
    versions = [each.policy_version for each in (await office.change(number)).done]
    assert (first.plan.waves, second.plan.waves) == ((versions[0],), tuple(versions))
