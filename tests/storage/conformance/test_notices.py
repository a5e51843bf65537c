"""Every store keeps notices alike: one for each person, steps by whoever knows the version, taken back in one go."""

from dataclasses import replace

import pytest

from gateway.domain.notice import (
    WAITING,
    Finding,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    Plan,
    Reader,
    mailing_moved,
    moved,
)
from gateway.ports.store import Conflict, Person, Store, Writing

WARNING = NoticeKind.WARNING
MAILING = Mailing(
    7, WARNING, 100.0, "ann", MailingState.SENDING, 0, 700.0, 900.0, 5_000.0, True, 2, 1_000.0, ("TikTok",), "why", "x"
)


def notice(person: str, place: int = 0, kind: NoticeKind = WARNING) -> Notice:
    reader = Reader(person, f"{person}@mail.example", "de", "Europe/Berlin", "Zoë")
    findings = (Finding("TikTok", "Pixel 9", 55.5),)
    return Notice(7, kind, reader, f"<{person}.{kind}@x>", findings, ("<first@x>",), place)


async def fill(store: Store, *people: str, state: NoticeState = NoticeState.PLANNED) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mailing(MAILING)
        await writing.add_notices(
            [replace(notice(person, 100 - number), state=state) for number, person in enumerate(people)]
        )

    await store.write(work)


async def step(store: Store, present: Notice) -> bool:
    done, _ = await store.write(lambda writing: writing.put_notice(present))
    return done


async def test_what_is_put_reads_back_to_the_letter(store: Store) -> None:
    await fill(store, "ann")
    sent = replace(
        moved(notice("ann", 100), NoticeState.DUE, 12.5),
        attempts=3,
        first_attempt_at=9.25,
        answer="250 ok",
        content=b"\0x",
        told=True,
    )
    assert await step(store, sent)
    async with store.read() as reading:
        assert await reading.mailing(7, WARNING) == MAILING
        assert await reading.mailings() == await reading.mailings(7) == [MAILING]
        assert await reading.mailings(8) == []
        assert await reading.notice(7, WARNING, "ann") == sent
        assert await reading.notice(7, NoticeKind.CUT, "ann") is None


async def test_a_person_has_one_notice_of_a_kind_however_often_it_is_planned(store: Store) -> None:
    await fill(store, "ann", "bob")
    assert await step(store, moved(notice("ann", 100), NoticeState.DUE))
    await store.write(lambda writing: writing.add_notices([notice("ann"), notice("cid")]))
    async with store.read() as reading:
        assert await reading.notice_counts(7, WARNING) == {NoticeState.DUE: 1, NoticeState.PLANNED: 2}


async def test_of_two_who_take_the_same_step_one_does_not(store: Store) -> None:
    await fill(store, "ann")
    due = moved(notice("ann", 100), NoticeState.DUE, 1.0)
    assert await step(store, due)
    assert not await step(store, due)
    assert not await step(store, moved(notice("nobody"), NoticeState.DUE))
    with pytest.raises(Conflict, match="changed meanwhile"):
        await store.write(lambda writing: writing.put_mailing(MAILING))


async def test_of_many_steps_at_once_those_are_not_taken_with_which_another_was_faster(store: Store) -> None:
    planned = [notice(f"p{number:03}", number) for number in range(450)]
    await store.write(lambda writing: writing.add_notices(planned))
    due = [moved(each, NoticeState.DUE, 5.0) for each in planned]
    faster = moved(due[7], NoticeState.CLAIMED, 6.0)

    async def work(writing: Writing) -> None:
        await writing.put_notice(due[7])
        await writing.put_notice(faster)
        await writing.put_notices(due)

    await store.write(work)
    async with store.read() as reading:
        assert await reading.notice_counts(7, WARNING) == {NoticeState.DUE: 449, NoticeState.CLAIMED: 1}
        assert await reading.notice(7, WARNING, "p007") == faster
        assert await reading.notice(7, WARNING, "p449") == due[449]


async def test_batches_follow_the_places(store: Store) -> None:
    await fill(store, "ann", "bob", "cid")
    async with store.read() as reading:
        found = await reading.planned_notices(7, WARNING, 2)
    assert [each.reader.person_id for each in found] == ["cid", "bob"]


