"""Notices on their way to a mail server that takes, delays, refuses and loses them."""

from dataclasses import replace

import pytest

from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, NoticeState
from gateway.notices.releasing import resend, resume, stop
from gateway.notices.taking_back import TakingBack
from gateway.ports.notices import Attempt, MayGo, OutgoingNotice
from gateway.ports.store import Person, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.notices.receiving import Manners, receiving_server
from tests.notices.stage import NOON, QUICK, Clock, fill, outbox, people, planned, smtp, until_idle

CUT = NoticeKind.CUT


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def counts(store: Store, kind: NoticeKind = CUT) -> dict[str, int]:
    async with store.read() as reading:
        return {str(state): number for state, number in (await reading.notice_counts(1, kind)).items()}


async def state_of(store: Store, kind: NoticeKind = CUT) -> MailingState:
    async with store.read() as reading:
        mailing = await reading.mailing(1, kind)
    assert mailing is not None
    return mailing.state


async def withdraw(store: Store, clock: Clock) -> None:
    async def work(writing: Writing) -> None:
        present = await writing.policy_change(1)
        assert present is not None
        change = replace(present, state=State.WITHDRAWN)
        await writing.put_policy_change(change, clock())
        await TakingBack(clock).withdrawn(writing, change, "sent in error")

    await store.write(work)


async def test_everybody_is_told_once_in_rising_batches(store: Store, clock: Clock) -> None:
    crowd = people(25)
    await fill(store, crowd)
    done = await planned(store, crowd)
    assert (done.people, done.without_address, done.not_found) == (25, 0, 0)
    async with receiving_server(Manners()) as server:
        box = outbox(
            store, smtp(server.port), clock, replace(QUICK, batches=replace(QUICK.batches, every_seconds=60.0))
        )
        await until_idle(box)
        assert len(server.mailboxes) == 3
        clock.at += 60
        await until_idle(box)
        assert len(server.mailboxes) == 15
        clock.at += 60
        await until_idle(box)
    assert {address: len(mails) for address, mails in server.mailboxes.items()} == {p.person_id: 1 for p in crowd}
    assert await counts(store) == {"sent": 25}
    assert await state_of(store) is MailingState.FINISHED


async def test_nothing_leaves_during_the_hold(store: Store, clock: Clock) -> None:
    crowd = people(2)
    await fill(store, crowd)
    await planned(store, crowd, hold=600.0)
    async with receiving_server(Manners()) as server:
        box = outbox(store, smtp(server.port), clock)
        clock.at += 599
        await until_idle(box)
        assert not server.mailboxes
        clock.at += 1
        await until_idle(box)
        assert len(server.mailboxes) == 2


async def test_planning_twice_tells_nobody_twice(store: Store, clock: Clock) -> None:
    crowd = people(3)
    await fill(store, crowd)
    await planned(store, crowd)
    with pytest.raises(InvalidValue, match="are sending already"):
        await planned(store, crowd)
    assert await counts(store) == {"planned": 3}


async def test_whom_nobody_can_write_to_is_counted(store: Store) -> None:
    crowd = [Person("no-address"), Person("x", address="x@corp.example")]
    await fill(store, crowd)
    done = await planned(store, [*crowd, Person("unknown")])
    assert (done.people, done.without_address, done.not_found) == (1, 1, 1)


async def test_a_deadline_beyond_a_readers_calendar_holds_up_nobody_else(store: Store, clock: Clock) -> None:
    """An earlier version took one of any year."""
    crowd = [Person("tokyo@corp.example", time_zone="Asia/Tokyo"), Person("lisbon@corp.example", time_zone="UTC")]
    await fill(store, crowd)
    mailing = (await planned(store, crowd)).mailing
    late = replace(mailing, deadline=253_402_300_799.0, urgent=True, version=mailing.version + 1)
    await store.write(lambda writing: writing.put_mailing(late))
    async with receiving_server(Manners()) as server:
        await until_idle(outbox(store, smtp(server.port), clock))
        assert list(server.mailboxes) == ["lisbon@corp.example"]
    assert await counts(store) == {"failed": 1, "sent": 1}


async def test_a_refused_recipient_fails_and_a_greylisted_one_is_tried_again(store: Store, clock: Clock) -> None:
    crowd = people(12)
    await fill(store, crowd)
    await planned(store, crowd)
    gone = crowd[4].person_id
    async with receiving_server(Manners(greylisted=1.0, refused=frozenset({gone}))) as server:
        box = outbox(store, smtp(server.port), clock)
        for _ in range(8):
            await until_idle(box)
            clock.at += 70
        assert sorted(server.mailboxes) == sorted(p.person_id for p in crowd if p.person_id != gone)
    assert await counts(store) == {"sent": 11, "failed": 1}


