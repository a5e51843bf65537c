"""Every store keeps one audit log: chained, pseudonymous, written with what it tells of or not at all."""

import asyncio
import json

import pytest

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.chain import GrowingLog, head_before
from gateway.domain.audit.entry import device_pseudonym_of, pseudonym_of
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint, StoredEntry
from gateway.ports.store import Conflict, Store, Writing
from tests.support.stored_values import person


def entry(number: int = 0, *subjects: Subject) -> AuditEntry:
    return AuditEntry(AuditKind.NOTICE, "anna", subjects, {"number": number})


async def write(store: Store, *entries: AuditEntry) -> None:
    async def work(writing: Writing) -> None:
        for each in entries:
            await writing.log_audit(each)

    await store.write(work)


async def rows(store: Store, after: int = 0, limit: int = 1000) -> list[StoredEntry]:
    async with store.read() as reading:
        return list(await reading.audit_entries(after, limit))


def numbers(found: list[StoredEntry]) -> list[object]:
    return [json.loads(row.entry)["details"]["number"] for row in found]


async def see_that_it_hangs_together(store: Store) -> None:
    async with store.read() as reading:
        head = await reading.audit_head()
        found = await reading.audit_entries(0, 100_000)
    log = GrowingLog(head_before(head.origin))
    for place, row in enumerate(found, 1):
        assert row.seq == place
        assert log.add(row.entry) == row.leaf
        assert log.chain == row.chain
        assert json.loads(row.entry)["seq"] == place
    assert log.head() == head


async def test_a_log_begins_with_its_first_entry(store: Store) -> None:
    async with store.read() as reading:
        assert (await reading.audit_head()).origin == ""
        assert await reading.audit_entries() in ((), [])
    await write(store, entry(1), entry(2))
    await write(store, entry(3))
    await see_that_it_hangs_together(store)
    async with store.read() as reading:
        head = await reading.audit_head()
    assert head.size == 3
    assert head.origin.startswith("gatepost/")
    found = await rows(store)
    assert numbers(found) == [1, 2, 3]
    assert json.loads(found[0].entry)["at"].endswith("Z")
    assert numbers(await rows(store, 1, 1)) == [2]


async def test_what_is_undone_is_not_told_of_and_what_is_told_of_is_done(store: Store) -> None:
    async def failing(writing: Writing) -> None:
        await writing.put_person(person("eve"))
        await writing.log_audit(entry(13, Subject("eve")))
        raise Conflict("no")

    async def good(writing: Writing) -> None:
        await writing.put_person(person("ann"))
        await writing.log_audit(entry(1, Subject("ann")))

    done = await asyncio.gather(store.write(good), store.write(failing), return_exceptions=True)
    assert isinstance(done[1], Conflict)
    assert numbers(await rows(store)) == [1]
    async with store.read() as reading:
        assert [each.person_id for each in await reading.people()] == ["ann"]
        assert await reading.audit_pseudonyms(["eve"]) == []


async def test_many_writers_keep_one_chain(store: Store) -> None:
    async def one(number: int) -> None:
        async def work(writing: Writing) -> None:
            await writing.log_audit(entry(number, Subject(f"p{number % 3}")))
            await asyncio.sleep(0)
            writing.log_people([f"p{number}"])

        await store.write(work)

    await asyncio.gather(*map(one, range(40)))
    await see_that_it_hangs_together(store)
    assert sorted(map(int, map(str, numbers(await rows(store))))) == list(range(40))


async def test_an_entry_that_has_no_form_fails_its_own_unit_only(store: Store) -> None:
    bad = AuditEntry(AuditKind.NOTICE, "anna", details={"share": 0.5})  # type: ignore[dict-item]
    done = await asyncio.gather(write(store, bad), write(store, entry(1)), return_exceptions=True)
    assert isinstance(done[0], ValueError)
    assert numbers(await rows(store)) == [1]


