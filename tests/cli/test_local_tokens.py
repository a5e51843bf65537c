"""``gatepost token create --local``: a token where none is left, from the database of this machine."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from gateway.admin.auth import Authenticator, Operator
from gateway.cli.main import app
from gateway.domain.operator import EDITORS_OF_OLD, Role
from gateway.observability.lines import STDERR
from gateway.storage.sql import open_store


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path}"\n')
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield tmp_path
    # The command sets up logging, for this whole process.
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


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
    assert (operator.name, operator.roles) == ("anna", EDITORS_OF_OLD)
    viewer = json.loads(create(data_dir, "--role", "viewer", "--for", "8h", "--json").stdout)
    operator = asyncio.run(known(data_dir, viewer["token"]))
    assert isinstance(operator, Operator)
    assert operator.roles == {Role.VIEWER}


def test_it_leaves_a_line_in_the_log(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(made(data_dir))
    said, wrote = os.pipe()
    monkeypatch.setattr(STDERR, "_fd", lambda: wrote)
    created = create(data_dir, "--role", "viewer")
    os.close(wrote)
    with open(said) as lines:
        (line,) = [json.loads(each) for each in lines]
    assert (line["event"], line["operator"], line["role"]) == ("token_created", "anna", "viewer")
    assert (line["author"], line["uid"]) == ("local", os.getuid())
    assert created.stdout.strip() not in json.dumps(line)


def test_a_database_that_is_not_there_is_not_made(data_dir: Path) -> None:
    refused = create(data_dir)
    assert refused.exit_code == 1
    assert "the database is missing, or waits for its migration: start the gateway once" in refused.stderr
    assert not (data_dir / "gatepost.db").exists()
