"""Every store keeps the promises of ``ports.store`` about units of work, the change log and snapshots."""

import asyncio
import random

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import first_policy
from gateway.ports.store import Change, ChangeKind, Conflict, Person, Reading, Store, StoreUnavailable, Writing
from gateway.storage.change_rows import NAMED_AT_MOST
from tests.storage.conformance.conftest import KEEP_CHANGES
from tests.support.stored_values import inventory, mail_device, person


class Refused(Exception):  # noqa: N818
    """What a failing work raises."""


async def log_one(store: Store, login: str = "ann") -> Change:
    async def work(writing: Writing) -> None:
        writing.log_people([login])

    _, (change,) = await store.write(work)
    return change


async def test_the_result_and_the_rows_are_given_back(store: Store) -> None:
    async def work(writing: Writing) -> str:
        writing.log_people(["ann", "bob"])
        writing.log_policy(4)
        writing.log_people(["bob", "cy"])
        return "done"

    result, changes = await store.write(work)
    assert result == "done"
    assert [(each.sequence, each.kind, each.names, each.version) for each in changes] == [
        (1, ChangeKind.PERSON, ("ann", "bob", "cy"), 0),
        (2, ChangeKind.POLICY, (), 4),
    ]
    assert all(each.at > 0 for each in changes)
    async with store.read() as reading:
        assert await reading.sequence() == 2
        assert await reading.changes_after(0) == list(changes)
        assert await reading.changes_after(1) == list(changes[1:])
        assert await reading.changes_after(0, limit=1) == list(changes[:1])
        assert await reading.changes_after(2) == []


async def test_records_at_hand_are_given_back_and_not_logged(store: Store) -> None:
    """Those of the only change of a unit; a further one may have outdated them."""
    ann, bob = (PersonRecord(login, known=True, logins=(login, f"{login}.alias")) for login in ("ann", "bob"))

    async def once(writing: Writing) -> None:
        writing.log_people(["ann", "ann.alias", "bob"], [ann, bob])

    async def twice(writing: Writing) -> None:
        writing.log_people(["ann"], [ann])
        writing.log_people(["bob"], [bob])

    _, (change,) = await store.write(once)
    assert change.records == {"ann": ann, "ann.alias": ann, "bob": bob}
    _, (change,) = await store.write(twice)
    assert change.records == {}
    async with store.read() as reading:
        assert [each.records for each in await reading.changes_after(0) or ()] == [{}, {}]


async def test_everybody_swallows_names(store: Store) -> None:
    async def work(writing: Writing) -> None:
        writing.log_people(["ann"])
        writing.log_everybody()

    async def many(writing: Writing) -> None:
        writing.log_people([str(number) for number in range(NAMED_AT_MOST + 1)])

    for each in (work, many):
        _, (change,) = await store.write(each)
        assert (change.kind, change.names) == (ChangeKind.EVERYBODY, ())


async def test_sequences_are_contiguous_under_many_writers(store: Store) -> None:
    generator = random.Random(1)

    async def writer(number: int) -> tuple[Change, ...]:
        async def work(writing: Writing) -> None:
            await writing.put_mail_device(mail_device(f"p{number}"))
            if generator.random() < 0.3:
                await asyncio.sleep(0)
            if number % 5 == 4:
                raise Refused
            writing.log_people([f"p{number}"])
            if number % 3 == 0:
                writing.log_policy(number)

        await asyncio.sleep(generator.random() / 50)
        try:
            return (await store.write(work))[1]
        except Refused:
            return ()

    made = [change for changes in await asyncio.gather(*map(writer, range(40))) for change in changes]
    sequences = sorted(change.sequence for change in made)
    assert sequences == list(range(1, len(made) + 1))
    async with store.read() as reading:
        assert await reading.changes_after(0) == sorted(made, key=lambda change: change.sequence)
        assert (await reading.counts())["mail_devices"] == 32


async def test_a_failing_work_undoes_itself_only(store: Store) -> None:
    async def failing(writing: Writing) -> None:
        await writing.put_person(person("eve"))
        await writing.put_inventory(inventory("evil"))
        writing.log_people(["eve"])
        raise Refused

    def putting(login: str) -> asyncio.Task[object]:
        return asyncio.create_task(_put(store, login))

    tasks = [putting("ann"), asyncio.create_task(_ignore(store.write(failing))), putting("bob")]
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[1], Refused)
    async with store.read() as reading:
        assert [each.person_id for each in await reading.people()] == ["ann", "bob"]
        assert await reading.inventory("mdm", "evil") is None
        assert await reading.inventories_by_key("serial", "s-evil") == []
        assert await reading.sequence() == 2


