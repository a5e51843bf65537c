"""The PostgreSQL store while its server is killed, restarted, held up, or replaced by its standby."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.ports.store import OutcomeUnknown, Store, StoreUnavailable, Writing
from gateway.storage.sql import SqlStore, goes_forward, group_commit, open_store
from gateway.storage.sql.postgres_url import PostgresBounds
from tests.support.postgres_server import PostgresServer, missing, postgres_server
from tests.support.stored_values import person

pytestmark = pytest.mark.live

BOUNDS = PostgresBounds(connect=8.0, statement=2.0, lock=2.0, idle=2.0, answer=1.0)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that may be broken."""
    if reason := missing():
        pytest.skip(reason)
    with postgres_server() as server:
        yield server


@pytest.fixture
async def store(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    # However slow the machine is: what comes together is one group.
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 60.0)
    opened = await open_store(server.database("gatepost"), writable=True, bounds=BOUNDS)
    yield opened
    await opened.close()


async def put_person(store: Store, login: str) -> int:
    async def work(writing: Writing) -> None:
        await writing.put_person(person(login))
        writing.log_people([login])

    _, (change,) = await store.write(work)
    return change.sequence


async def people(store: Store) -> list[str]:
    async with store.read() as reading:
        return [each.person_id for each in await reading.people()]


async def test_a_restarted_server_is_used_at_once(store: SqlStore, server: PostgresServer) -> None:
    """Nobody sees it: neither the first reader nor the first writer after it."""
    await put_person(store, "ann")
    assert await asyncio.gather(*(people(store) for _ in range(8))) == [["ann"]] * 8
    for number in range(3):
        server.restart()
        if number % 2:
            await put_person(store, f"b{number}")
        assert (await asyncio.gather(*(people(store) for _ in range(8))))[0][0] == "ann"
        await put_person(store, f"c{number}")
    assert await people(store) == ["ann", "b1", "c0", "c1", "c2"]


async def test_a_server_that_is_away_is_said_to_be(store: SqlStore, server: PostgresServer) -> None:
    await put_person(store, "ann")
    server.stop()
    for act in (people(store), put_person(store, "bob")):
        with pytest.raises(StoreUnavailable, match=r"gatepost does not answer: (no such file|connection refused)"):
            await act
    server.start()
    await put_person(store, "cy")
    assert await people(store) == ["ann", "cy"]


async def test_a_connection_that_ends_inside_a_unit(store: SqlStore, server: PostgresServer) -> None:
    """The unit that met it fails; those before it in the transaction run again, and nobody waits for ever."""
    runs: list[str] = []

    async def good(writing: Writing) -> None:
        runs.append("good")
        await writing.put_person(person("ann"))
        writing.log_people(["ann"])

    async def breaking(writing: Writing) -> None:
        runs.append("breaking")
        # A unit that has asked nothing yet could run again like the others.
        await writing.person_by_login("ann")
        await writing.person_by_login("bob")
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gatepost'")
        await writing.put_person(person("eve"))

    done = await asyncio.gather(
        store.write(good), store.write(breaking), put_person(store, "bob"), return_exceptions=True
    )
    assert isinstance(done[1], StoreUnavailable)
    assert not isinstance(done[1], OutcomeUnknown)
    assert runs == ["good", "breaking", "good"]
    assert await people(store) == ["ann", "bob"]
    async with store.read() as reading:
        assert await reading.sequence() == 2


async def test_a_connection_that_ends_between_units(store: SqlStore, server: PostgresServer) -> None:
    """All run again: nothing of them was kept, and none of them is to blame."""
    first = asyncio.Event()

    async def ending(writing: Writing) -> None:
        await writing.put_person(person("ann"))
        if not first.is_set():
            first.set()
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gatepost'")

    await asyncio.gather(store.write(ending), put_person(store, "bob"))
    assert await people(store) == ["ann", "bob"]


async def test_a_commit_without_an_answer_says_that_its_outcome_is_unknown(
    store: SqlStore, server: PostgresServer
) -> None:
    """It waits for a standby that is not there when the server crashes; the commit is on the disk all the same."""
    await put_person(store, "ann")
    patient = await open_store(server.url("gatepost"), writable=True, bounds=replace(BOUNDS, answer=60.0))
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("SELECT pg_reload_conf()")
    writing = asyncio.create_task(put_person(patient, "bob"))
    await server.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1")
    server.crash()
    with pytest.raises(OutcomeUnknown, match="whether it is stored is not known yet") as caught:
        await writing
    await patient.close()
    assert "Send a report again as it is" in str(caught.value)
    (server.cluster / "postgresql.auto.conf").write_text("")
    server.start()
    assert await people(store) == ["ann", "bob"]
    assert await put_person(store, "bob") == 3


async def _put_again_and_again(store: SqlStore) -> None:
    """The server's processes hear of other settings one after the other."""
    while True:
        await put_person(store, "bob")


