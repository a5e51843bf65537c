"""``gatepost migrate`` on this machine, without a gateway and beside one."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.runtime.lock import DataDirLock
from gateway.storage.sql import migrating, open_store
from tests.support.stored_values import back_to_the_first_schema


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path}"\n')
    return tmp_path


def gatepost(data_dir: Path, *words: str, expect: int = 0) -> Result:
    result = CliRunner().invoke(app, [*words, "--config", str(data_dir / "gatepost.toml")])
    assert result.exit_code == expect, result.output
    return result


def of_the_first_schema(data_dir: Path) -> None:
    """A database as the first version left it."""

    async def make() -> None:
        await (await open_store(f"sqlite:///{data_dir / 'gatepost.db'}", writable=True)).close()

    asyncio.run(make())
    with sqlite3.connect(data_dir / "gatepost.db") as connection:
        back_to_the_first_schema(connection)
    connection.close()


def test_check_says_what_is_pending_and_changes_nothing(data_dir: Path) -> None:
    newest = migrating.newest_revision()
    assert f"pending, from schema none to {newest}" in gatepost(data_dir, "migrate", "--check", expect=1).stdout
    assert not (data_dir / "gatepost.db").exists()
    of_the_first_schema(data_dir)
    said = gatepost(data_dir, "migrate", "--check", expect=1).stdout
    assert f"pending, from schema 0001 to {newest}; a gateway of the version before goes on beside it" in said
    assert "0002  The oldest schema whose code can still use the database" in said
    assert json.loads(gatepost(data_dir, "migrate", "--check", "--json", expect=1).stdout)["from"] == "0001"


def test_migrate_says_from_where_to_where(data_dir: Path) -> None:
    of_the_first_schema(data_dir)
    newest = migrating.newest_revision()
    assert f"migrated from schema 0001 to {newest}" in gatepost(data_dir, "migrate").stdout
    assert f"schema {newest} is this version's: nothing to do" in gatepost(data_dir, "migrate").stdout
    gatepost(data_dir, "migrate", "--check")


def test_beside_a_gateway_that_could_not_go_on(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_first_schema(data_dir)
    monkeypatch.setattr(migrating, "_compatible_since", lambda revision, scripts: revision)
    with DataDirLock(data_dir):
        refused = gatepost(data_dir, "migrate", expect=1)
    assert (
        "its version could not use it after these steps: end it, migrate, and start the new version" in refused.stderr
    )
    assert gatepost(data_dir, "migrate", "--check", expect=1)
    gatepost(data_dir, "migrate")


def test_a_database_of_a_newer_version(data_dir: Path) -> None:
    of_the_first_schema(data_dir)
    gatepost(data_dir, "migrate")
    with sqlite3.connect(data_dir / "gatepost.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "is newer than this version's" in gatepost(data_dir, "migrate").stdout
    with connection:
        connection.execute("UPDATE store_state SET compatible_since = '9999'")
    connection.close()
    assert "install that version again or restore a backup" in gatepost(data_dir, "migrate", expect=1).stderr
