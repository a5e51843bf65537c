"""Records in a real server: newer ones only, nothing from an earlier life, nothing that would bring back the past."""

import asyncio
from typing import Any

import pytest

from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Change, ChangeKind
from gateway.storage.redis import EmbeddedValkey, RedisConnection, RedisPublisher, RedisRecords


def record(login: str, sequence: int, *groups: str) -> PersonRecord:
    return PersonRecord(login, True, (login,), frozenset(groups), sequence=sequence)


@pytest.fixture
def control(connection: RedisConnection) -> RedisRecords:
    return RedisRecords(connection, "life1", 3600, publishing=True)


@pytest.fixture
def worker(connection: RedisConnection) -> RedisRecords:
    return RedisRecords(connection, "life1", 3600)


@pytest.fixture
def publisher(connection: RedisConnection) -> RedisPublisher:
    return RedisPublisher(connection, "life1")


async def ask(connection: RedisConnection, *words: str) -> Any:
    return await connection.call(lambda run_id: words)


OUT_OF_MEMORY = r"OOM|maxmemory"


async def fill(connection: RedisConnection) -> None:
    for number in range(100):
        await ask(connection, "SET", f"foreign{number}", "x" * 100_000)


async def sequence_of(records: RedisRecords, login: str) -> int | None:
    found = (await records.get([login])).get(login)
    return None if found is None else found.sequence


async def test_what_was_put_is_there(control: RedisRecords, worker: RedisRecords) -> None:
    many = {f"p{number}": record(f"p{number}", number + 1, "all") for number in range(250)}
    await control.put(many)
    assert await worker.get([*many, "nobody"]) == many
    assert await worker.get([]) == {}


async def test_only_newer_records_replace(control: RedisRecords, worker: RedisRecords) -> None:
    for sequence in (7, 5, 9, 9, 8):
        await control.put({"ann": record("ann", sequence)})
    assert await sequence_of(worker, "ann") == 9


async def test_racing_writers_leave_the_newest(connection: RedisConnection, worker: RedisRecords) -> None:
    writers = [RedisRecords(connection, "life1", 3600, publishing=True) for _ in range(4)]
    puts = [writers[n % 4].put({"ann": record("ann", (n * 37) % 101)}) for n in range(101)]
    await asyncio.gather(*puts)
    assert await sequence_of(worker, "ann") == 100


async def test_a_worker_cannot_bring_back_what_was_evicted(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 10), "bob": record("bob", 10)})
    run_id = await run_id_of(connection)
    await ask(connection, "DEL", f"gp:life1:{run_id[:12]}:p:ann")
    await worker.put({"ann": record("ann", 9)})
    assert await sequence_of(worker, "ann") is None
    await worker.put({"ann": record("ann", 10)})
    assert await sequence_of(worker, "ann") == 10
    await worker.put({"ann": record("ann", 12)})
    assert await sequence_of(worker, "ann") == 12


async def test_an_overtaken_control_process_brings_nothing_back(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    """It has read a record, stood still, and another control process has told of newer changes meanwhile."""
    await publisher.heartbeat(1)
    await control.put({"ann": record("ann", 3), "cy": record("cy", 6)})
    await publisher.publish([Change(8, ChangeKind.PERSON, names=("bob",))])
    await control.put({name: record(name, 5) for name in ("ann", "bob", "cy")})
    # The older record of Ann is taken away, Bob's is not put, Cy's is newer.
    assert [await sequence_of(worker, name) for name in ("ann", "bob", "cy")] == [None, None, 6]
    await control.put({"bob": record("bob", 9)})
    assert await sequence_of(worker, "bob") == 9


async def run_id_of(connection: RedisConnection) -> str:
    seen: list[str] = []

    def compose(run_id: str) -> list[str]:
        seen.append(run_id)
        return ["PING"]

    await connection.call(compose)
    return seen[0]


async def test_before_anything_is_published_a_worker_puts_nothing(
    worker: RedisRecords, publisher: RedisPublisher
) -> None:
    await worker.put({"ann": record("ann", 5)})
    assert await sequence_of(worker, "ann") is None
    await publisher.heartbeat(5)
    await worker.put({"ann": record("ann", 5)})
    assert await sequence_of(worker, "ann") == 5


async def test_published_changes_and_heartbeats_raise_the_bar(worker: RedisRecords, publisher: RedisPublisher) -> None:
    await publisher.publish([Change(6, ChangeKind.POLICY, version=2)])
    await publisher.heartbeat(4)
    await worker.put({"ann": record("ann", 5), "bob": record("bob", 6)})
    assert await sequence_of(worker, "ann") is None
    assert await sequence_of(worker, "bob") == 6


async def test_a_change_of_everybody_makes_all_older_records_worthless(
    control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    await control.put({"ann": record("ann", 5)})
    await publisher.publish([Change(6, ChangeKind.EVERYBODY)])
    assert await sequence_of(worker, "ann") is None
    await worker.put({"ann": record("ann", 6)})
    assert await sequence_of(worker, "ann") == 6


async def test_another_life_of_the_store_sees_nothing(connection: RedisConnection, control: RedisRecords) -> None:
    await control.put({"ann": record("ann", 5)})
    assert await sequence_of(RedisRecords(connection, "life2", 3600), "ann") is None


async def test_whoever_follows_another_life_leaves_the_first_alone(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 5)})
    worker.follow("life2")
    assert await sequence_of(worker, "ann") is None
    await RedisRecords(connection, "life2", 3600, publishing=True).put({"ann": record("ann", 3)})
    assert await sequence_of(worker, "ann") == 3
    worker.follow("")
    await worker.put({"ann": record("ann", 9)})
    assert await worker.get(["ann"]) == {}
    assert await sequence_of(control, "ann") == 5


