"""On PostgreSQL the reports of a group share their statements; what is foreseen is what would have been read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.identity import canonical_plain_device_id
from gateway.domain.inventory import DeviceKey, Inventory, InventoryReport, Platform, ReportedApp, ReportKind, Scope
from gateway.inventory.answers import Ack
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.ports.store import (
    Change,
    ForeseenReport,
    ForeseenWork,
    Person,
    StoredMessage,
    StoreUnavailable,
    Unstorable,
    Writing,
)
from gateway.storage.sql import SqlStore, foreseeing, group_commit, open_store
from gateway.storage.sql.gathered_writing import GatheredWriting
from gateway.storage.sql.group_memory import APPS_AT_MOST, GroupMemory
from gateway.storage.sql.postgres_rows import AsyncRows, PostgresRows
from tests.inventory.receiving import BANNED, RULES
from tests.storage.conformance.test_reading_ahead import INVENTORIES, PEOPLE, login, tangle
from tests.support.stored_values import app, inventory, person, source

pytestmark = pytest.mark.live

NOW = 1_800_000_000.0
REPORTS = 40


@pytest.fixture
async def store(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    # However slow the machine is: what comes together is one group.
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 60.0)
    opened = await open_store(new_database(), writable=True, now=lambda: NOW)
    await opened.write(lambda writing: writing.put_source(replace(source(), user="")))
    yield opened
    await opened.close()


def ingest_of(store: SqlStore) -> Ingest:
    async def publish(changes: object) -> None:
        """Nobody listens."""

    return Ingest(Evidence(store, RULES, publish, lambda: BANNED), lambda: NOW)


@pytest.fixture
def ingest(store: SqlStore) -> Ingest:
    return ingest_of(store)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the server was asked something, BEGIN and COMMIT aside, as its only item."""
    counted, done = [0], AsyncRows._done

    async def count(self: AsyncRows, answer: Awaitable[Any]) -> Any:
        counted[0] += 1
        return await done(self, answer)

    monkeypatch.setattr(AsyncRows, "_done", count)
    return counted


def a_report(number: int, turn: int) -> InventoryReport:
    keys = DeviceKey("user", f"p{number}@example.com"), DeviceKey("eas_device_id", f"DEV{number}")
    apps = tuple(ReportedApp(app(each)) for each in range(turn, turn + 3))
    return InventoryReport(
        "mdm",
        f"d{number}",
        ReportKind.FULL,
        Scope.DEVICE,
        NOW - 100 + turn,
        NOW,
        apps,
        turn,
        device_keys=keys,
        platform=Platform.ANDROID,
    )


async def send(ingest: Ingest, turn: int, numbers: range = range(REPORTS)) -> list[object]:
    """Reports that come at the same time."""
    sent = source()
    sending = (ingest.receive(sent, f"m{turn}-{number}", "0" * 64, a_report(number, turn)) for number in numbers)
    return list(await asyncio.gather(*sending, return_exceptions=True))


async def test_reports_of_a_group_share_their_statements(ingest: Ingest, store: SqlStore, ways: list[int]) -> None:
    for turn, most in ((1, 1.0), (2, 0.8), (3, 0.8)):
        ways[0] = 0
        answers = await send(ingest, turn)
        assert all(isinstance(answer, Ack) for answer in answers)
        # Alone a report that changes a list was fifteen, and the first of a device some twenty-five.
        assert ways[0] <= most * REPORTS, f"turn {turn}"
    async with store.read() as reading:
        for number in range(REPORTS):
            found = await reading.inventory("mdm", f"d{number}")
            assert found is not None
            assert [each.id for each in found.apps] == [f"com.example.app{each}" for each in (3, 4, 5)]
            assert await reading.person_by_login(f"p{number}@example.com") == Person(
                f"p{number}@example.com", origin="mdm"
            )
            device_id = canonical_plain_device_id(f"DEV{number}")
            assert await reading.inventories_by_key("eas", device_id) == [found]
            for turn in (1, 2, 3):
                assert await reading.message("mdm", f"m{turn}-{number}") == StoredMessage(
                    "0" * 64, "applied", turn, NOW
                )


async def test_a_report_alone_asks_no_more_often_than_before(ingest: Ingest, ways: list[int]) -> None:
    await send(ingest, 1, range(1))
    ways[0] = 0
    (answer,) = await send(ingest, 2, range(1))
    assert isinstance(answer, Ack)
    assert ways[0] <= 16


