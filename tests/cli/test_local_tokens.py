"""``gatepost token create --local``: a token where none is left, from the database of this machine."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.admin.auth import Authenticator, Operator, Role
from gateway.cli.main import app
from gateway.storage.sql import open_store


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path}"\n')
    return tmp_path


def create(data_dir: Path, *words: str) -> Result:
    config = str(data_dir / "gatepost.toml")
    return CliRunner().invoke(app, ["token", "create", "anna", "--local", *words, "--config", config])


async def made(data_dir: Path) -> None:
    await (await open_store(f"sqlite:///{data_dir / 'gatepost.db'}", writable=True)).close()


async def known(data_dir: Path, token: str) -> object:
    store = await open_store(f"sqlite:///{data_dir / 'gatepost.db'}", writable=False)
    try:
        return await Authenticator(store).authenticate(f"Bearer {token}", "127.0.0.1")
    finally:
        await store.close()


def test_it_is_good_at_once(data_dir: Path) -> None:
    asyncio.run(made(data_dir))
    created = create(data_dir)
    assert created.exit_code == 0, created.output
    operator = asyncio.run(known(data_dir, created.stdout.strip()))
    assert isinstance(operator, Operator)
    assert (operator.name, operator.role) == ("anna", Role.EDITOR)
    viewer = json.loads(create(data_dir, "--role", "viewer", "--for", "8h", "--json").stdout)
    operator = asyncio.run(known(data_dir, viewer["token"]))
    assert isinstance(operator, Operator)
    assert operator.role is Role.VIEWER


def test_a_database_that_is_not_there_is_not_made(data_dir: Path) -> None:
    refused = create(data_dir)
    assert refused.exit_code == 1
    assert "the database is missing, or waits for its migration: start the gateway once" in refused.stderr
    assert not (data_dir / "gatepost.db").exists()