async def test_pages_of_what_was_told(store: Store) -> None:
    await fill(store, "ann", "bob", "cid", state=NoticeState.SENT)
    await store.write(
        lambda writing: writing.add_notices([replace(notice("ann", 1, NoticeKind.CUT), state=NoticeState.UNCERTAIN)])
    )
    told = (NoticeState.SENT, NoticeState.UNCERTAIN)
    async with store.read() as reading:
        first = await reading.notices(7, told, limit=2)
        rest = await reading.notices(7, told, (first[-1].reader.person_id, first[-1].kind))
        assert [(each.reader.person_id, each.kind) for each in (*first, *rest)] == [
            ("ann", "cut"),
            ("ann", "warning"),
            ("bob", "warning"),
            ("cid", "warning"),
        ]
        assert await reading.notices(7, (NoticeState.DUE,)) == []


async def test_whoever_may_have_read_one_is_found_whatever_its_state_is_now(store: Store) -> None:
    told = {state for state in NoticeState if notice_in(state).may_be_read}
    assert told == {NoticeState.SENT, NoticeState.UNCERTAIN, NoticeState.BOUNCED}
    unmarked = [notice_in(state) for state in NoticeState]
    marked = [replace(notice_in(state, "marked"), told=True) for state in (NoticeState.DUE, NoticeState.EXPIRED)]
    marked.append(replace(notice("marked sent", 1, NoticeKind.CUT), told=True, state=NoticeState.SENT))

    async def work(writing: Writing) -> None:
        await writing.put_mailing(MAILING)
        await writing.add_notices([*unmarked, *marked, replace(notice("elsewhere"), change=8, told=True)])

    await store.write(work)
    expected = ["bounced", "marked due", "marked expired", "marked sent", "sent", "transmitting", "uncertain"]
    async with store.read() as reading:
        first = await reading.told_notices(7, limit=3)
        rest = await reading.told_notices(7, (first[-1].reader.person_id, first[-1].kind))
        assert [each.reader.person_id for each in (*first, *rest)] == expected
        assert [each for each in (*first, *rest) if each.told] == sorted(marked, key=lambda each: each.reader.person_id)
    await store.write(lambda writing: writing.cancel_mailings(7, [WARNING], "withdrawn"))
    await store.write(lambda writing: writing.settle_cancelled(7, WARNING, 100))
    async with store.read() as reading:
        assert [each.reader.person_id for each in await reading.told_notices(7)] == expected
        cancelled = await reading.notice(7, WARNING, "marked due")
        assert cancelled is not None
        assert (cancelled.state, cancelled.told) == (NoticeState.CANCELLED, True)


def notice_in(state: NoticeState, name: str = "") -> Notice:
    return replace(notice(f"{name} {state}".strip()), state=state)


async def test_only_what_is_due_is_taken_up_and_only_while_its_mailing_goes_on(store: Store) -> None:
    await fill(store, "ann", "bob", "cid")
    assert await step(store, moved(notice("ann", 100), NoticeState.DUE, 50.0))
    assert await step(store, moved(notice("bob", 99), NoticeState.DUE, 60.0))
    async with store.read() as reading:
        assert [each.reader.person_id for each in await reading.due_notices(55.0, 10)] == ["ann"]
        assert [each.reader.person_id for each in await reading.due_notices(60.0, 10)] == ["ann", "bob"]
        assert len(await reading.due_notices(60.0, 1)) == 1
    await store.write(lambda writing: writing.put_mailing(mailing_moved(MAILING, MailingState.STOPPED, "wait")))
    async with store.read() as reading:
        assert await reading.due_notices(60.0, 10) == []


async def test_a_transmission_that_nobody_tells_the_end_of_is_found(store: Store) -> None:
    await fill(store, "ann", state=NoticeState.CLAIMED)
    going = moved(replace(notice("ann", 100), state=NoticeState.CLAIMED), NoticeState.TRANSMITTING, 80.0)
    assert await step(store, going)
    async with store.read() as reading:
        assert await reading.lost_notices(79.0, 10) == []
        assert await reading.lost_notices(80.0, 10) == [going]
        assert await reading.due_notices(80.0, 10) == []


