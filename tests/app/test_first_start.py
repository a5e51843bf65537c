"""A gateway that was in use does not go on with an empty database, in which nothing is banned."""

from pathlib import Path

import pytest

from gateway.app.first_start import see_that_it_is_not_empty, see_that_it_may_be_made
from gateway.app.migrating import migrate
from gateway.app.parts import storage_url_of
from gateway.changes.apply import ensure_first_policy
from gateway.domain.errors import DomainError
from gateway.ports.store import Change
from gateway.settings import Settings
from gateway.storage.sql import open_store

MISSING = "gatepost.db is missing or empty, but this gateway was in use: put it back"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"gateway": {"data_dir": str(tmp_path)}})


@pytest.fixture
def used(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "admin-token").write_text("gpt_one\n")
    return settings


async def test_a_first_start_makes_it(settings: Settings) -> None:
    await see_that_it_may_be_made(settings)
    store = await open_store(storage_url_of(settings), writable=True)
    await see_that_it_is_not_empty(settings, store)
    await store.close()


async def test_a_database_that_is_missing_is_not_made(used: Settings, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=MISSING) as refused:
        await see_that_it_may_be_made(used)
    assert f"remove {tmp_path}/admin-token" in str(refused.value)
    assert not (tmp_path / "gatepost.db").exists()


def test_nor_by_an_upgrade(used: Settings, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=MISSING):
        migrate(used, only_look=False)
    assert not (tmp_path / "gatepost.db").exists()
    assert migrate(used, only_look=True)[0].pending


async def test_one_with_tables_and_without_a_policy_is_empty(used: Settings) -> None:
    store = await open_store(storage_url_of(used), writable=True)
    with pytest.raises(DomainError, match=MISSING):
        await see_that_it_is_not_empty(used, store)


async def test_one_with_a_policy_goes_on(used: Settings) -> None:
    async def nobody(changes: tuple[Change, ...] | list[Change] | object) -> None:
        assert changes

    store = await open_store(storage_url_of(used), writable=True)
    await ensure_first_policy(store, nobody, 1.0)
    await see_that_it_is_not_empty(used, store)
    await store.close()
    await see_that_it_may_be_made(used)