async def test_another_life_of_the_server_sees_nothing(
    server: EmbeddedValkey, connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 5)})
    before = await run_id_of(connection)
    dump = await ask(connection, "DUMP", f"gp:life1:{before[:12]}:p:ann")
    await server.stop()
    await server.start()
    # As after a restart from an old dump: the same key is there again.
    await connection.call(lambda run_id: ["RESTORE", f"gp:life1:{before[:12]}:p:ann", 0, dump])
    assert await run_id_of(connection) != before
    assert await sequence_of(worker, "ann") is None
    await control.put({"ann": record("ann", 6)})
    assert await sequence_of(worker, "ann") == 6


async def test_after_flushall_the_publisher_comes_first(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    await control.put({"ann": record("ann", 5)})
    await ask(connection, "FLUSHALL")
    await worker.put({"ann": record("ann", 4)})
    assert await sequence_of(worker, "ann") is None
    await publisher.heartbeat(5)
    await worker.put({"ann": record("ann", 4)})
    assert await sequence_of(worker, "ann") is None
    await worker.put({"ann": record("ann", 5)})
    assert await sequence_of(worker, "ann") == 5


async def test_records_end_by_themselves_and_the_bar_does_not(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 5)})
    run_id = await run_id_of(connection)
    assert 3_500_000 < await ask(connection, "PTTL", f"gp:life1:{run_id[:12]}:p:ann") <= 3_600_000
    assert await ask(connection, "PTTL", f"gp:life1:{run_id[:12]}:seq") == -1
    await RedisRecords(connection, "life1", 0.05, publishing=True).put({"bob": record("bob", 5)})
    await asyncio.sleep(0.1)
    assert await sequence_of(worker, "bob") is None


async def test_a_login_cannot_name_a_key_of_ours(control: RedisRecords, worker: RedisRecords) -> None:
    await control.put({name: record(name, 3) for name in ("seq", "floor", "", "ann\r\nDEL x", "ä:*")})
    await control.put({"ann": record("ann", 4)})
    assert await sequence_of(worker, "seq") == 3
    assert await sequence_of(worker, "ann\r\nDEL x") == 3


async def test_damaged_and_foreign_values_are_not_there(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 5)})
    run_id = await run_id_of(connection)
    for value in ("", "x", "0000000000000005", "0000000000000005\x93junk"):
        await ask(connection, "SET", f"gp:life1:{run_id[:12]}:p:ann", value)
        assert await worker.get(["ann"]) == {}
    await ask(connection, "DEL", f"gp:life1:{run_id[:12]}:p:ann")
    await ask(connection, "LPUSH", f"gp:life1:{run_id[:12]}:p:ann", "x")
    assert await worker.get(["ann"]) == {}


async def test_full_memory_evicts_records_and_keeps_the_bar(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    groups = [f"group {number:04} with a rather long name" for number in range(400)]
    for start in range(0, 2000, 100):
        await control.put({f"p{n}": record(f"p{n}", n + 1, *groups) for n in range(start, start + 100)})
    await publisher.heartbeat(2000)
    found = await worker.get([f"p{n}" for n in range(2000)])
    assert 0 < len(found) < 2000
    run_id = await run_id_of(connection)
    assert await ask(connection, "GET", f"gp:life1:{run_id[:12]}:seq") == b"2000"


async def test_full_memory_with_nothing_to_evict_is_an_error_of_its_own(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    await control.put({"ann": record("ann", 5)})
    await ask(connection, "CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(CacheUnavailable, match=OUT_OF_MEMORY):
        await fill(connection)
    with pytest.raises(CacheUnavailable, match=OUT_OF_MEMORY):
        await control.put({"ann": record("ann", 6)})
    with pytest.raises(CacheUnavailable, match=OUT_OF_MEMORY):
        await publisher.heartbeat(6)
    await ask(connection, "CONFIG", "SET", "maxmemory", "16mb")
    await control.put({"ann": record("ann", 6)})
    assert await sequence_of(worker, "ann") == 6


async def test_a_killed_server_is_unavailable_and_comes_back(
    server: EmbeddedValkey, connection: RedisConnection, control: RedisRecords, worker: RedisRecords
) -> None:
    await control.put({"ann": record("ann", 5)})
    await server.stop()
    for _ in range(3):
        with pytest.raises(CacheUnavailable):
            await worker.get(["ann"])
        with pytest.raises(CacheUnavailable):
            await control.put({"ann": record("ann", 6)})
    await server.start()
    assert await worker.get(["ann"]) == {}
    await control.put({"ann": record("ann", 6)})
    assert await sequence_of(worker, "ann") == 6


async def test_records_that_were_outdated_do_not_count_and_nobody_is_told(
    connection: RedisConnection, control: RedisRecords, worker: RedisRecords, publisher: RedisPublisher
) -> None:
    await control.put({"ann": record("ann", 5), "bob": record("bob", 6)})
    await publisher.outdate(6)
    assert await worker.get(["ann", "bob"]) == {"bob": record("bob", 6)}
    assert await ask(connection, "XLEN", "gp:feed") == 0