async def _ignore(writing: object) -> object:
    return await writing  # type: ignore[misc]


async def _put(store: Store, login: str) -> object:
    async def work(writing: Writing) -> None:
        await writing.put_person(person(login))
        writing.log_people([login])

    return await store.write(work)


async def test_of_two_in_conflict_one_wins(store: Store) -> None:
    policy = first_policy(1.0)
    tasks = [asyncio.create_task(store.write(lambda writing: writing.put_policy(policy))) for _ in range(5)]
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in done) == 4
    assert sum(isinstance(each, tuple) for each in done) == 1


async def test_a_unit_sees_its_own_writes_and_those_before(store: Store) -> None:
    await _put(store, "ann")

    async def work(writing: Writing) -> list[str]:
        await writing.put_person(person("bob"))
        return [each.person_id for each in await writing.people()]

    assert (await store.write(work))[0] == ["ann", "bob"]


async def test_a_reader_keeps_its_snapshot(store: Store) -> None:
    await _put(store, "ann")
    async with store.read() as reading:
        assert await reading.sequence() == 1
        await _put(store, "bob")
        assert await reading.sequence() == 1
        assert await reading.person_by_login("bob") is None
        assert await reading.changes_after(1) == []
        async with store.read() as fresh:
            assert await fresh.sequence() == 2
            assert await fresh.person_by_login("bob") is not None


async def test_nothing_of_a_unit_is_seen_before_its_commit(store: Store) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(writing: Writing) -> None:
        await writing.put_person(person("ann"))
        writing.log_people(["ann"])
        begun.set()
        await go_on.wait()

    task = asyncio.create_task(store.write(work))
    await begun.wait()
    async with store.read() as reading:
        assert await reading.person_by_login("ann") is None
        assert await reading.sequence() == 0
    go_on.set()
    await task


async def test_whoever_asks_for_trimmed_rows_is_told_so(store: Store) -> None:
    for _ in range(3 * KEEP_CHANGES):
        await log_one(store)
    async with store.read() as reading:
        newest = await reading.sequence()
        assert newest == 3 * KEEP_CHANGES
        assert await reading.changes_after(0) is None
        assert await reading.changes_after(1) is None
        kept = await reading.changes_after(newest - KEEP_CHANGES)
        assert kept is not None
        assert [each.sequence for each in kept] == list(range(newest - KEEP_CHANGES + 1, newest + 1))
        assert await reading.changes_after(newest) == []
        assert await reading.changes_after(newest + 7) == []
        assert (await reading.counts())["changes"] <= 2 * KEEP_CHANGES


async def test_a_writer_that_goes_away_does_not_stop_the_others(store: Store) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def hanging(writing: Writing) -> None:
        await writing.put_person(person("eve"))
        begun.set()
        await never.wait()

    task = asyncio.create_task(store.write(hanging))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(_put(store, "ann"), 5)
    async with store.read() as reading:
        assert await reading.person_by_login("eve") is None


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await log_one(store)
    with pytest.raises(StoreUnavailable, match="closed"):
        async with store.read():
            pass


async def test_another_life_of_the_store(store: Store) -> None:
    async with store.read() as reading:
        first = await reading.incarnation()

    async def begin(writing: Writing) -> None:
        await writing.put_incarnation("another")
        writing.log_everybody()

    _, (change,) = await store.write(begin)
    async with store.read() as reading:
        assert (first, await reading.incarnation()) == (first, "another")
        assert first != "another"
        assert await reading.sequence() == change.sequence


async def test_a_reading_in_one_go_sees_one_moment(store: Store) -> None:
    async def put(writing: Writing) -> None:
        await writing.put_person(Person("ann@corp.example", groups=frozenset({"sales"})))
        writing.log_people(["ann@corp.example"])

    async def read(reading: Reading) -> tuple[int, int, str]:
        person = await reading.person_by_login("ann@corp.example")
        return await reading.sequence(), len(await reading.people()), person.person_id if person else ""

    assert await store.read_at_once(read) == (0, 0, "")
    await store.write(put)
    assert await store.read_at_once(read) == (1, 1, "ann@corp.example")
    many = await asyncio.gather(*(store.read_at_once(read) for _ in range(50)))
    assert set(many) == {(1, 1, "ann@corp.example")}


async def test_what_a_reading_in_one_go_raises_comes_out(store: Store) -> None:
    async def fail(reading: Reading) -> None:
        await reading.sequence()
        raise InvalidValue("no")

    with pytest.raises(InvalidValue, match="no"):
        await store.read_at_once(fail)
    async with store.read() as reading:
        assert await reading.sequence() == 0
