"""Backups of a database and back: every row of every table, at one moment, across migrations."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint
from gateway.domain.brake import Brake
from gateway.domain.change import PolicyChange
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import Scope
from gateway.domain.notice import Mailing, Notice, NoticeKind, Reader
from gateway.domain.operator import NamedOperator, Role
from gateway.domain.policy import first_policy
from gateway.ports.store import (
    IssuedCredential,
    OperatorToken,
    PinnedBinding,
    Store,
    StoredMessage,
    StoreUnavailable,
    Writing,
)
from gateway.storage.backup_file import BackupReader, BackupUnusable
from gateway.storage.sql import SqlStore, migrating, open_store
from gateway.storage.sql.backups import load_backup, write_backup
from gateway.storage.sql.replacing import begin_another_life, counted_since, put_in_place
from gateway.storage.sql.schema import metadata
from gateway.storage.sql.snapshot import LEFT_OUT
from tests.support.stored_values import app, back_to_the_first_schema, inventory, mail_device, person, source

OPENED: list[BackupReader] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def quiet(done: int, whole: int) -> None:
    """Nobody looks."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gatepost.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    opened = await open_store(f"sqlite:///{path}", writable=True)
    await fill(opened)
    yield opened
    await opened.close()


INVENTORIES = 1203


async def fill(store: Store) -> None:
    """Something in every table."""
    await store.write(_fill_all_but_inventories)
    # In several units: one of so many takes too long on a machine that is busy.
    for first in range(0, INVENTORIES, 200):
        await store.write(partial(_fill_inventories, range(first, min(first + 200, INVENTORIES))))
    await _fill_audit(store)


async def _fill_audit(store: Store) -> None:
    """A log whose first entries are dropped already."""

    async def tell(writing: Writing) -> None:
        for _ in range(3):
            await writing.log_audit(AuditEntry(AuditKind.NOTICE, "root", (Subject("ann@corp.example"),)))

    async def keep(writing: Writing) -> StoredCheckpoint:
        head = await writing.audit_head()
        made = StoredCheckpoint(head.size, 1.0, "a note", head.chain, head.frontier)
        await writing.put_audit_checkpoint(made)
        return made

    await store.write(tell)
    made, _ = await store.write(keep)
    await store.write(tell)
    await store.write(keep)
    segment = DroppedSegment(made.size, 1.0, made.note, made.chain, made.frontier)
    await store.write(lambda writing: writing.drop_audit_segment(segment))


async def _fill_inventories(numbers: Iterable[int], writing: Writing) -> None:
    for number in numbers:
        await writing.put_inventory(inventory(f"d{number}"), (app(1),), (app(2),))


async def _fill_all_but_inventories(writing: Writing) -> None:
    await writing.put_policy(first_policy(1.0))
    writing.log_policy(1)
    await writing.put_source(source())
    await writing.put_message("mdm", "m1", StoredMessage("d", "applied", 7, 50.0))
    await writing.put_person(person("ann@corp.example", "anna@corp.example"))
    await writing.put_mail_device(mail_device())
    await writing.put_pin(PinnedBinding("ann@corp.example", "abc1", "mdm", "d1", False, "root", 60.0))
    await writing.put_tombstones("ann@corp.example", "abc1", (Tombstone(app(), "mdm", 5.0, Scope.DEVICE),))
    await writing.put_credential(
        IssuedCredential("aaaaaaaa", "ann@corp.example", "abc1", "digest", "", "", "root", 3.0)
    )
    await writing.put_operator(NamedOperator("root", frozenset({Role.EDITOR}), created_at=1.0))
    await writing.put_token(OperatorToken("t1", "root", "digest", 2.0, None, None, "editor"))
    await writing.put_policy_change(PolicyChange(1, "ann", "t1", 1.0, "a change", 1, ()), 1.0)
    await writing.put_change_preview(1, "digest", b"content")
    await writing.put_mailing(Mailing(1, NoticeKind.CUT, 1.0, "ann"))
    reader = Reader("ann@corp.example", "ann@corp.example", "en", "")
    await writing.add_notices([Notice(1, NoticeKind.CUT, reader, "<a@b>", content=b"content")])
    await writing.put_complaint(1, "token", 2.0)
    await writing.put_brake(Brake(5.0))
    writing.log_people(["ann@corp.example"])


def content(path: Path) -> dict[str, list[Any]]:
    """Every row of every table that backups hold."""
    connection = sqlite3.connect(path)
    try:
        return {
            table.name: sorted(connection.execute(f"SELECT * FROM {table.name}").fetchall(), key=repr)  # noqa: S608
            for table in metadata.sorted_tables
            if table.name not in LEFT_OUT
        }
    finally:
        connection.close()


async def backed_up(path: Path, to: Path, **more: Any) -> BackupReader:
    await write_backup(f"sqlite:///{path}", to, "0.1.0", 100.0, more.get("tick", quiet))
    reader = BackupReader(to)
    OPENED.append(reader)
    reader.verify()
    return reader