async def test_a_lost_answer_is_uncertain_and_never_sent_again_by_itself(store: Store, clock: Clock) -> None:
    crowd = people(3)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners(cut_behind_dot=1.0)) as server:
        box = outbox(store, smtp(server.port), clock)
        for _ in range(5):
            await until_idle(box)
            clock.at += 3_600
        assert [len(each) for each in server.mailboxes.values()] == [1, 1, 1]
    assert await counts(store) == {"uncertain": 3}


async def test_a_cut_inside_the_message_is_uncertain_too(store: Store, clock: Clock) -> None:
    crowd = people(1)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners(cut_in_data=1.0)) as server:
        await until_idle(outbox(store, smtp(server.port), clock))
        assert not server.mailboxes
    assert await counts(store) == {"uncertain": 1}


async def test_an_uncertain_one_is_sent_again_on_a_persons_word_with_the_same_octets(
    store: Store, clock: Clock
) -> None:
    crowd = people(1)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners(cut_behind_dot=1.0)) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        server.manners.cut_behind_dot = 0.0
        clock.at += 500
        await resend(store, 1, CUT, crowd[0].person_id, "bob", clock())
        await until_idle(box)
        first, second = server.mailboxes[crowd[0].person_id]
    assert first.as_bytes() == second.as_bytes()
    assert await counts(store) == {"sent": 1}
    with pytest.raises(InvalidValue, match="is sent: only bounced, expired, failed, uncertain"):
        await resend(store, 1, CUT, crowd[0].person_id, "bob", clock())


async def test_a_server_that_is_away_loses_nothing(store: Store, clock: Clock) -> None:
    crowd = people(2)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners()) as server:
        port = server.port
    box = outbox(store, smtp(port), clock)
    await until_idle(box)
    assert await counts(store) == {"deferred": 2}


async def test_a_refused_sender_pauses_everything(store: Store, clock: Clock) -> None:
    crowd = people(9)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners(sender_refused=True)) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        assert "the sender was refused: 550" in box.trouble
        server.manners.sender_refused = False
        for _ in range(4):
            clock.at += QUICK.pause_seconds
            await until_idle(box)
    assert await counts(store) == {"sent": 9}
    assert box.trouble == ""


async def test_many_refusals_stop_the_mailing_until_somebody_resumes_it(store: Store, clock: Clock) -> None:
    crowd = people(40)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners(refused=frozenset(p.person_id for p in crowd))) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        assert await state_of(store) is MailingState.STOPPED
        assert (await counts(store))["planned"] > 20
        server.manners.refused = frozenset()
        with pytest.raises(InvalidValue, match="no warning notices"):
            await resume(store, 1, NoticeKind.WARNING, "ann", clock())
        bad = 40 - (await counts(store))["planned"] - (await counts(store)).get("due", 0)
        await resume(store, 1, CUT, "ann", clock())
        await until_idle(box)
    # What somebody has seen and let go on does not stop it again.
    assert await state_of(store) is MailingState.FINISHED
    assert (await counts(store))["failed"] <= bad
    assert sum((await counts(store)).values()) == 40
    assert set(await counts(store)) == {"failed", "sent"}


async def test_nothing_leaves_once_the_change_is_withdrawn_and_who_was_told_gets_the_correction(
    store: Store, clock: Clock
) -> None:
    crowd = people(20)
    await fill(store, crowd)
    await planned(store, crowd)
    settings = replace(QUICK, batches=replace(QUICK.batches, every_seconds=60.0))
    async with receiving_server(Manners(cut_behind_dot=0.5)) as server:
        box = outbox(store, smtp(server.port), clock, settings)
        await until_idle(box)
        told = set(server.mailboxes)
        assert len(told) == 3
        server.manners.cut_behind_dot = 0.0
        await withdraw(store, clock)
        clock.at += 3_600
        await until_idle(box)
        assert set(server.mailboxes) == told
        for first, correction in server.mailboxes.values():
            assert correction["In-Reply-To"] == correction["References"] == first["Message-ID"]
            assert correction["Subject"] == f"Re: {first['Subject']}"
            assert correction["Content-Language"] == first["Content-Language"]
    assert (await counts(store))["cancelled"] == 17
    assert await counts(store, NoticeKind.CORRECTION) == {"sent": 3}
    assert await state_of(store, NoticeKind.CORRECTION) is MailingState.FINISHED


