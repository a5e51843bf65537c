"""Notices of a cut that somebody orders: those are told whom what is in force cuts, and nobody else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.app.noticing import Noticing
from gateway.changes import edits
from gateway.changes.apply import ensure_first_policy
from gateway.changes.applying import Applied, Applier, Rules
from gateway.changes.desk import Actor, ChangeDesk, Wanted
from gateway.domain.bans import Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, NoticeKind, NoticeState
from gateway.domain.policy import PolicyVersion
from gateway.domain.stages import EVERYBODY, Stage
from gateway.ports.store import MailDevice, Person, Writing
from gateway.settings import load_settings
from tests.changes.by_hand import ByHand
from tests.changes.office import REPORTED, phone
from tests.notices.test_change_to_mailbox import noticing_of, settings_of
from tests.support.control import Control
from tests.support.evidence_strategies import NOW

ANN = Actor("ann", "t1")
CUT = NoticeKind.CUT
PEOPLE = 30
STAGES = (Stage(report_only=True), Stage(percent=50.0), EVERYBODY)


@dataclass
class Site:
    """People with the app, a change by stages that tells nobody by itself, and a desk where notices are ordered."""

    control: Control
    applier: Applier
    noticing: Noticing

    async def proposed(self, edit: Callable[[PolicyVersion], PolicyVersion], *stages: Stage) -> int:
        desk = ChangeDesk(self.control.store, self.control, lambda: NOW)
        change = await desk.propose(ANN, edit, Wanted(stages=stages or (EVERYBODY,)))
        assert change is not None
        await desk.preview(change.number, ANN.name)
        return change.number

    async def apply(self, number: int) -> None:
        """One stage more."""
        assert isinstance(await self.applier.apply(number, ANN.name), Applied)

    async def order(self, number: int, kind: NoticeKind = CUT) -> Mailing:
        assert self.noticing.desk is not None
        return await self.noticing.desk.plan(number, kind, ANN.name)

    async def told(self, number: int) -> set[str]:
        """Who has a notice when everybody is written down."""
        recipients = self.noticing._recipients
        assert recipients is not None
        while await recipients.look():
            pass
        async with self.control.store.read() as reading:
            return {each.reader.person_id for each in await reading.notices(number, list(NoticeState))}

    async def refused(self) -> set[str]:
        """Whom the policy in force refuses, by the decision itself."""
        async with self.control.store.read() as reading:
            version = await reading.policy()
        assert version is not None
        return {login for login, _ in ByHand(list(self.control.records.values()), NOW).refused(version)}


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    control = Control(now=NOW)
    noticing = noticing_of(load_settings(None, settings_of(tmp_path, 9)), control)
    applier = Applier(
        control.store,
        control,
        control.publish,
        control.workers,
        lambda: NOW,
        rules=lambda: Rules(second_person=False),
        withdrawn=noticing.withdrawn,
        telling=noticing.telling,
    )
    await ensure_first_policy(control.store, control.publish, NOW)

    async def work(writing: Writing) -> None:
        for number in range(PEOPLE):
            record = phone(number, banned=True)
            control.records[record.person_id] = record
            (device,) = record.devices
            await writing.put_person(Person(record.person_id))
            await writing.put_mail_device(MailDevice(record.person_id, device, NOW, NOW))

    await control.store.write(work)
    made = Site(control, applier, noticing)
    await made.apply(await made.proposed(lambda version: edits.add_ban(version, REPORTED)))
    return made


def flag(to: Flag) -> Callable[[PolicyVersion], PolicyVersion]:
    return lambda version: edits.set_flag(version, REPORTED.name, to)


async def test_in_the_middle_of_its_stages_those_are_told_whom_it_cuts_by_then(site: Site) -> None:
    number = await site.proposed(flag(Flag.ENFORCE), *STAGES)
    await site.apply(number)
    with pytest.raises(InvalidValue, match=f"change {number} cuts nobody yet: what is in force of it only reports"):
        await site.order(number)
    await site.apply(number)
    with pytest.raises(InvalidValue, match="a admitted notice is not for that"):
        await site.order(number, NoticeKind.ADMITTED)
    await site.order(number)
    assert await site.told(number) == await site.refused()
    assert 0 < len(await site.refused()) < PEOPLE
    with pytest.raises(InvalidValue, match=f"the cut notices of change {number} are sending already"):
        await site.order(number)
    # Whom the next stage cuts is told by hand as well.
    await site.apply(number)
    await site.order(number)
    assert await site.told(number) == await site.refused() == set(site.control.records)


async def test_ordered_when_all_stages_are_in_force_everybody_is_told(site: Site) -> None:
    number = await site.proposed(flag(Flag.ENFORCE), *STAGES)
    for _ in STAGES:
        await site.apply(number)
    assert len((await site.order(number)).plan.waves) == 2
    assert await site.told(number) == set(site.control.records)


async def test_whom_nothing_cuts_any_more_is_not_told(site: Site) -> None:
    """Somebody has turned the flag back meanwhile, by another change."""
    number = await site.proposed(flag(Flag.ENFORCE))
    await site.apply(number)
    await site.apply(await site.proposed(flag(Flag.REPORT_ONLY)))
    await site.order(number)
    assert (await site.told(number), await site.refused()) == (set(), set())
