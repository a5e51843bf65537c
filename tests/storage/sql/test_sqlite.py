"""The SQLite store where it differs from the reference: files, locks, full disks, other processes, migrations."""

import asyncio
import re
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gateway.domain.errors import InvalidValue
from gateway.domain.policy import first_policy
from gateway.ports.store import Conflict, PinnedBinding, Reading, StoreUnavailable, Writing
from gateway.storage.sql import SchemaTooNew, SchemaTooOld, SqlStore, group_commit, open_store
from gateway.storage.sql import reading as reading_module
from gateway.storage.sql.schema import metadata
from gateway.storage.sql.sqlite import engine_of
from tests.support.stored_values import inventory, person


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a place with %41 ? # signs" / "gatepost.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    path.parent.mkdir()
    opened = await open_store(f"sqlite:///{path}", writable=True, busy_seconds=0.05)
    yield opened
    await opened.close()


async def put_person(store: SqlStore, login: str) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_person(person(login))
        writing.log_people([login])

    await store.write(work)


async def people(store: SqlStore) -> list[str]:
    async with store.read() as reading:
        return [each.person_id for each in await reading.people()]


async def test_what_is_committed_is_there_after_opening_again(store: SqlStore, path: Path) -> None:
    await put_person(store, "ann")
    async with store.read() as reading:
        life = await reading.incarnation()
    await store.close()
    again = await open_store(f"sqlite:///{path}", writable=True)
    async with again.read() as reading:
        assert await reading.incarnation() == life
        assert await reading.sequence() == 1
    assert await people(again) == ["ann"]
    await again.close()


async def test_settings_of_the_connection(store: SqlStore, path: Path) -> None:
    with engine_of(path, writable=True).connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


async def test_the_files_are_the_owners_alone(store: SqlStore, path: Path) -> None:
    await put_person(store, "ann")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"gatepost.db": 0o600, "gatepost.db-wal": 0o600, "gatepost.db-shm": 0o600}


async def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    for writable in (True, False):
        with pytest.raises(StoreUnavailable, match="it is a directory"):
            await open_store(f"sqlite:///{tmp_path}", writable=writable)


async def test_a_worker_reads_but_cannot_write(store: SqlStore, path: Path) -> None:
    worker = await open_store(f"sqlite:///{path}", writable=False)
    await put_person(store, "ann")
    assert await people(worker) == ["ann"]
    with pytest.raises(StoreUnavailable, match="for reading only"):
        await put_person(worker, "bob")
    with engine_of(path, writable=False).connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("DELETE FROM people")
    await worker.close()


async def test_a_lock_held_by_another_program(store: SqlStore, path: Path) -> None:
    await put_person(store, "ann")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="is locked by another program"):
        await put_person(store, "bob")
    assert await people(store) == ["ann"]
    other.execute("ROLLBACK")
    other.close()
    await put_person(store, "cy")
    assert await people(store) == ["ann", "cy"]


async def test_a_full_disk_stops_writes_only(store: SqlStore, path: Path) -> None:
    await put_person(store, "ann")
    await store.write(lambda writing: _pragma(writing, "max_page_count=1"))

    async def big(writing: Writing) -> None:
        await writing.put_person(person("bob"))
        for number in range(50):
            await writing.put_inventory(inventory(str(number), apps=400))
        writing.log_people(["bob"])

    with pytest.raises(StoreUnavailable, match="is full: make room"):
        await store.write(big)
    assert await people(store) == ["ann"]
    await store.write(lambda writing: _pragma(writing, "max_page_count=100000"))
    await store.write(big)
    assert await people(store) == ["ann", "bob"]
    async with store.read() as reading:
        assert await reading.sequence() == 2


async def _pragma(writing: Writing, text: str) -> None:
    connection_of(writing).exec_driver_sql(f"PRAGMA {text}").close()


def connection_of(writing: Writing):  # type: ignore[no-untyped-def]
    return writing._rows._rows._connection  # type: ignore[attr-defined]


async def test_works_run_again_when_the_database_ends_the_transaction_under_them(store: SqlStore) -> None:
    runs: list[str] = []

    async def good(login: str, writing: Writing) -> str:
        runs.append(login)
        await writing.put_person(person(login))
        writing.log_people([login])
        return login

    async def breaking(writing: Writing) -> None:
        runs.append("breaking")
        connection_of(writing).exec_driver_sql("ROLLBACK").close()
        raise StoreUnavailable("as SQLite does on a failing disk")

    done = await asyncio.gather(
        store.write(lambda writing: good("ann", writing)),
        store.write(breaking),
        store.write(lambda writing: good("bob", writing)),
        return_exceptions=True,
    )
    assert runs == ["ann", "breaking", "ann", "bob"]
    assert isinstance(done[1], StoreUnavailable)
    assert [each[0] for each in (done[0], done[2]) if isinstance(each, tuple)] == ["ann", "bob"]
    assert await people(store) == ["ann", "bob"]
    async with store.read() as reading:
        assert await reading.sequence() == 2


