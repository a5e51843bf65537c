"""Whom a change cuts after it came, since a new report shows its app, is told once, as those were before."""

from collections.abc import Sequence

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied
from gateway.changes.told_later import ToldLater
from gateway.domain.audit import Subject
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.notice import Mailing, MailingState, NoticeKind, Tell, mailing_moved
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Person, Reading, Writing
from tests.changes.office import ANN, REPORTED, Office, phone
from tests.changes.test_telling import SITE, apply, mailings, office_of
from tests.notices.stage import composer

CUT = NoticeKind.CUT
EVE = "p77@corp.example"


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, REPORTED.name, Flag.ENFORCE)


def refused(login: str = EVE, version: int = 3, reason: str = "banned_app", ban: str = "TikTok") -> Subject:
    return Subject(login, "d1", {"event": "refused", "reason": reason, "ban": ban, "policy_version": version})


async def load(reading: Reading, login: str) -> PersonRecord:
    return phone(77, banned=True)


def later(office: Office) -> ToldLater:
    return ToldLater(office.store, composer(), load, office.applier._telling, SITE, lambda: office.now)


async def office_with(people: Sequence[str] = (EVE,), tell: Tell = Tell.WITH_THE_CUT, dirty: int = 3) -> Office:
    """TikTok is enforced by change 2, policy version 3."""
    office = await office_of(dirty)

    async def work(writing: Writing) -> None:
        for login in people:
            await writing.put_person(Person(login))

    await office.store.write(work)
    number = await office.proposed(enforce)
    done = await apply(office, number, tell)
    assert isinstance(done, Applied)
    assert (number, done.version.number) == (2, 3)
    return office


async def told(office: Office) -> dict[str, int]:
    async with office.store.read() as reading:
        return {state.value: number for state, number in (await reading.notice_counts(2, CUT)).items()}


async def finished(office: Office) -> Mailing:
    """The first wave has left."""
    async with office.store.read() as reading:
        present = await reading.mailing(2, CUT)
    assert present is not None
    for state in (MailingState.SENDING, MailingState.FINISHED):
        present = mailing_moved(present, state)
        await office.store.write(lambda writing, each=present: writing.put_mailing(each))  # type: ignore[misc]
    return present


async def test_who_is_cut_later_is_told_once_and_it_leaves_soon() -> None:
    office = await office_with()
    await finished(office)
    office.now += 30 * 86_400
    telling = later(office)
    assert await telling.take([refused(), refused()]) == 1
    assert await telling.take([refused()]) == await later(office).take([refused()]) == 0
    mailing = (await mailings(office, 2))[CUT]
    assert (mailing.state, mailing.not_after) == (MailingState.SENDING, office.now + SITE.expires_seconds)
    async with office.store.read() as reading:
        notice = await reading.notice(2, CUT, EVE)
    assert notice is not None
    assert [each.app for each in notice.findings] == ["TikTok"]


async def test_the_word_of_a_cut_alone_tells_nobody_of_an_app_that_is_not_there() -> None:
    """Whoever may write into Redis says such words; and the app may have gone meanwhile."""
    office = await office_with()
    await finished(office)
    banned = False

    async def present(reading: Reading, login: str) -> PersonRecord:
        return phone(77, banned=banned)

    telling = ToldLater(office.store, composer(), present, office.applier._telling, SITE, lambda: office.now)
    assert (await telling.take([refused()]), await told(office)) == (0, {})
    banned = True
    assert await telling.take([refused()]) == 1


async def test_where_the_change_cut_nobody_when_it_came_the_mailing_begins_held() -> None:
    office = await office_with(dirty=0)
    assert await mailings(office, 2) == {}
    assert await later(office).take([refused()]) == 1
    mailing = (await mailings(office, 2))[CUT]
    assert (mailing.state, mailing.starts_at) == (MailingState.SENDING, office.now + SITE.hold_seconds)
    assert mailing.apps == ("TikTok",)


@pytest.mark.parametrize(
    "effect",
    [
        refused(reason="evidence_missing", ban=""),
        refused(ban="Another"),
        refused(version=2),
        refused(login="nobody@corp.example"),
    ],
    ids=["not for an app", "by another ban", "before the change", "a login of nobody"],
)
async def test_of_other_refusals_nobody_is_told(effect: Subject) -> None:
    office = await office_with()
    assert await later(office).take([effect]) == 0
    assert await told(office) == {}


async def test_nobody_is_told_of_a_change_that_tells_nobody_or_is_over() -> None:
    office = await office_with(tell=Tell.NEVER)
    assert await later(office).take([refused()]) == 0
    office = await office_with()
    await office.applier.withdraw(2, ANN.name)
    assert await later(office).take([refused()]) == 0
    assert await told(office) == {}


async def test_who_was_told_is_not_told_again_since_somebody_edits_the_ban() -> None:
    office = await office_with()
    await finished(office)
    assert await later(office).take([refused()]) == 1
    number = await office.proposed(lambda version: edits.set_flag(version, REPORTED.name, Flag.ENFORCE, group="board"))
    done = await apply(office, number, Tell.WITH_THE_CUT)
    assert isinstance(done, Applied)
    assert await later(office).take([refused(version=done.version.number)]) == 0
    assert await later(office).take([refused("p78@corp.example", done.version.number)]) == 0
    await office.store.write(lambda writing: writing.put_person(Person("p78@corp.example")))
    assert await later(office).take([refused("p78@corp.example", done.version.number)]) == 1
    async with office.store.read() as reading:
        assert await reading.notice(number, CUT, "p78@corp.example") is not None