async def test_a_person_has_one_pseudonym_until_its_key_is_forgotten(store: Store) -> None:
    await write(store, entry(1, Subject("ann", "phone"), Subject("bob")), entry(2, Subject("ann")))
    found = [json.loads(row.entry)["subjects"] for row in await rows(store)]
    ann, bob = found[0][0]["person"], found[0][1]["person"]
    assert ann != bob
    assert found[1] == [{"person": ann}]
    async with store.read() as reading:
        assert await reading.audit_pseudonyms(["ann", "bob", "nobody"]) == [ann, bob]
    forgotten, _ = await store.write(lambda writing: writing.forget_audit_subject("ann"))
    again, _ = await store.write(lambda writing: writing.forget_audit_subject("ann"))
    assert (forgotten, again) == (True, False)
    async with store.read() as reading:
        assert await reading.audit_pseudonyms(["ann", "bob"]) == [bob]
    await write(store, entry(3, Subject("ann")))
    later = json.loads((await rows(store, 2))[0].entry)["subjects"][0]["person"]
    assert later not in (ann, bob)
    await see_that_it_hangs_together(store)


async def test_the_key_is_needed_to_tell_whom_a_pseudonym_means(store: Store) -> None:
    await write(store, entry(1, Subject("ann", "phone")))
    subject = json.loads((await rows(store))[0].entry)["subjects"][0]
    assert subject["person"] != pseudonym_of(bytes(32), "ann")
    assert subject["device"] != device_pseudonym_of(bytes(32), "phone")


async def test_many_subjects_of_one_entry(store: Store) -> None:
    logins = [f"p{number}@corp.example" for number in range(600)]
    await write(
        store, *(entry(0, *(Subject(login) for login in logins[begin : begin + 150])) for begin in range(0, 600, 150))
    )
    await write(store, entry(1, *(Subject(login) for login in logins[:150])))
    async with store.read() as reading:
        assert len(set(await reading.audit_pseudonyms(logins))) == 600
    first, again = [json.loads(row.entry)["subjects"] for row in await rows(store) if row.seq in (1, 5)]
    assert first == again


async def checkpoint(store: Store, at: float = 5.0) -> StoredCheckpoint:
    async with store.read() as reading:
        head = await reading.audit_head()
    made = StoredCheckpoint(head.size, at, f"note {head.size}\n", head.chain, head.frontier)
    await store.write(lambda writing: writing.put_audit_checkpoint(made))
    return made


async def test_checkpoints_are_kept_in_order(store: Store) -> None:
    made = []
    for number in range(3):
        await write(store, entry(number))
        made.append(await checkpoint(store))
    changed = StoredCheckpoint(1, 9.0, "another", b"", ())
    await store.write(lambda writing: writing.put_audit_checkpoint(changed))
    async with store.read() as reading:
        assert list(await reading.audit_checkpoints()) == made
        assert list(await reading.audit_checkpoints(1, 1)) == made[1:2]
        assert await reading.newest_audit_checkpoint() == made[2]
    await store.write(lambda writing: writing.thin_audit_checkpoints([2, 3, 77]))
    async with store.read() as reading:
        assert [each.size for each in await reading.audit_checkpoints()] == [1, 3]


async def test_old_entries_are_dropped_behind_a_checkpoint_only(store: Store) -> None:
    await write(store, *(entry(number) for number in range(1, 4)))
    first = await checkpoint(store)
    await write(store, *(entry(number) for number in range(4, 7)))
    newest = await checkpoint(store)
    segment = DroppedSegment(first.size, 9.0, first.note, first.chain, first.frontier)

    async def drop(writing: Writing) -> int:
        await writing.log_audit(entry(7))
        return await writing.drop_audit_segment(segment)

    gone, _ = await store.write(drop)
    assert gone == 3
    assert numbers(await rows(store)) == [4, 5, 6, 7]
    async with store.read() as reading:
        assert list(await reading.dropped_segments()) == [segment]
        assert [each.size for each in await reading.audit_checkpoints()] == [first.size, newest.size]
        head = await reading.audit_head()
        found = await reading.audit_entries()
    log = GrowingLog(first.head(head.origin))
    for row in found:
        log.add(row.entry)
    assert log.head() == head
    for wrong in (segment, DroppedSegment(5, 9.0, "", b"", ()), DroppedSegment(99, 9.0, "", b"", ())):
        with pytest.raises(Conflict, match="not all there"):
            await store.write(lambda writing, wrong=wrong: writing.drop_audit_segment(wrong))  # type: ignore[misc]
    assert numbers(await rows(store)) == [4, 5, 6, 7]
    await write(store, entry(8))
    assert [row.seq for row in await rows(store)] == [4, 5, 6, 7, 8]