async def test_every_row_of_every_table(store: SqlStore, path: Path, tmp_path: Path) -> None:
    reader = await backed_up(path, tmp_path / "b")
    assert (reader.header.policy_version, reader.header.sequence, reader.header.taken_at) == (1, 2, 100.0)
    assert reader.header.counts["inventories"] == 1203
    load_backup(reader, tmp_path / "restored.db", quiet)
    before = content(path)
    assert all(before.values()), "a table without a row proves nothing"
    assert content(tmp_path / "restored.db") == before


async def test_one_moment_while_others_write(store: SqlStore, path: Path, tmp_path: Path) -> None:
    """Reports that are committed meanwhile are in it whole or not at all, by the sequence it states."""
    enough = asyncio.Event()

    async def reports() -> None:
        number = 0
        while not enough.is_set():
            number += 1

            async def work(writing: Writing, name: str = f"new{number}") -> None:
                await writing.put_inventory(inventory(name))
                await writing.put_message("mdm", name, StoredMessage("d", "applied", 7, 50.0))
                writing.log_people([name])

            await store.write(work)

    writer = asyncio.create_task(reports())

    def written_to(done: int, whole: int) -> None:
        # Others' turn, in the middle of the reading.
        during.append(done)

    during: list[int] = []
    for turn in range(3):
        work = backed_up(path, tmp_path / f"b{turn}", tick=written_to)
        reader = await asyncio.to_thread(asyncio.run, work)
        load_backup(reader, tmp_path / f"r{turn}.db", quiet)
        found = content(tmp_path / f"r{turn}.db")
        new = {row[1] for row in found["messages"]} - {"m1"}
        assert {row[1] for row in found["inventories"] if row[1].startswith("new")} == new
        assert len(found["changes"]) == found["store_state"][0][2] == reader.header.sequence == len(new) + 2
    enough.set()
    await writer
    assert during


async def test_a_backup_of_an_earlier_schema_is_migrated(store: SqlStore, path: Path, tmp_path: Path) -> None:
    await store.close()
    with sqlite3.connect(path) as connection:
        back_to_the_first_schema(connection)
    connection.close()
    reader = await backed_up(path, tmp_path / "b")
    assert reader.header.schema == "0001"
    load_backup(reader, tmp_path / "restored.db", quiet)
    restored = await open_store(f"sqlite:///{tmp_path / 'restored.db'}", writable=False)
    async with restored.read() as reading:
        assert (await reading.counts())["inventories"] == 1203
    await restored.close()
    (state,) = content(tmp_path / "restored.db")["store_state"]
    assert state[3] == migrating.stamps()[migrating.newest_revision()]


async def test_columns_that_this_code_does_not_know_are_kept(store: SqlStore, path: Path, tmp_path: Path) -> None:
    """A newer version has migrated the database; a backup by this one loses nothing, and is refused by this one."""
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE people ADD COLUMN mood TEXT NOT NULL DEFAULT 'good'")
        connection.execute("UPDATE alembic_version SET version_num = 'next'")
    connection.close()
    reader = await backed_up(path, tmp_path / "b")
    assert any("mood" in each.columns for each in reader.messages() if not isinstance(each, list))
    with pytest.raises(BackupUnusable, match="has schema next, this Gatepost knows up to"):
        load_backup(reader, tmp_path / "restored.db", quiet)
    assert not (tmp_path / "restored.db").exists()


async def test_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is not there"):
        await backed_up(tmp_path / "none.db", tmp_path / "b")
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreUnavailable, match="holds no Gatepost database"):
        await backed_up(tmp_path / "empty.db", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def damage(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


async def test_nothing_is_left_of_one_that_fails(store: SqlStore, path: Path, tmp_path: Path) -> None:
    def full(done: int, whole: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        await backed_up(path, tmp_path / "b", tick=full)
    assert names_in(tmp_path) == ["gatepost.db", "gatepost.db-shm", "gatepost.db-wal"]


async def test_the_exchange(store: SqlStore, path: Path, tmp_path: Path) -> None:
    reader = await backed_up(path, tmp_path / "b")
    await store.close()
    load_backup(reader, tmp_path / "fresh", quiet)
    begin_another_life(tmp_path / "fresh", "another", None)
    before = content(path)
    assert put_in_place(tmp_path / "fresh", path, tmp_path / "kept")
    assert content(tmp_path / "kept") == before
    assert content(path)["store_state"][0][1] == "another"
    assert not (tmp_path / "fresh").exists()


async def test_a_damaged_database_is_kept_as_it_is(store: SqlStore, path: Path, tmp_path: Path) -> None:
    reader = await backed_up(path, tmp_path / "b")
    await store.close()
    damage(path)
    load_backup(reader, tmp_path / "fresh", quiet)
    assert put_in_place(tmp_path / "fresh", path, tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes().startswith(b"no database")
    assert content(path)["people"]


async def test_what_came_since(store: SqlStore, path: Path) -> None:
    found = await counted_since(f"sqlite:///{path}", 55.0)
    assert (found.reports, found.devices_reported, found.devices_seen, found.pins) == (0, 1203, 0, 1)
    found = await counted_since(f"sqlite:///{path}", 1.0)
    assert (found.reports, found.newest_report_at, found.devices_seen) == (1, 50.0, 1)