async def test_taking_back_is_one_step_and_what_may_have_arrived_stays(store: Store) -> None:
    await fill(store, "ann", "bob", "cid")
    sent = replace(notice("dan"), state=NoticeState.SENT)
    other = Mailing(8, WARNING, 100.0, "ann")

    async def work(writing: Writing) -> int:
        await writing.put_mailing(other)
        await writing.add_notices([sent])
        return await writing.cancel_mailings(7, [WARNING, NoticeKind.CUT], "withdrawn")

    number, changes = await store.write(work)
    assert (number, changes) == (1, ())
    async with store.read() as reading:
        cancelled = await reading.mailing(7, WARNING)
        assert cancelled == mailing_moved(MAILING, MailingState.CANCELLED, "withdrawn")
        assert await reading.mailing(8, WARNING) == other
        assert await reading.due_notices(1e9, 10) == []
    turned = [(await store.write(lambda writing: writing.settle_cancelled(7, WARNING, 2)))[0] for _ in range(3)]
    assert turned == [2, 1, 0]
    async with store.read() as reading:
        assert await reading.notice_counts(7, WARNING) == {NoticeState.CANCELLED: 3, NoticeState.SENT: 1}
        assert not await reading.notices(7, WAITING)


async def test_mailings_by_their_states_and_by_those_of_their_notices(store: Store) -> None:
    states = {1: MailingState.CANCELLED, 2: MailingState.SENDING, 3: MailingState.CANCELLED, 4: MailingState.FINISHED}
    has = {1: NoticeState.DUE, 2: NoticeState.PLANNED, 3: NoticeState.SENT}

    async def work(writing: Writing) -> None:
        for change, state in states.items():
            await writing.put_mailing(replace(MAILING, change=change, state=state))
        await writing.add_notices([replace(notice("ann"), change=each, state=state) for each, state in has.items()])
        # Of another kind.
        await writing.add_notices([replace(notice("ann", 0, NoticeKind.CUT), change=4, state=NoticeState.DUE)])

    await store.write(work)
    over = (MailingState.CANCELLED, MailingState.FINISHED)
    async with store.read() as reading:
        assert [each.change for each in await reading.mailings_in(over)] == [4, 3, 1]
        assert [each.change for each in await reading.mailings_in((MailingState.SENDING,))] == [2]
        assert [each.change for each in await reading.mailings_in(over, WAITING)] == [1]
        assert [each.change for each in await reading.mailings_in(list(MailingState), WAITING)] == [2, 1]
        assert await reading.mailings_in((MailingState.STOPPED,)) == []


async def complain(store: Store, token: str) -> bool:
    said, _ = await store.write(lambda writing: writing.put_complaint(7, token, 50.0))
    return said


async def test_a_reader_who_says_twice_that_it_is_wrong_counts_once(store: Store) -> None:
    assert await complain(store, "a")
    assert not await complain(store, "a")
    assert await complain(store, "b")
    async with store.read() as reading:
        assert await reading.complaints(7) == 2
        assert await reading.complaints(7, since=51.0) == 0
        assert await reading.complaints(8) == 0


async def test_a_person_has_an_address(store: Store) -> None:
    person = Person("ann", address="ann.lee@mail.example")
    await store.write(lambda writing: writing.put_person(person))
    async with store.read() as reading:
        assert await reading.person_by_login("ann") == person


async def test_how_far_the_recipients_are_written_down_reads_back_to_the_letter(store: Store) -> None:
    plan = Plan((0, 7), "bob@corp.example", 100_000, 500, "digest", 3, 1, 60.0, 90.0)
    mailing = replace(MAILING, state=MailingState.PLANNING, plan=plan)
    await store.write(lambda writing: writing.put_mailing(mailing))
    async with store.read() as reading:
        assert await reading.mailing(7, WARNING) == mailing


async def test_while_another_wave_is_written_down_what_was_released_goes_on(store: Store) -> None:
    await fill(store, "ann")
    assert await step(store, moved(notice("ann", 100), NoticeState.DUE, 50.0))
    await store.write(lambda writing: writing.put_mailing(mailing_moved(MAILING, MailingState.PLANNING)))
    async with store.read() as reading:
        assert len(await reading.due_notices(55.0, 10)) == 1


async def test_people_by_their_ids(store: Store) -> None:
    async def work(writing: Writing) -> None:
        for name in ("cid", "ann", "bob"):
            await writing.put_person(Person(name, aliases=(f"{name}@alias",)))

    await store.write(work)
    async with store.read() as reading:
        assert [each.person_id for each in await reading.people_named(["bob", "nobody", "ann", "cid@alias"])] == [
            "ann",
            "bob",
        ]
        assert await reading.people_named([]) == []
