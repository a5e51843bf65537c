"""What works that fail leave in memory, where nobody collects garbage."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from gateway.domain.errors import InvalidValue
from gateway.ports.store import Conflict, StoreUnavailable, Writing
from gateway.storage.sql import SqlStore, group_commit, open_store
from gateway.storage.sql.groups import OneByOne
from tests.support.stored_values import person


class Body:
    """Of a report that is being stored."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = await open_store(f"sqlite:///{tmp_path / 'gatepost.db'}", writable=True, busy_seconds=0.05)
    await opened.write(lambda writing: writing.put_person(person("ann")))
    yield opened
    await opened.close()


async def left(
    store: SqlStore, work: Callable[[Writing], Coroutine[Any, Any, None]], error: type[BaseException]
) -> int:
    """How many of three works that fail together, and of their transaction, are there behind that."""
    bodies, groups = WeakSet[Body](), WeakSet[object]()

    async def report() -> None:
        body = Body()
        bodies.add(body)

        async def with_body(writing: Writing) -> None:
            assert body in bodies
            groups.add(writing)
            await work(writing)

        try:
            await store.write(with_body)
        except error:
            return
        raise AssertionError

    await asyncio.gather(*(report() for _ in range(3)))
    if store._commits._running is not None:
        await asyncio.wait({store._commits._running})
    # What tells of the last one's end is let go a turn of the loop later.
    await asyncio.sleep(0.01)
    return len(bodies) + len(groups)


async def refuse(writing: Writing) -> None:
    raise InvalidValue("there is no such person")


async def nothing(writing: Writing) -> None:
    """Works; what is around it does not."""


def connection_of(writing: Writing):  # type: ignore[no-untyped-def]
    return writing._rows._rows._connection  # type: ignore[attr-defined]


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_works_that_raise(store: SqlStore) -> None:
    assert await left(store, refuse, InvalidValue) == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_works_that_cannot_begin(store: SqlStore, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "gatepost.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await left(store, nothing, StoreUnavailable) == 0
    other.close()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("step", ["begin", "keep"])
async def test_nothing_of_works_between_which_the_database_refuses(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(OneByOne, step, away)
    assert await left(store, nothing, StoreUnavailable) == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_works_whose_commit_fails(store: SqlStore) -> None:
    async def work(writing: Writing) -> None:
        connection = connection_of(writing)
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON").close()
        connection.exec_driver_sql("INSERT OR IGNORE INTO person_logins VALUES ('x', 'nobody')").close()

    assert await left(store, work, Conflict) == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_works_that_never_end(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "WORK_SECONDS", 0.02)

    async def endless(writing: Writing) -> None:
        await asyncio.Event().wait()

    assert await left(store, endless, StoreUnavailable) == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_works_whose_transaction_is_lost_again_and_again(store: SqlStore) -> None:
    async def breaking(writing: Writing) -> None:
        connection_of(writing).exec_driver_sql("ROLLBACK").close()
        raise StoreUnavailable("as SQLite does on a failing disk")

    assert await left(store, breaking, StoreUnavailable) == 0