async def test_a_withdrawal_between_the_envelope_and_the_message_is_in_time(store: Store, clock: Clock) -> None:
    crowd = people(1)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners()) as server:
        delivery = smtp(server.port)
        deliver = delivery.deliver

        async def late(notice: OutgoingNotice, may_go: MayGo) -> Attempt:
            async def after_withdrawing() -> bool:
                await withdraw(store, clock)
                return await may_go()

            return await deliver(notice, after_withdrawing)

        delivery.deliver = late  # type: ignore[method-assign]
        await until_idle(outbox(store, delivery, clock))
        assert not server.mailboxes
    assert await counts(store) == {"cancelled": 1}


async def test_a_process_that_ended_while_sending_leaves_an_uncertain_notice(store: Store, clock: Clock) -> None:
    crowd = people(2)
    await fill(store, crowd)
    await planned(store, crowd)

    async def work(writing: Writing) -> None:
        for each, state in zip(await writing.planned_notices(1, CUT, 2), ("transmitting", "claimed"), strict=True):
            step = replace(each, state=NoticeState(state), version=1, next_at=NOON + 100)
            assert await writing.put_notice(step)

    await store.write(work)
    async with receiving_server(Manners()) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        assert not server.mailboxes
        clock.at += 100
        await until_idle(box)
        assert len(server.mailboxes) == 1
    assert await counts(store) == {"uncertain": 1, "sent": 1}


async def test_at_night_a_notice_waits_for_the_readers_morning(store: Store, clock: Clock) -> None:
    crowd = [Person("ann@corp.example", time_zone="Asia/Tokyo"), Person("bob@corp.example", time_zone="Europe/Berlin")]
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners()) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        assert set(server.mailboxes) == {"bob@corp.example"}
        assert await counts(store) == {"held": 1, "sent": 1}
        # 08:00 in Tokyo is 23:00 UTC.
        clock.at += 11 * 3_600
        await until_idle(box)
        assert set(server.mailboxes) == {"bob@corp.example", "ann@corp.example"}


async def test_what_could_not_leave_in_time_expires(store: Store, clock: Clock) -> None:
    crowd = people(1)
    await fill(store, crowd)
    await planned(store, crowd, hold=600.0)
    async with receiving_server(Manners()) as server:
        clock.at += 600 + 86_400
        await until_idle(outbox(store, smtp(server.port), clock))
        assert not server.mailboxes
    assert await counts(store) == {"expired": 1}


async def test_after_a_restore_nothing_leaves_before_somebody_looked(store: Store, clock: Clock) -> None:
    crowd = people(2)
    await fill(store, crowd)
    await planned(store, crowd)
    await store.write(lambda writing: writing.put_incarnation("another"))
    async with receiving_server(Manners()) as server:
        box = outbox(store, smtp(server.port), clock)
        await until_idle(box)
        assert await state_of(store) is MailingState.STOPPED
        await resume(store, 1, CUT, "ann", clock())
        await until_idle(box)
        assert len(server.mailboxes) == 2


async def test_stopped_by_a_person(store: Store, clock: Clock) -> None:
    crowd = people(5)
    await fill(store, crowd)
    done = await planned(store, crowd)
    await stop(store, done.mailing, "wait", "bob")
    async with receiving_server(Manners()) as server:
        await until_idle(outbox(store, smtp(server.port), clock))
        assert not server.mailboxes
    async with store.read() as reading:
        mailing = await reading.mailing(1, CUT)
    assert mailing is not None
    assert (mailing.state, mailing.words) == (MailingState.STOPPED, "wait")


async def test_a_notice_that_cannot_be_made_holds_up_nobody(store: Store, clock: Clock) -> None:
    crowd = people(3)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners()) as server:
        box = outbox(store, smtp(server.port), clock)
        compose = box._composer.compose

        def failing(mailing: Mailing, notice: Notice, now: float) -> OutgoingNotice:
            if notice.reader.person_id == crowd[1].person_id:
                raise ValueError("odd")
            return compose(mailing, notice, now)

        box._composer.compose = failing  # type: ignore[method-assign]
        await until_idle(box)
        assert len(server.mailboxes) == 2
    assert await counts(store) == {"failed": 1, "sent": 2}


async def test_while_the_server_is_away_no_further_batch_is_let_go(store: Store, clock: Clock) -> None:
    crowd = people(20)
    await fill(store, crowd)
    await planned(store, crowd)
    async with receiving_server(Manners()) as server:
        port = server.port
    box = outbox(store, smtp(port), clock)
    for _ in range(4):
        await until_idle(box)
        clock.at += 1_900
    assert await counts(store) == {"deferred": 3, "planned": 17}
    async with receiving_server(Manners(), port) as server:
        for _ in range(3):
            clock.at += 3_700
            await until_idle(box)
        assert len(server.mailboxes) == 20
    assert await counts(store) == {"sent": 20}
