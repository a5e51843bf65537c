"""The past of a database that was in use before there was one begins with the migration; old rows do no harm."""

from pathlib import Path

from sqlalchemy import create_engine, text

from gateway.storage.sql import open_store
from gateway.storage.sql.migrating import migrate
from gateway.storage.sql.reading import SqlReading
from tests.support.stored_values import inventory

POLICY = "INSERT INTO policies (number, created_at, author, document) VALUES (1, 5.0, 'root', '{}')"
EVENT = text(
    "INSERT INTO inventory_events (source_id, source_device, generated_at, received_at, added, removed) "
    "VALUES ('mdm', 'd1', 5.0, 5.0, :none, :none)"
)
NONE = b"\x90"


def used(url: str) -> None:
    """What the version before leaves."""
    engine = create_engine(url)
    with engine.connect() as connection:
        migrate(connection, "0008")
    with engine.begin() as connection:
        connection.execute(text(POLICY))
        connection.execute(EVENT, {"none": NONE})
    engine.dispose()


async def test_the_past_begins_with_the_migration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gatepost.db'}"
    used(url)
    store = await open_store(url, writable=True)
    await store.write(lambda writing: writing.put_inventory(inventory("d1")))
    async with store.read() as reading:
        since = await reading.past_since()
        assert since > 1_700_000_000.0
        assert await reading.evidence_told() == since
        # What an older version wrote is no step of it.
        assert await reading.as_of(since).inventory("mdm", "d1") is None
        assert isinstance(reading, SqlReading)
        assert len(await reading.inventory_steps("mdm", "d1", 0.0)) == 1
    gone, _ = await store.write(lambda writing: writing.forget_past(since, 10))
    assert gone == 1
    await store.close()


async def test_what_the_version_before_writes_beside_this_one_is_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gatepost.db'}"
    store = await open_store(url, writable=True)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(EVENT, {"none": NONE})
    engine.dispose()
    async with store.read() as reading:
        assert await reading.past_since() == 0.0
        assert await reading.as_of(1.0).inventory("mdm", "d1") is None
    await store.close()
