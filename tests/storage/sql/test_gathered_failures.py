"""Reports that share their statements on PostgreSQL, where something else goes wrong: they are stored all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.inventory.answers import Ack
from gateway.ports.store import Writing
from gateway.storage.sql import SqlStore, gathered, group_commit, open_store
from gateway.storage.sql.group_commit import Transaction
from gateway.storage.sql.postgres_rows import PostgresRows
from gateway.storage.sql.put_off import PutOff
from tests.storage.sql.test_gathered import NOW, ingest_of, send
from tests.support.fronted import until
from tests.support.stored_values import source

pytestmark = pytest.mark.live

MANY = range(group_commit.FORESEEN_AT_ONCE + 50)
FEW = range(5)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def store(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    # However slow the machine is: what comes together is one group.
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 60.0)
    opened = await open_store(url, writable=True, now=lambda: NOW)
    await opened.write(lambda writing: writing.put_source(replace(source(), user="")))
    yield opened
    await opened.close()


async def sent(store: SqlStore, turn: int, numbers: range) -> list[object]:
    """What is not acknowledged of reports that come together."""
    return [answer for answer in await send(ingest_of(store), turn, numbers) if not isinstance(answer, Ack)]


async def test_a_column_that_the_next_version_adds_disturbs_nobody(store: SqlStore, url: str) -> None:
    assert await sent(store, 1, MANY) == []
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE people ADD COLUMN mood TEXT NOT NULL DEFAULT 'good'")
    await connection.close()
    with capture_logs() as logged:
        assert await sent(store, 2, MANY) == []
    assert {each["event"] for each in logged} == {"report_taken"}


async def test_a_mistake_in_reading_ahead_fails_nobody(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object) -> None:
        raise LookupError("a mistake")

    monkeypatch.setattr(gathered, "foresee", mistaken)
    with capture_logs() as logged:
        assert await sent(store, 1, MANY) == []
    assert [each["event"] for each in logged if each["event"] != "report_taken"] == ["reading_ahead_failed"]


async def test_who_is_given_up_behind_others_does_not_cut_their_rows_short(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing_down, all_there, transactions = asyncio.Event(), asyncio.Event(), [0]
    commits, write = store._commits, PutOff.write
    begin = commits._begin

    async def slowly(self: PutOff, rows: PostgresRows) -> None:
        writing_down.set()
        await rows.say("SELECT pg_sleep(0.5)")
        await write(self, rows)

    async def counted() -> Transaction:
        transactions[0] += 1
        await all_there.wait()
        return await begin()

    monkeypatch.setattr(PutOff, "write", slowly)
    monkeypatch.setattr(commits, "_begin", counted)
    sending = asyncio.create_task(sent(store, 1, FEW))
    await until(lambda: len(commits._waiting) == len(FEW))
    given_up = asyncio.create_task(store.write(lambda writing: writing.person_by_login("nobody")))
    await until(lambda: len(commits._waiting) > len(FEW))
    all_there.set()
    await writing_down.wait()
    await until(lambda: not commits._waiting)
    given_up.cancel()
    assert await sending == []
    assert given_up.cancelled()
    assert transactions == [1]


async def test_others_that_are_given_up_again_and_again_are_not_held_against_reports(store: SqlStore) -> None:
    begun: asyncio.Queue[None] = asyncio.Queue()

    async def sleeps(writing: Writing) -> None:
        begun.put_nowait(None)
        await writing._rows.run(text("SELECT pg_sleep(30)"))  # type: ignore[attr-defined]

    sending = asyncio.create_task(sent(store, 1, FEW))
    await asyncio.sleep(0)
    sleeping = asyncio.create_task(store.write(sleeps))
    for _ in range(2 * group_commit.ATTEMPTS):
        await begun.get()
        following = asyncio.create_task(store.write(sleeps))
        await asyncio.sleep(0)
        sleeping.cancel()
        sleeping = following
    sleeping.cancel()
    assert await sending == []
