"""Version N on a database of version N + 1, the other way round, and what ``schema_at`` says of both."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.ports.store import Writing
from gateway.storage.sql import SchemaTooNew, SchemaTooOld, migrate_at, migrating, open_store, schema_at
from tests.support.stored_values import inventory, person

NEXT = '''"""One more column{title}.

For a test.
"""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"
branch_labels = None
depends_on = None
{stamp}


def upgrade() -> None:
    op.add_column("people", sa.Column("mood", sa.Text(), nullable=False, server_default="good"))
'''


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gatepost.db'}"


@pytest.fixture
def head() -> str:
    return migrating.newest_revision()


def test_the_newest_migration_is_that_of_the_highest_number(head: str) -> None:
    """So that a database of this version is known without Alembic."""
    assert migrating._newest_by_name() == head


@pytest.fixture
def of_version(tmp_path: Path, head: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the code that of this version, or of one with a migration more, by that migration's stamp."""

    present = migrating.MIGRATIONS

    def change(stamp: str | None) -> None:
        if stamp is None:
            monkeypatch.setattr(migrating, "MIGRATIONS", present)
            return
        later = tmp_path / "later"
        shutil.copytree(present, later, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        text = NEXT.format(title="", head=head, stamp=stamp)
        (later / "versions" / "9999_next.py").write_text(text)
        monkeypatch.setattr(migrating, "MIGRATIONS", later)

    return change


async def test_version_n_works_on_a_database_of_version_n_plus_1(
    url: str, head: str, of_version: Callable[[str | None], None]
) -> None:
    store = await open_store(url, writable=True)
    of_version(f'compatible_since = "{head}"')
    before = await schema_at(url)
    assert (before.found, before.pending, before.expands_only) == (head, (("next", "One more column"),), True)
    after = await migrate_at(url)
    assert (after.found, after.pending) == ("next", ())

    of_version(None)

    # The control process that runs goes on, and so do processes of its version that start now.
    async def work(writing: Writing) -> None:
        await writing.put_person(person("ann"))
        await writing.put_inventory(inventory("1"))
        writing.log_people(["ann"])

    await store.write(work)
    await store.close()
    for writable in (False, True):
        again = await open_store(url, writable=writable)
        async with again.read() as reading:
            assert [each.person_id for each in await reading.people()] == ["ann"]
        await again.close()
    state = await schema_at(url)
    assert (state.found, state.newest, state.is_newer, state.pending) == ("next", head, True, ())


@pytest.mark.parametrize("stamp", ["", 'compatible_since = "next"'], ids=["silent", "its own only"])
async def test_version_n_refuses_what_it_cannot_use(
    url: str, head: str, of_version: Callable[[str | None], None], stamp: str
) -> None:
    await (await open_store(url, writable=True)).close()
    of_version(stamp)
    assert not (await schema_at(url)).expands_only
    await migrate_at(url)
    of_version(None)
    for writable in (False, True):
        with pytest.raises(SchemaTooNew, match=f"schema next, this one knows up to {head}"):
            await open_store(url, writable=writable)
    with pytest.raises(SchemaTooNew):
        await schema_at(url)


async def test_a_worker_of_version_n_plus_1_waits_for_the_migration(
    url: str, head: str, of_version: Callable[[str | None], None]
) -> None:
    await (await open_store(url, writable=True)).close()
    of_version(f'compatible_since = "{head}"')
    with pytest.raises(SchemaTooOld):
        await open_store(url, writable=False)
    await (await open_store(url, writable=True)).close()
    await (await open_store(url, writable=False)).close()


async def test_no_database_yet(url: str, head: str, tmp_path: Path) -> None:
    state = await schema_at(url)
    assert (state.found, state.newest, state.pending[-1][0]) == ("", head, head)
    assert not (tmp_path / "gatepost.db").exists()
    assert (await migrate_at(url)).found == head


def test_every_migration_of_ours_only_expands() -> None:
    """Until a version that contracts, each says since when its database can be used, and that code is known."""
    for revision, since in migrating.stamps().items():
        assert since != revision or revision == "0001", f"{revision} says nothing of who can go on beside it"