async def test_a_commit_that_takes_too_long_says_that_its_outcome_is_unknown(
    store: SqlStore, server: PostgresServer
) -> None:
    await put_person(store, "ann")
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("SELECT pg_reload_conf()")
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        await _put_again_and_again(store)
    assert time.monotonic() - began < BOUNDS.answer + 8
    server.sql("ALTER SYSTEM RESET synchronous_standby_names")
    server.sql("SELECT pg_reload_conf()")
    await put_person(store, "cy")
    assert set(await people(store)) >= {"ann", "cy"}


async def test_a_server_that_hangs_holds_nobody_for_ever(store: SqlStore, server: PostgresServer) -> None:
    await put_person(store, "ann")
    assert await people(store) == ["ann"]
    server.pause(on=True)
    try:
        for act in (people(store), put_person(store, "bob")):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await act
            assert time.monotonic() - began < BOUNDS.answer + 4
    finally:
        server.pause(on=False)
    await put_person(store, "cy")
    assert set(await people(store)) >= {"ann", "cy"}


async def test_a_writer_that_hangs_gives_the_lock_back(store: SqlStore, server: PostgresServer) -> None:
    """A control process that stands still in the middle of a unit holds the others up for a bounded time only."""
    other = await open_store(server.url("gatepost"), writable=True, bounds=replace(BOUNDS, lock=0.5, answer=5.0))
    holding = await store._database.begin()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="held by another process"):
        await put_person(other, "ann")
    async with asyncio.timeout(BOUNDS.idle + 3):
        while not await _written(other, "bob"):
            assert time.monotonic() - began < BOUNDS.idle + 2
    with pytest.raises(StoreUnavailable):
        await holding.rows.all(text("SELECT 1"))
    await holding.rollback()
    await put_person(store, "cy")
    assert await people(other) == ["bob", "cy"]
    await other.close()


WRITER = """
import asyncio, sys
from gateway.ports.store import StoreUnavailable, Writing
from gateway.storage.sql import open_store
from tests.support.stored_values import inventory

async def main():
    store = await open_store(sys.argv[1], writable=True)
    async def client(number):
        for turn in range(1_000_000):
            async def work(writing: Writing) -> None:
                await writing.put_inventory(inventory(f"{sys.argv[2]}-{number}-{turn}"))
                writing.log_people([f"{sys.argv[2]}-{number}-{turn}"])
            try:
                _, (change,) = await store.write(work)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                print(change.sequence, change.names[0], flush=True)
    await asyncio.gather(*(client(number) for number in range(8)))

asyncio.run(main())
"""


