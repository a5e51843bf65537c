"""A new connection to the server that was written before: it has what it had, also while nobody says what was told."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.ports.store import Store, StoreUnavailable, Writing
from gateway.storage.sql import SqlStore, open_store, postgres
from tests.support.postgres_server import PostgresServer
from tests.support.stored_values import person

pytestmark = pytest.mark.live


class Cache:
    """Says what was told of, or that it is away."""

    def __init__(self) -> None:
        self.told: int | None = None
        self.asked = 0

    async def newest_told(self) -> int | None:
        """As a control process asks it."""
        self.asked += 1
        return self.told


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def store(url: str, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    monkeypatch.setattr(postgres, "RECYCLE_SECONDS", 0.1)
    opened = await open_store(url, writable=True)
    opened.held_against(cache.newest_told)
    yield opened
    await opened.close()


async def put_person(store: Store, login: str) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_person(person(login))
        writing.log_people([login])

    await store.write(work)


async def people(store: Store) -> list[str]:
    async with store.read() as reading:
        return [each.person_id for each in await reading.people()]


async def until_recycled() -> None:
    """The writing connection is old enough to be replaced by another one at its next use."""
    await asyncio.sleep(0.2)


def end_connections(server: PostgresServer) -> None:
    """As a time-out does, or whoever stands between."""
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shared'")


async def test_a_recycled_connection_is_written_at_once_while_the_cache_is_away(store: SqlStore, cache: Cache) -> None:
    for name in ("ann", "bob", "cy"):
        await put_person(store, name)
        await until_recycled()
    assert await people(store) == ["ann", "bob", "cy"]
    # Each was another connection, and each was looked at.
    assert cache.asked == 3


async def test_so_is_one_in_place_of_one_that_broke(store: SqlStore, cache: Cache, postgres: PostgresServer) -> None:
    await put_person(store, "ann")
    end_connections(postgres)
    await put_person(store, "bob")
    assert (await people(store), cache.asked) == (["ann", "bob"], 2)


async def test_what_the_cache_says_counts_on_the_same_server_too(store: SqlStore, cache: Cache) -> None:
    """Two servers that both take writes, and ours is the one that was left behind."""
    await put_person(store, "ann")
    await until_recycled()
    cache.told = 2
    with pytest.raises(StoreUnavailable, match="an earlier state of the database"):
        await put_person(store, "bob")
    # Heard once, it counts for as long as this process lives.
    await until_recycled()
    cache.told = None
    with pytest.raises(StoreUnavailable, match="an earlier state of the database"):
        await put_person(store, "cy")


async def test_an_earlier_state_put_in_place_on_the_same_server_is_held(
    store: SqlStore, cache: Cache, url: str, postgres: PostgresServer
) -> None:
    """With just what this process had seen: another one had committed and told of more."""
    await put_person(store, "ann")
    other = await open_store(url, writable=True)
    await put_person(other, "bob")
    await other.close()
    postgres.sql("DELETE FROM people WHERE person_id = 'bob'", "shared")
    postgres.sql(
        "CREATE TABLE put_back AS SELECT * FROM store_state; TRUNCATE store_state;"
        "INSERT INTO store_state SELECT * FROM put_back; UPDATE store_state SET sequence = 1; DROP TABLE put_back",
        "shared",
    )
    end_connections(postgres)
    with pytest.raises(StoreUnavailable, match="nobody says yet"):
        await put_person(store, "cy")
    cache.told = 2
    with pytest.raises(StoreUnavailable, match="an earlier state of the database"):
        await put_person(store, "cy")
