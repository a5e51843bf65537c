"""Backups between SQLite and PostgreSQL, both ways, and a restore into a PostgreSQL that is in use or was."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.domain.change import PolicyChange
from gateway.ports.store import StoreUnavailable, Writing
from gateway.storage.backup_file import BackupReader
from gateway.storage.sql import open_store
from gateway.storage.sql.backups import load_backup, write_backup
from gateway.storage.sql.postgres import engine_of
from gateway.storage.sql.postgres_url import PostgresBounds, postgres_target
from gateway.storage.sql.replacing_postgres import put_in_postgres
from gateway.storage.sql.snapshot import snapshot
from tests.storage.sql.test_backups import content, fill, quiet
from tests.support.stored_values import inventory, person

pytestmark = pytest.mark.live


async def made(url: str) -> None:
    """A database with something in every table."""
    store = await open_store(url, writable=True)
    await fill(store)
    await store.close()


async def saved(url: str, path: Path) -> Path:
    await write_backup(url, path, "0.1.0", 100.0, quiet)
    return path


def loaded(backup: Path, database: Path) -> Path:
    reader = BackupReader(backup)
    try:
        reader.verify()
        load_backup(reader, database, quiet)
    finally:
        reader.close()
    return database


async def changed(url: str, *numbers: int) -> None:
    """Changes come after what is there."""

    async def work(writing: Writing) -> None:
        for number in numbers:
            await writing.put_policy_change(PolicyChange(number, "ann", "t1", 1.0, f"change {number}", 1), 1.0)

    store = await open_store(url, writable=True)
    await store.write(work)
    await store.close()


async def asked(url: str, statement: str) -> object:
    engine = engine_of(postgres_target(url), PostgresBounds(), connections=1)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(statement))).scalar_one()
    finally:
        await engine.dispose()


async def test_from_sqlite_to_postgresql_and_back(new_database: Callable[[], str], tmp_path: Path) -> None:
    await made(f"sqlite:///{tmp_path / 'first.db'}")
    url = new_database()
    backup = await saved(f"sqlite:///{tmp_path / 'first.db'}", tmp_path / "there.backup")
    assert not await put_in_postgres(loaded(backup, tmp_path / "second.db"), url, "kept", quiet)
    loaded(await saved(url, tmp_path / "back.backup"), tmp_path / "third.db")
    before = content(tmp_path / "first.db")
    assert all(rows for name, rows in before.items() if name != "leases")
    assert content(tmp_path / "third.db") == before


async def test_a_restored_postgresql_goes_on(new_database: Callable[[], str], tmp_path: Path) -> None:
    url = new_database()
    await made(url)
    backup = await saved(url, tmp_path / "kept.backup")
    assert await put_in_postgres(loaded(backup, tmp_path / "fresh.db"), url, "before_restore", quiet)
    assert await asked(url, "SELECT count(*) FROM before_restore.inventories") == 1203
    store = await open_store(url, writable=True)

    async def work(writing: Writing) -> None:
        await writing.put_inventory(inventory("later"))
        await writing.put_person(person("bob"))
        writing.log_people(["bob"])

    await store.write(work)
    async with store.read() as reading:
        assert (await reading.counts())["inventories"] == 1204
        assert await reading.sequence() == 3
    await store.close()
    with pytest.raises(Exception, match="policy versions are never changed"):
        await asked(url, "UPDATE policies SET author = 'eve' RETURNING 1")


async def test_not_while_a_gateway_is_connected(new_database: Callable[[], str], tmp_path: Path) -> None:
    url = new_database()
    await made(url)
    backup = await saved(url, tmp_path / "kept.backup")
    fresh = loaded(backup, tmp_path / "fresh.db")
    store = await open_store(url, writable=False)
    async with store.read() as reading:
        await reading.sequence()
        with pytest.raises(StoreUnavailable, match=r"1 connections of Gatepost to the database .* are open: end every"):
            await put_in_postgres(fresh, url, "kept", quiet)
    await store.close()
    async with snapshot(url) as moment:
        assert (await moment.counts())["inventories"] == 1203


def test_the_commands(new_database: Callable[[], str], tmp_path: Path) -> None:
    url = new_database()
    asyncio.run(made(url))
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path / "var"}"\n')
    (tmp_path / "url").write_text(url)

    def gatepost(*words: str) -> Result:
        environment = {"GATEPOST_STORAGE__URL_FILE": str(tmp_path / "url")}
        result = CliRunner().invoke(app, [*words, "--config", str(tmp_path / "gatepost.toml")], env=environment)
        assert result.exit_code == 0, result.output
        return result

    gatepost("backup", str(tmp_path / "kept.backup"))
    known = asyncio.run(asked(url, "SELECT max(number) FROM policy_changes"))
    assert isinstance(known, int)
    asyncio.run(changed(url, known + 1, known + 2))
    done = json.loads(gatepost("restore", str(tmp_path / "kept.backup"), "--yes", "--json").stdout)
    assert done["kept"].startswith("the schema before_restore_")
    assert (done["policy_version"], done["lost"]["reports"], done["fleet"]["devices"]) == (2, 0, 1)
    assert asyncio.run(asked(url, "SELECT max(number) FROM policies")) == 2
    # Numbers of changes that are lost are not given out again.
    assert done["lost"]["changes"] == [known + 1, known + 2]
    assert asyncio.run(asked(url, "SELECT max(number) FROM policy_changes")) == known + 2
    assert not list((tmp_path / "var").glob(".gatepost.db.restored*"))
    again = json.loads(gatepost("restore", str(tmp_path / "kept.backup"), "--yes", "--json").stdout)
    assert again["policy_version"] == 3
    assert [version["author"] for version in again["lost"]["policy_versions"]] == ["restore"]