async def test_what_was_confirmed_survives_killed_writers_and_crashes(store: SqlStore, server: PostgresServer) -> None:
    """Two writing processes, one of which is killed, and a server that crashes under them twice."""
    url = server.url("gatepost")
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, url, name, stdout=asyncio.subprocess.PIPE)
        for name in ("a", "b")
    ]
    confirmed: list[bytes] = []
    more = asyncio.Event()

    async def listen(stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            confirmed.append(line)
            more.set()

    listeners = [asyncio.create_task(listen(each.stdout)) for each in writers if each.stdout]

    async def until(count: int) -> None:
        async with asyncio.timeout(30):
            while len(confirmed) < count:
                more.clear()
                await more.wait()

    await until(100)
    # Both have begun: one that cannot open the store at its start ends.
    while not {b" a-", b" b-"} <= {b" " + line.split()[1][:2] for line in confirmed}:
        await until(len(confirmed) + 1)
    for _ in range(2):
        await asyncio.to_thread(server.crash)
        server.start()
        await until(len(confirmed) + 100)
    writers[0].kill()
    await until(len(confirmed) + 50)
    writers[1].kill()
    await asyncio.gather(*listeners, *(each.wait() for each in writers))
    async with store.read() as reading:
        newest = await reading.sequence()
        changes = await reading.changes_after(0, limit=newest)
        assert changes is not None
        assert [change.sequence for change in changes] == list(range(1, newest + 1))
        names = {change.sequence: change.names[0] for change in changes}
        for line in confirmed:
            if not line.endswith(b"\n"):
                continue
            sequence, name = line.decode().split()
            assert names[int(sequence)] == name
            assert await reading.inventory("mdm", name) is not None
    # Both have written, turn by turn.
    assert {name[0] for name in names.values()} == {"a", "b"}


@pytest.fixture
def standby(server: PostgresServer) -> Iterator[PostgresServer]:
    """A copy that follows ``server``, which waits for it at each commit."""
    directory = Path(tempfile.mkdtemp(prefix="gatepost-pg-"))
    made = PostgresServer(directory)
    server.database("gatepost")
    server.follow(made)
    made.start()
    yield made
    made.stop(signal.SIGQUIT)
    shutil.rmtree(directory, ignore_errors=True)


async def test_the_standby_takes_over(server: PostgresServer, standby: PostgresServer) -> None:
    """Of the hosts in the URL the one that takes writes is used, whatever their order."""
    hosts = f"host={standby.directory},{server.directory}&port={standby.port},{server.port}"
    store = await open_store(f"postgresql://gatepost@/gatepost?{hosts}", writable=True, bounds=BOUNDS)
    await put_person(store, "ann")
    with pytest.raises(StoreUnavailable, match=r"is read-only, as a standby is: name the primary in \[storage\] url"):
        await open_store(standby.url("gatepost"), writable=False, bounds=BOUNDS)
    await standby.until("SELECT to_regclass('people') IS NOT NULL", "t", "gatepost")
    await standby.until("SELECT count(*) FROM people", "1", "gatepost")
    server.crash()
    with pytest.raises(StoreUnavailable, match=r"gatepost (does not answer|is read-only)"):
        await put_person(store, "eve")
    standby.promote()
    await put_person(store, "bob")
    assert await people(store) == ["ann", "bob"]
    await store.close()


async def test_a_standby_that_lacks_what_was_told_of_is_not_written(
    server: PostgresServer, standby: PostgresServer
) -> None:
    """It takes over without the last commits of one process; the other one would give their numbers to its own.

    Whoever follows changes by their numbers would take those for known, and go on with what stood there before.
    """
    hosts = f"host={standby.directory},{server.directory}&port={standby.port},{server.port}"
    url = f"postgresql://gatepost@/gatepost?{hosts}"
    here, there = [await open_store(url, writable=True, bounds=BOUNDS) for _ in range(2)]
    told, unanswered = 0, 0

    async def newest_told() -> int | None:
        nonlocal unanswered
        unanswered -= 1
        return told if unanswered < 0 else None

    for each in (here, there):
        each.held_against(newest_told)
    told = await put_person(there, "ann")
    await standby.until("SELECT to_regclass('people') IS NOT NULL", "t", "gatepost")
    await standby.until("SELECT count(*) FROM people", "1", "gatepost")
    standby.stop(signal.SIGINT)
    for name in ("bob", "cy", "dora"):
        told = await put_person(here, name)
    server.crash()
    standby.start()
    standby.promote()
    unanswered = 2
    for name in ("eve", "fay", "gus", "hal", "ida"):
        unknown = unanswered > 0
        with pytest.raises(
            StoreUnavailable, match="nobody says yet" if unknown else "an earlier state of the database"
        ):
            await put_person(there, name)
    assert await people(there) == ["ann"]
    for each in (here, there):
        await each.close()


async def test_only_a_new_connection_is_held_against_what_was_told(store: SqlStore, server: PostgresServer) -> None:
    asked: list[int] = []

    async def newest_told() -> int:
        asked.append(1)
        return 0

    store.held_against(newest_told)
    for name in ("ann", "bob", "cy"):
        await put_person(store, name)
    assert len(asked) == 1
    server.restart()
    await put_person(store, "dora")
    assert len(asked) == 2


async def test_reports_do_not_wait_for_ever_for_who_could_say_what_was_told(
    store: SqlStore, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is away for longer."""
    asked: list[int] = []

    async def nobody_knows() -> int | None:
        asked.append(1)
        return None

    await put_person(store, "ann")
    store.held_against(nobody_knows)
    server.restart()
    with pytest.raises(StoreUnavailable, match="nobody says yet"):
        await put_person(store, "bob")
    monkeypatch.setattr(goes_forward, "HELD_SECONDS", 0.0)
    server.restart()
    for name in ("cy", "dora"):
        await put_person(store, name)
    assert await people(store) == ["ann", "cy", "dora"]
    assert len(asked) == 2


async def test_a_mistake_over_what_was_told_leaves_nobody_waiting(store: SqlStore, server: PostgresServer) -> None:
    async def mistaken() -> int:
        raise RuntimeError("of ours")

    async def nothing() -> int:
        return 0

    await put_person(store, "ann")
    store.held_against(mistaken)
    server.restart()
    with pytest.raises(StoreUnavailable, match="nobody says yet"):
        await put_person(store, "bob")
    store.held_against(nothing)
    await put_person(store, "cy")
    assert await people(store) == ["ann", "cy"]


async def test_a_server_that_turns_read_only_is_left(store: SqlStore, server: PostgresServer) -> None:
    await put_person(store, "ann")
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await _written(store, "bob"):
            pass
    with pytest.raises(StoreUnavailable, match="is read-only"):
        await put_person(store, "cy")
    (server.cluster / "postgresql.auto.conf").write_text("")
    server.sql("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while not await _written(store, "dora"):
            pass
    assert "dora" in await people(store)


async def _written(store: Store, login: str) -> bool:
    try:
        await put_person(store, login)
    except StoreUnavailable:
        return False
    return True