async def test_works_that_arrive_together_share_a_commit(store: SqlStore, path: Path) -> None:
    await asyncio.gather(*(put_person(store, f"p{number:03}") for number in range(100)))
    async with store.read() as reading:
        changes = await reading.changes_after(0)
    assert changes is not None
    assert len(changes) == 100
    assert len({change.at for change in changes}) < 10


async def test_a_database_of_a_newer_version_is_left_alone(store: SqlStore, path: Path) -> None:
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE store_state SET compatible_since = '9998'")
    connection.close()
    for writable in (True, False):
        with pytest.raises(SchemaTooNew, match=r"newer Gatepost .schema 9999, this one knows up to \d{4}"):
            await open_store(f"sqlite:///{path}", writable=writable)


async def test_a_worker_waits_for_the_migration(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is missing; the control process makes it"):
        await open_store(f"sqlite:///{path}", writable=False)
    with pytest.raises(StoreUnavailable, match="make it, or change"):
        await open_store(f"sqlite:///{path}", writable=True)
    path.parent.mkdir()
    sqlite3.connect(path).close()
    with pytest.raises(SchemaTooOld, match="not been migrated yet"):
        await open_store(f"sqlite:///{path}", writable=False)


@pytest.fixture
def nonsense(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(b"something else " * 1000)
    return path


async def test_a_file_that_is_no_database(nonsense: Path) -> None:
    for writable in (True, False):
        with pytest.raises(StoreUnavailable, match="is no database"):
            await open_store(f"sqlite:///{nonsense}", writable=writable)


async def test_a_removed_file_is_missed_and_a_restored_one_is_read(store: SqlStore, path: Path, tmp_path: Path) -> None:
    await put_person(store, "ann")
    worker = await open_store(f"sqlite:///{path}", writable=False)
    assert await people(worker) == ["ann"]
    with sqlite3.connect(path) as live, sqlite3.connect(tmp_path / "backup") as backup:
        live.backup(backup)
        backup.execute("UPDATE store_state SET incarnation = 'restored'")
    live.close()
    backup.close()
    await put_person(store, "bob")
    await store.close()
    for name in path.parent.iterdir():
        name.unlink()
    with pytest.raises(StoreUnavailable, match="is missing"):
        await people(worker)
    (tmp_path / "backup").rename(path)
    assert await people(worker) == ["ann"]
    async with worker.read() as reading:
        assert await reading.incarnation() == "restored"
    await worker.close()


async def test_policy_versions_cannot_be_changed(store: SqlStore, path: Path) -> None:
    await store.write(lambda writing: writing.put_policy(first_policy(1.0)))
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE policies SET author = 'eve'", "DELETE FROM policies"):
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                connection.execute(statement)
    connection.close()


async def test_the_migrations_make_the_schema_of_the_code(store: SqlStore, path: Path) -> None:
    with engine_of(path, writable=True).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'store_state'").scalar_one()
    assert "CHECK (id = 1)" in made


async def test_leases_go_by_the_machines_clock(store: SqlStore) -> None:
    before = time.time()
    lease, _ = await store.write(lambda writing: writing.take_lease("tidy", "a", 10.0))
    assert lease is not None
    # julianday counts in milliseconds.
    assert before - 0.002 <= lease.ends_at - 10.0 <= time.time() + 0.002


async def test_many_readers_at_once(store: SqlStore) -> None:
    await put_person(store, "ann")
    assert await asyncio.gather(*(people(store) for _ in range(40))) == [["ann"]] * 40


@pytest.mark.parametrize(
    "url",
    ["mysql://u:hidden@h/db", "postgres://u:hidden@h", "sqlite://", "nonsense", "sqlite:///:memory:", "::/hidden"],
)
async def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await open_store(url, writable=True)
    assert "hidden" not in str(caught.value)


WRITER = """
import asyncio, sys
from gateway.ports.store import Writing
from gateway.storage.sql import open_store
from tests.support.stored_values import inventory

async def main():
    store = await open_store(sys.argv[1], writable=True)
    async def client(number):
        for turn in range(1_000_000):
            async def work(writing: Writing) -> None:
                await writing.put_inventory(inventory(f"{number}-{turn}"))
                writing.log_people([f"{number}-{turn}"])
            _, (change,) = await store.write(work)
            print(change.sequence, change.names[0], flush=True)
    await asyncio.gather(*(client(number) for number in range(16)))

asyncio.run(main())
"""


async def test_what_was_confirmed_survives_a_killed_writer(store: SqlStore, path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, f"sqlite:///{path}", stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    confirmed = [await writer.stdout.readline() for _ in range(200)]
    writer.kill()
    confirmed += (await writer.stdout.read()).splitlines()
    await writer.wait()
    async with store.read() as reading:
        newest = await reading.sequence()
        changes = await reading.changes_after(0)
        assert changes is not None
        assert [change.sequence for change in changes] == list(range(1, newest + 1))
        names = {change.sequence: change.names[0] for change in changes}
        for line in confirmed[:-1]:
            sequence, name = line.decode().split()
            assert names[int(sequence)] == name
            assert await reading.inventory("mdm", name) is not None
        assert (await reading.counts())["inventories"] == newest
    await put_person(store, "ann")


async def test_a_failing_shared_commit_reaches_every_caller(store: SqlStore) -> None:
    async def work(writing: Writing) -> None:
        connection = connection_of(writing)
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON").close()
        connection.exec_driver_sql("INSERT INTO person_logins VALUES ('x', 'nobody')").close()

    done = await asyncio.gather(put_person(store, "ann"), store.write(work), return_exceptions=True)
    assert [type(each) for each in done] == [Conflict, Conflict]
    assert await people(store) == []
    await put_person(store, "ann")


async def test_a_work_that_never_ends_is_given_up(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "WORK_SECONDS", 0.05)

    async def endless(writing: Writing) -> None:
        await writing.put_person(person("eve"))
        await asyncio.Event().wait()

    done = await asyncio.gather(store.write(endless), put_person(store, "ann"), return_exceptions=True)
    assert isinstance(done[0], StoreUnavailable)
    assert await people(store) == ["ann"]


async def test_look_ups_use_their_indexes(store: SqlStore, path: Path) -> None:
    statements: list[str] = []
    engine = engine_of(path, writable=False)
    with engine.connect() as connection:
        for name, statement in vars(reading_module).items():
            if name.startswith("_") and name.isupper() and name not in WHOLE_TABLE:
                # A list of values is written out when it is bound only.
                text = re.sub(r"\(__\[POSTCOMPILE_\w+\]\)", "(?)", str(statement.compile(engine)))
                plan = connection.exec_driver_sql(
                    f"EXPLAIN QUERY PLAN {text}", tuple("1" for _ in range(text.count("?")))
                )
                statements += [f"{name}: {row.detail}" for row in plan if row.detail.startswith("SCAN")]
    assert statements == []


WHOLE_TABLE = {"_SOURCES", "_TOKENS", "_PINS", "_COUNTS", "_DEVICE_KEY", "_POLICIES", "_POLICY_CHANGES", "_OPERATORS"}
WHOLE_TABLE |= {"_POLICY_CHANGES_IN"}
"""Changes are some hundreds."""


async def test_a_reading_in_one_go_may_wait_for_nothing_else(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'one.db'}", writable=True)

    async def wait(reading: Reading) -> None:
        await asyncio.sleep(0)

    async def sequence(reading: Reading) -> int:
        return await reading.sequence()

    with pytest.raises(RuntimeError, match="may wait for nothing but its statements"):
        await store.read_at_once(wait)
    assert await store.read_at_once(sequence) == 0
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.read_at_once(sequence)


@pytest.mark.parametrize("how", ["another file", "the same file"])
async def test_nothing_is_written_over_an_earlier_state_that_was_put_in_place(
    store: SqlStore, path: Path, tmp_path: Path, how: str
) -> None:
    """Its numbers would go to other changes than those that were told of under them."""
    await put_person(store, "ann")
    older = tmp_path / "older.db"
    _copy(path, older)
    await put_person(store, "bob")
    if how == "another file":
        older.replace(path)
        for beside in path.parent.glob("*.db-*"):
            beside.unlink()
    else:
        _copy(older, path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="an earlier state"):
            await put_person(store, "carl")
    assert await people(store) == ["ann"]
    # Whoever opens it anew begins with what there is.
    again = await open_store(f"sqlite:///{path}", writable=True)
    await put_person(again, "carl")
    assert await people(again) == ["ann", "carl"]
    await again.close()


def _copy(origin: Path, target: Path) -> None:
    with closing(sqlite3.connect(origin)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


async def test_a_yes_is_no_number(store: SqlStore) -> None:
    """SQLite has no type for it."""

    async def work(writing: Writing) -> None:
        for number, bound in enumerate((True, False)):
            await writing.put_pin(PinnedBinding("ann", f"abc{number}", "mdm", "d1", bound, "root", 1.0))

    await store.write(work)
    async with store.read() as reading:
        found = await reading.pins_of_person("ann")
    assert [each.bound for each in found] == [True, False]
    assert {type(each.bound) for each in found} == {bool}
