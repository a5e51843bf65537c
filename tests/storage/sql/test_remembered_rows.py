"""A unit of work sees what it has written, and is not told twice what it has not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.sql import Executable

from gateway.domain.evidence import Tombstone
from gateway.ports.store import IssuedCredential, OperatorToken, PinnedBinding, Reading, StoredMessage, Writing
from gateway.storage.sql import open_store
from gateway.storage.sql.reading import SqlReading
from gateway.storage.sql.remembered_rows import ROWS_AT_MOST, RememberedRows
from gateway.storage.sql.rows import Parameters
from gateway.storage.sql.writing import SqlWriting
from tests.support.stored_values import app, inventory, mail_device, person, source

LOGIN = "ann@corp.example"
STONE = Tombstone(app(1), "mdm", 5.0)


class Counted:
    """Rows that count what is asked of the database."""

    def __init__(self, rows: RememberedRows) -> None:
        self.dialect = rows.dialect
        self._rows = rows._rows
        self.asked = 0

    async def all(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Any]:
        self.asked += 1
        return await self._rows.all(statement, parameters)

    async def run(self, statement: Executable, parameters: Parameters | None = None) -> int:
        return await self._rows.run(statement, parameters)


def counted(writing: Writing) -> Counted:
    """The database under a unit of work, with what the unit asks of it counted from now on."""
    assert isinstance(writing, SqlWriting)
    assert isinstance(writing._rows, RememberedRows)
    rows = Counted(writing._rows)
    writing._rows._rows = rows
    return rows


async def everything(reading: Reading) -> list[object]:
    """Every reading that a report or an edit needs."""
    return [
        await reading.policy(),
        await reading.policies(),
        await reading.source("mdm"),
        await reading.sources(),
        await reading.message("mdm", "m1"),
        await reading.inventory("mdm", "d1"),
        await reading.inventories_by_key("serial", "S-d1"),
        await reading.inventories_by_key("login", "d1@corp.example"),
        await reading.person_by_login(LOGIN),
        await reading.person_by_login("ann2@corp.example"),
        await reading.people(),
        await reading.mail_devices(LOGIN),
        await reading.all_mail_devices(),
        await reading.people_with_device("abc1"),
        await reading.pins_of_person(LOGIN),
        await reading.pins_of_inventory("mdm", "d1"),
        await reading.tombstones(LOGIN, "abc1"),
        await reading.tombstoned_devices(LOGIN),
        await reading.token_by_digest("f" * 64),
        await reading.tokens(),
        await reading.credential("aaaaaaaa"),
        await reading.credentials_of_person(LOGIN),
        await reading.credentials(),
        await reading.lease("publish"),
        await reading.counts(),
    ]


Write = Callable[[Writing], Awaitable[object]]
PIN = PinnedBinding(LOGIN, "abc1", "mdm", "d1", True, "root", 1.0)
CREDENTIAL = IssuedCredential("aaaaaaaa", LOGIN, "abc1", "f" * 64, "", "", "root", 1.0)
TOKEN = OperatorToken("t1", "root", "f" * 64, 1.0)
WRITES: dict[str, Write] = {
    "source": lambda writing: writing.put_source(source()),
    "message": lambda writing: writing.put_message("mdm", "m1", StoredMessage("0" * 64, "applied", 1, 1.0)),
    "inventory": lambda writing: writing.put_inventory(inventory(), [app(1)]),
    "the same inventory with other apps": lambda writing: writing.put_inventory(inventory(apps=5), [app(4)]),
    "person": lambda writing: writing.put_person(person()),
    "person with an alias": lambda writing: writing.put_person(person(LOGIN, "ann2@corp.example")),
    "device": lambda writing: writing.put_mail_device(mail_device()),
    "device seen later": lambda writing: writing.put_mail_device(mail_device(seen=20.0)),
    "pin": lambda writing: writing.put_pin(PIN),
    "tombstones": lambda writing: writing.put_tombstones(LOGIN, "abc1", [STONE]),
    "no tombstones": lambda writing: writing.put_tombstones(LOGIN, "abc1", []),
    "credential": lambda writing: writing.put_credential(CREDENTIAL),
    "token": lambda writing: writing.put_token(TOKEN),
    "lease": lambda writing: writing.take_lease("publish", "me", 5.0),
    "lease given back": lambda writing: writing.give_lease_back("publish", "me"),
    "no pin": lambda writing: writing.delete_pin(LOGIN, "abc1", "mdm", "d1"),
    "no device": lambda writing: writing.delete_mail_device(LOGIN, "abc1"),
    "no inventory": lambda writing: writing.delete_inventory("mdm", "d1"),
    "no person": lambda writing: writing.delete_person(LOGIN),
    "no messages": lambda writing: writing.forget_messages(10.0),
}


async def test_a_unit_reads_what_is_there_after_each_of_its_writes(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/s.db", writable=True)

    async def work(writing: Writing) -> None:
        assert isinstance(writing, SqlWriting)
        assert isinstance(writing._rows, RememberedRows)
        fresh = SqlReading(writing._rows._rows, writing._sequence, writing._incarnation)
        for name, write in WRITES.items():
            before = await everything(writing)
            assert before == await everything(fresh)
            await write(writing)
            after = await everything(writing)
            assert after == await everything(fresh), name
            assert after != before, f"{name}: nothing shows it"

    await store.write(work)
    await store.close()


async def test_a_unit_asks_once(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/s.db", writable=True)

    async def work(writing: Writing) -> None:
        await writing.put_person(person())
        # Known from here on: each message is held against it.
        await writing.evidence_told()
        database = counted(writing)
        assert await writing.person_by_login(LOGIN) == await writing.person_by_login(LOGIN) == person()
        assert database.asked == 1
        await writing.put_message("mdm", "m1", StoredMessage("0" * 64, "applied", 1, 1.0))
        await writing.person_by_login(LOGIN)
        assert database.asked == 1
        await writing.put_person(person(LOGIN, "ann2@corp.example"))
        asked = database.asked
        assert await writing.person_by_login(LOGIN) == person(LOGIN, "ann2@corp.example")
        assert database.asked == asked + 1

    await store.write(work)

    async def another(writing: Writing) -> None:
        database = counted(writing)
        await writing.person_by_login(LOGIN)
        assert database.asked == 1

    await store.write(another)
    await store.close()


async def test_the_keys_of_an_inventory_go_with_it(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/s.db", writable=True)

    async def work(writing: Writing) -> None:
        await writing.put_inventory(inventory())
        assert await writing.inventories_by_key("serial", "S-d1")
        await writing.delete_inventory("mdm", "d1")
        assert not await writing.inventories_by_key("serial", "S-d1")

    await store.write(work)
    await store.close()


@pytest.mark.parametrize(("people", "asked"), [(ROWS_AT_MOST, 1), (ROWS_AT_MOST + 1, 2)])
async def test_a_long_answer_is_not_kept(tmp_path: Path, people: int, asked: int) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/s.db", writable=True)

    async def work(writing: Writing) -> None:
        for number in range(people):
            await writing.put_person(person(f"user{number}@corp.example"))
        database = counted(writing)
        assert len(await writing.people()) == len(await writing.people()) == people
        assert database.asked == asked

    await store.write(work)
    await store.close()


async def test_units_of_one_transaction_share_what_they_read_but_not_what_was_undone(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/gatepost.db", writable=True)
    await store.write(lambda writing: writing.put_source(source()))
    asked: list[int] = []

    async def reads(writing: Writing) -> object:
        assert isinstance(writing, SqlWriting)
        rows = writing._rows
        assert isinstance(rows, RememberedRows)
        before = len(rows._known)
        found = await writing.source("mdm"), await writing.person_by_login(LOGIN)
        asked.append(len(rows._known) - before)
        return found

    async def undone(writing: Writing) -> None:
        await writing.put_person(person(LOGIN))
        assert await writing.person_by_login(LOGIN) is not None
        raise ValueError

    units = [store.write(reads), store.write(reads), store.write(undone), store.write(reads)]
    first, second, failed, third = await asyncio.gather(*units, return_exceptions=True)
    assert isinstance(failed, ValueError)
    assert asked == [2, 0, 2], "one transaction: the second asks nothing, and after what was undone all is asked anew"
    for each in (first, second, third):
        assert not isinstance(each, BaseException)
        assert each[0] == (source(), None)
    await store.close()