async def test_one_that_cannot_be_stored_fails_alone(store: SqlStore) -> None:
    """What it wrote was put off with that of all others, and nobody knew whose it was."""
    runs: list[str] = []

    def putting(name: str, serial: str) -> ForeseenWork[None]:
        async def work(writing: Writing) -> None:
            runs.append(name)
            await writing.put_inventory(inventory(name, keys=(DeviceKey("imei", serial),)))
            writing.log_people([name])

        return ForeseenWork(work, ForeseenReport("mdm", name, name, (), ()))

    works = [putting(name, "not\x00storable" if name == "d3" else "fine") for name in ("d1", "d2", "d3", "d4")]
    done = await asyncio.gather(*map(store.write, works), return_exceptions=True)
    assert [isinstance(each, StoreUnavailable) for each in done] == [False, False, True, False]
    assert isinstance(done[2], Unstorable)
    assert "cannot hold a value" in str(done[2])
    assert runs == ["d1", "d2", "d3", "d4"] * 2
    assert sorted(sequences(done)) == [1, 2, 3]
    async with store.read() as reading:
        assert [bool(await reading.inventory("mdm", name)) for name in ("d1", "d2", "d3", "d4")] == [
            *(True, True),
            *(False, True),
        ]


async def test_names_that_cannot_be_looked_up_hold_nobody_up(store: SqlStore) -> None:
    def looking(name: str) -> ForeseenWork[object]:
        async def work(writing: Writing) -> object:
            return await writing.person_by_login(name)

        return ForeseenWork(work, ForeseenReport("mdm", "m", "d", (name,), ()))

    await store.write(lambda writing: writing.put_person(person("ann")))
    done = await asyncio.gather(
        *(store.write(looking(name)) for name in ("ann", "b\x00b", "ann")), return_exceptions=True
    )
    assert [isinstance(each, StoreUnavailable) for each in done] == [False, True, False]
    assert [each[0] for each in done if isinstance(each, tuple)] == [person("ann")] * 2


def sequences(done: list[Any]) -> list[int]:
    changes: list[Change] = [change for each in done if isinstance(each, tuple) for change in each[1]]
    return [change.sequence for change in changes]


# --- what is foreseen


async def test_what_is_foreseen_is_what_would_have_been_read(store: SqlStore) -> None:
    await store.write(tangle)
    memory, compared = GroupMemory(), 0

    async def work(writing: Writing) -> None:
        nonlocal compared
        assert isinstance(writing, GatheredWriting)
        # What was read before the unit began is not what is to be compared.
        assert not any(map(len, answers(writing.memory)))
        for number in range(PEOPLE + 1):
            for device_id in sorted(memory.with_device):
                assert await writing.people_with_device(device_id) == memory.with_device[device_id]
            name = login(number)
            assert await writing.person_by_login(name) == memory.people[name]
        for name, found in memory.under.items():
            assert await writing.under_login(name) == found
        for key, devices in memory.by_key.items():
            assert await writing.inventories_by_key(*key) == [memory.inventories[device] for device in devices]
            compared += len(devices)
        for device, stored in memory.inventories.items():
            assert await writing.inventory(*device) == stored
            assert await writing.pins_of_inventory(*device) == memory.pins[device]

    async def foresee(writing: Writing) -> None:
        assert isinstance(writing, GatheredWriting)
        rows = direct(writing)
        reports = [
            ForeseenReport("mdm", f"m{number}", f"i{number}", (login(number % (PEOPLE + 1)),), ids_of(number))
            for number in range(INVENTORIES)
        ]
        await foreseeing.foresee(rows, memory, reports)

    await store.write(foresee)
    await store.write(work)
    assert compared > INVENTORIES


def ids_of(number: int) -> tuple[str, ...]:
    return (f"appl{number % 40:010}",)


def answers(memory: GroupMemory) -> list[Any]:
    return [getattr(memory, name) for name in GroupMemory.__slots__]


def direct(writing: GatheredWriting) -> PostgresRows:
    """The rows of the transaction below all that remembers or puts off."""
    rows: Any = writing._rows
    found = rows._rows._rows
    assert isinstance(found, PostgresRows)
    return found


async def test_a_key_of_many_and_a_long_list_are_not_foreseen(store: SqlStore) -> None:
    shared = DeviceKey("login", "kiosk")
    long = tuple(replace(app(each), name="x" * 40) for each in range(1000))

    async def put(writing: Writing) -> None:
        for number in range(foreseeing.STATING_AT_MOST + 1):
            await writing.put_inventory(inventory(f"k{number}", keys=(shared,)))
        few = inventory("long", keys=(DeviceKey("login", "ann"),))
        await writing.put_inventory(replace(few, apps=long))

    async def foresee(writing: Writing) -> GroupMemory:
        assert isinstance(writing, GatheredWriting)
        memory = GroupMemory()
        report = ForeseenReport("mdm", "m", "k0", ("kiosk", "ann"), ())
        await foreseeing.foresee(direct(writing), memory, [report])
        return memory

    await store.write(put)
    memory, _ = await store.write(foresee)
    assert memory.by_key == {}
    assert list(memory.inventories) == [("mdm", "k0")]


def test_what_is_kept_of_inventories_is_bounded() -> None:
    memory = GroupMemory()
    large: Inventory = replace(inventory(), apps=(app(),) * (APPS_AT_MOST // 2 + 1))
    memory.inventories["mdm", "d1"] = large
    memory.by_key["login", "ann"] = [("mdm", "d1")]
    memory.bound()
    assert memory.by_key
    memory.inventories["mdm", "d2"] = large
    memory.bound()
    assert (memory.inventories, memory.by_key) == ({}, {})
