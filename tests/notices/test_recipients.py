"""Recipients are written down page by page; whatever interrupts that, nobody is left out and nobody is there twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Finding, Mailing, MailingState, NoticeKind
from gateway.notices.planning import begin
from gateway.notices.recipients import NotNow, Recipients, Wave
from gateway.notices.releasing import resume, stop
from gateway.notices.taking_back import TakingBack
from gateway.ports.store import Person, Reading, Store, Writing
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.notices.stage import NOON, Clock, Crowd, composer, fill, findings_of, ids, ordered, people, wanted

CUT = NoticeKind.CUT


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def recipients(store: Store, crowd: object, page: int = 3, clock: Clock | None = None) -> Recipients:
    return Recipients(store, composer(), crowd, clock or Clock(), page=page)  # type: ignore[arg-type]


async def mailing_of(store: Store, kind: NoticeKind = CUT) -> Mailing:
    async with store.read() as reading:
        found = await reading.mailing(1, kind)
    assert found is not None
    return found


async def written(store: Store, kind: NoticeKind = CUT) -> int:
    async with store.read() as reading:
        return sum((await reading.notice_counts(1, kind)).values())


@dataclass
class Held:
    """A lease that is lost after so many looks at it."""

    looks: int

    def __bool__(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


async def test_the_hold_begins_when_everybody_is_written_down(store: Store) -> None:
    crowd, clock = people(7), Clock()
    await fill(store, crowd)
    await ordered(store, wanted(hold=600.0))
    assert (await mailing_of(store)).state is MailingState.PLANNING
    clock.at += 45
    await recipients(store, Crowd(ids(crowd)), clock=clock).look()
    mailing = await mailing_of(store)
    assert (mailing.state, mailing.starts_at) == (MailingState.SENDING, NOON + 645)
    assert await written(store) == 7


async def test_it_shows_how_far_it_is(store: Store) -> None:
    crowd = people(7)
    await fill(store, [*crowd, Person("no-address")])
    await ordered(store, wanted())
    await recipients(store, Crowd([*ids(crowd), "no-address"])).look(Held(2))
    plan = (await mailing_of(store)).plan
    assert (plan.looked_at, plan.people, plan.without_address) == (6, 8, 1)


async def test_another_process_goes_on_where_one_was_killed(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gatepost.db'}"
    crowd = people(10)
    store = await open_store(database, writable=True)
    await fill(store, [*crowd, Person("no-address")])
    await ordered(store, wanted())
    asked = [*ids(crowd), "no-address"]
    await recipients(store, Crowd(asked)).look(Held(2))
    assert await written(store) == 5
    await store.close()

    store = await open_store(database, writable=True)
    # Somebody has reported a clean device meanwhile, somebody else a dirty one.
    present = sorted({*asked, "user0000a@corp.example"} - {ids(crowd)[9]})
    await recipients(store, Crowd(present)).look()
    plan = (await mailing_of(store)).plan
    assert (await written(store), plan.without_address, plan.not_found) == (9, 1, 0)
    await store.close()


async def test_a_withdrawal_stops_it_and_nothing_more_is_written_down(store: Store) -> None:
    crowd = people(9)
    await fill(store, crowd)
    await ordered(store, wanted())

    class Withdrawing(Crowd):
        async def wave(self, change: int, wave: int) -> Wave:
            found = await super().wave(change, wave)

            async def withdrawing(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
                if ids(crowd)[4] in people:
                    await withdraw(store)
                return await findings_of(reading, people)

            return replace(found, findings_of=withdrawing)

    await recipients(store, Withdrawing(ids(crowd))).look()
    assert (await mailing_of(store)).state is MailingState.CANCELLED
    assert await written(store) == 3
    await recipients(store, Crowd(ids(crowd))).look()
    assert await written(store) == 3


async def test_nobody_is_told_of_an_app_that_is_not_there_nor_that_one_has_gone(store: Store) -> None:
    """A change may cut for something else as well: a list that is missing, say."""
    crowd = people(4)

    class OneIsClean(Crowd):
        async def wave(self, change: int, wave: int) -> Wave:
            async def of_the_others(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
                found = await findings_of(reading, people)
                return {name: each for name, each in found.items() if name != ids(crowd)[1]}

            return replace(await super().wave(change, wave), findings_of=of_the_others)

    await fill(store, crowd)
    for kind, told in ((CUT, 3), (NoticeKind.ADMITTED, 1)):
        await ordered(store, wanted(kind))
        await recipients(store, OneIsClean(ids(crowd))).look()
        assert (await written(store, kind), (await mailing_of(store, kind)).plan.not_so) == (told, 4 - told)


async def withdraw(store: Store) -> None:
    async def work(writing: Writing) -> None:
        present = await writing.policy_change(1)
        assert present is not None
        change = replace(present, state=State.WITHDRAWN)
        await writing.put_policy_change(change, NOON)
        await TakingBack(Clock()).withdrawn(writing, change, "sent in error")

    await store.write(work)


async def test_stopped_while_planning_stays_stopped_and_a_resumed_one_is_planned_to_the_end(store: Store) -> None:
    crowd = people(9)
    await fill(store, crowd)
    await ordered(store, wanted())
    work = recipients(store, Crowd(ids(crowd)))
    await work.look(Held(1))
    await stop(store, await mailing_of(store), "wait", "bob")
    await work.look(Held(1))
    assert (await mailing_of(store)).state is MailingState.STOPPED
    assert (await resume(store, 1, CUT, "bob", NOON)).state is MailingState.PLANNING
    await work.look()
    assert (await mailing_of(store)).state is MailingState.SENDING
    assert await written(store) == 9


async def test_a_stopped_one_that_is_planned_to_its_end_stays_stopped(store: Store) -> None:
    crowd = people(4)
    await fill(store, crowd)
    await stop(store, await ordered(store, wanted()), "wait", "bob")
    await recipients(store, Crowd(ids(crowd))).look()
    assert ((await mailing_of(store)).state, await written(store)) == (MailingState.STOPPED, 4)
    assert (await resume(store, 1, CUT, "bob", NOON)).state is MailingState.SENDING


async def test_by_another_preview_it_begins_anew(store: Store) -> None:
    crowd = people(9)
    await fill(store, crowd)
    await ordered(store, wanted())
    await recipients(store, Crowd(ids(crowd)[3:], "first")).look(Held(1))
    assert await written(store) == 3
    await recipients(store, Crowd(ids(crowd), "second")).look()
    assert await written(store) == 9


async def test_the_next_stage_of_a_change_is_another_wave_of_the_same_mailing(store: Store) -> None:
    crowd = people(8)
    await fill(store, crowd, State.APPLYING)
    await ordered(store, replace(wanted(hold=60.0), waves=(2,)))
    await recipients(store, Crowd(ids(crowd)[:4])).look()
    clock = Clock(NOON + 3_600)
    again = await ordered(store, replace(wanted(hold=60.0), waves=(3,)), clock())
    assert (again.state, again.plan.waves, again.batch) == (MailingState.PLANNING, (3,), 0)
    await recipients(store, Crowd(ids(crowd)[2:]), clock=clock).look()
    mailing = await mailing_of(store)
    assert (mailing.starts_at, await written(store)) == (NOON + 3_660, 8)


async def test_a_second_wave_that_comes_while_the_first_is_written_down_waits_for_it(store: Store) -> None:
    crowd = people(8)
    await fill(store, crowd, State.APPLYING)
    await ordered(store, replace(wanted(), waves=(2,)))
    work = recipients(store, Crowd(ids(crowd)))
    await work.look(Held(1))
    begun = await ordered(store, replace(wanted(), waves=(3,)))
    assert (begun.plan.waves, begun.plan.looked_at) == ((2, 3), 3)
    await work.look()
    assert (await mailing_of(store)).plan.waves == (3,)
    await work.look()
    assert ((await mailing_of(store)).state, await written(store)) == (MailingState.SENDING, 8)


async def test_whom_nobody_can_know_now_is_asked_again_and_what_never_can_be_known_stops_it(store: Store) -> None:
    await fill(store, people(1))
    await ordered(store, wanted())

    class Unknown(Crowd):
        error: Exception = NotNow("the index is being built")

        async def wave(self, change: int, wave: int) -> Wave:
            raise self.error

    unknown = Unknown([])
    with pytest.raises(NotNow):
        await recipients(store, unknown).look()
    assert (await mailing_of(store)).state is MailingState.PLANNING
    unknown.error = InvalidValue("it has no preview")
    await recipients(store, unknown).look()
    mailing = await mailing_of(store)
    assert (mailing.state, "it has no preview" in mailing.words) == (MailingState.STOPPED, True)


async def test_a_change_that_cuts_nobody_any_more_is_finished_with_nobody(store: Store) -> None:
    await fill(store, [])
    await ordered(store, wanted())
    await recipients(store, Crowd([])).look()
    assert ((await mailing_of(store)).state, await written(store)) == (MailingState.SENDING, 0)


async def test_a_taken_back_mailing_gets_no_further_wave(store: Store) -> None:
    await fill(store, people(1), State.APPLYING)
    await ordered(store, replace(wanted(), waves=(2,)))
    await store.write(lambda writing: writing.cancel_mailings(1, [CUT], "withdrawn"))

    async def work(writing: Writing) -> None:
        change = await writing.policy_change(1)
        assert change is not None
        await begin(writing, change, replace(wanted(), waves=(3,)), NOON)

    with pytest.raises(InvalidValue, match="are cancelled already"):
        await store.write(work)


async def test_a_notice_of_the_cut_answers_the_warning_that_was_sent(store: Store) -> None:
    crowd = people(2)
    await fill(store, crowd)
    await ordered(store, replace(wanted(NoticeKind.WARNING), deadline=NOON + 60))
    await recipients(store, Crowd(ids(crowd))).look()

    async def one_was_sent(writing: Writing) -> None:
        first = await writing.notice(1, NoticeKind.WARNING, ids(crowd)[0])
        assert first is not None
        for state in ("due", "claimed", "transmitting", "sent"):
            first = replace(first, state=type(first.state)(state), version=first.version + 1)
            assert await writing.put_notice(first)

    await store.write(one_was_sent)
    await ordered(store, wanted())
    await recipients(store, Crowd(ids(crowd))).look()
    async with store.read() as reading:
        told, other = [await reading.notice(1, CUT, each) for each in ids(crowd)]
        warning = await reading.notice(1, NoticeKind.WARNING, ids(crowd)[0])
    assert told is not None
    assert other is not None
    assert warning is not None
    assert (told.answers, other.answers) == ((warning.message_id,), ())
    assert [each.app for each in told.findings] == ["TikTok"]
