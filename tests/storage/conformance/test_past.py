"""What stood in a store at an earlier moment, alike in every store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import DeviceKey
from gateway.domain.policy import first_policy
from gateway.ports.past import AppsAdded, EvidenceReading
from gateway.ports.store import IssuedCredential, PinnedBinding, Store, StoredMessage, Writing
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.support.stored_values import app, inventory, mail_device, person, source

ANN, BOB = "ann@corp.example", "bob@corp.example"
ALIAS = "a.smith@corp.example"


class Clock:
    """The store's, moved by the test."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    memory = request.param == "memory"
    url = f"sqlite:///{tmp_path}/gatepost.db"
    opened: Store = MemoryStore(now=clock) if memory else await open_store(url, writable=True, now=clock)
    yield opened
    await opened.close()


Put = Callable[[Writing], Awaitable[Any]]


async def history(store: Store, clock: Clock, *puts: Put) -> None:
    """One unit of work each second from 100 on."""
    for at, put in enumerate(puts, start=100):
        clock.at = float(at)
        await store.write(put)


async def over_time(store: Store, count: int, ask: Callable[[EvidenceReading], Awaitable[Any]]) -> list[Any]:
    """The answers just before each of the first ``count`` units, and behind the last one of them."""
    async with store.read() as reading:
        return [await ask(reading.as_of(99.5 + place)) for place in range(count + 1)]


async def test_states_of_an_inventory(store: Store, clock: Clock) -> None:
    first = inventory("d1")
    quiet = replace(first, generated_at=2000.0, received_at=2001.0, sequence=8, full_at=2000.0)
    dirty = replace(quiet, generated_at=3000.0, apps=(app(9), *first.apps[::-1]))
    again = replace(first, sequence=1)
    await history(
        store,
        clock,
        lambda writing: writing.put_inventory(first, first.apps),
        lambda writing: writing.put_inventory(quiet, before=first),
        lambda writing: writing.put_inventory(dirty, (app(9),), before=quiet),
        lambda writing: writing.delete_inventory("mdm", "d1"),
        lambda writing: writing.put_inventory(again, again.apps),
    )
    told = await over_time(store, 5, lambda then: then.inventory("mdm", "d1"))
    assert told == [None, first, quiet, dirty, None, again]


async def test_a_device_is_found_by_what_it_was_called(store: Store, clock: Clock) -> None:
    of_ann = inventory("d1", keys=(DeviceKey("login", ANN), DeviceKey("serial", "S-1")))
    of_bob = replace(of_ann, device_keys=(DeviceKey("login", BOB), DeviceKey("serial", "S-1")))
    await history(
        store,
        clock,
        lambda writing: writing.put_inventory(of_ann),
        lambda writing: writing.put_inventory(of_bob, before=of_ann),
        lambda writing: writing.delete_inventory("mdm", "d1"),
    )
    assert await over_time(store, 3, lambda then: then.inventories_by_key("login", ANN)) == [[], [of_ann], [], []]
    assert await over_time(store, 3, lambda then: then.inventories_by_key("login", BOB)) == [[], [], [of_bob], []]
    serial = await over_time(store, 3, lambda then: then.inventories_by_key("serial", "s-1"))
    assert serial == [[], [of_ann], [of_bob], []]


async def test_people_with_groups_and_aliases(store: Store, clock: Clock) -> None:
    await history(
        store,
        clock,
        lambda writing: writing.put_person(person(ALIAS)),
        lambda writing: writing.put_person(person(ANN)),
        lambda writing: writing.delete_person(ALIAS),
        lambda writing: writing.put_person(replace(person(ANN, ALIAS), groups=frozenset({"board"}))),
        lambda writing: writing.put_person(replace(person(ANN), groups=frozenset())),
        lambda writing: writing.put_person(person(BOB, ALIAS)),
    )

    async def who(then: EvidenceReading) -> list[tuple[str, tuple[str, ...], list[str]] | None]:
        found = [await then.person_by_login(login) for login in (ANN, ALIAS)]
        return [(each.person_id, each.aliases, sorted(each.groups)) if each else None for each in found]

    usual = ["all", "sales"]
    alone, alias_alone = (ANN, (), usual), (ALIAS, (), usual)
    assert await over_time(store, 6, who) == [
        [None, None],
        [None, alias_alone],
        [alone, alias_alone],
        [alone, None],
        [(ANN, (ALIAS,), ["board"])] * 2,
        [(ANN, (), []), None],
        [(ANN, (), []), (BOB, (ALIAS,), usual)],
    ]


async def test_pins_tombstones_and_sources(store: Store, clock: Clock) -> None:
    pin = PinnedBinding(ANN, "abc1", "mdm", "d1", True, "root", 1.0)
    stone = Tombstone(app(), "mdm", 5.0)
    short = replace(source(), max_age=60.0)
    await history(
        store,
        clock,
        lambda writing: writing.put_pin(pin),
        lambda writing: writing.put_pin(replace(pin, bound=False)),
        lambda writing: writing.delete_pin(ANN, "abc1", "mdm", "d1"),
        lambda writing: writing.put_tombstones(ANN, "abc1", [stone]),
        lambda writing: writing.put_tombstones(ANN, "abc1", []),
        lambda writing: writing.put_source(source()),
        lambda writing: writing.put_source(short),
        lambda writing: writing.put_source(replace(short, removed_at=106.0, devices="")),
    )
    pins = await over_time(store, 8, lambda then: then.pins_of_person(ANN))
    assert [[each.bound for each in found] for found in pins] == [[], [True], [False], *[[]] * 6]
    stones = await over_time(store, 8, lambda then: then.tombstones(ANN, "abc1"))
    assert [list(each) for each in stones] == [*[[]] * 4, [stone], *[[]] * 4]
    assert await over_time(store, 8, lambda then: then.tombstoned_devices(ANN)) == [*[[]] * 4, ["abc1"], *[[]] * 4]
    sources = await over_time(store, 8, lambda then: then.source("mdm"))
    assert [each and (each.max_age, each.disbelieved) for each in sources] == [
        *[None] * 6,
        (86400.0, False),
        (60.0, False),
        (60.0, True),
    ]
    assert not any(each.secrets for each in sources[:-1] if each)


async def test_mail_devices_and_credentials(store: Store, clock: Clock) -> None:
    issued = IssuedCredential("aaaaaaaa", ANN, "abc1", "f" * 64, "", "", "root", 103.0)
    await history(
        store,
        clock,
        lambda writing: writing.put_mail_device(mail_device(ANN, "abc1", seen=100.0)),
        lambda writing: writing.delete_mail_device(ANN, "abc1"),
        lambda writing: writing.put_mail_device(mail_device(ANN, "abc1", seen=102.0)),
        lambda writing: writing.put_credential(issued),
        lambda writing: writing.put_credential(replace(issued, revoked_at=104.0)),
    )
    devices = await over_time(store, 5, lambda then: then.mail_devices(ANN))
    assert [[each.first_seen_at for each in found] for found in devices] == [[], [100.0], [], *[[102.0]] * 3]
    credentials = await over_time(store, 5, lambda then: then.credentials_of_person(ANN))
    assert [[each.revoked_at for each in found] for found in credentials] == [*[[]] * 4, [None], [104.0]]


async def test_the_policy_of_then(store: Store, clock: Clock) -> None:
    first = first_policy(100.0)
    await history(
        store,
        clock,
        lambda writing: writing.put_policy(first),
        lambda writing: writing.put_policy(replace(first, number=2, created_at=101.0)),
    )
    async with store.read() as reading:
        found = [await reading.policy_at(at) for at in (99.9, 100.0, 100.9, 101.0, 500.0)]
    assert [each and each.number for each in found] == [None, 1, 1, 2, 2]


async def test_the_past_is_forgotten_from_its_beginning(store: Store, clock: Clock) -> None:
    states = [inventory("d1"), replace(inventory("d1"), sequence=8), replace(inventory("d1"), sequence=9)]
    await history(
        store,
        clock,
        lambda writing: writing.put_inventory(states[0]),
        lambda writing: writing.put_person(person(ANN)),
        lambda writing: writing.put_inventory(states[1], before=states[0]),
        lambda writing: writing.put_person(replace(person(ANN), groups=frozenset())),
        lambda writing: writing.put_inventory(states[2], before=states[1]),
    )
    async with store.read() as reading:
        assert await reading.past_since() == 0.0
    gone, _ = await store.write(lambda writing: writing.forget_past(101.5, 100))
    assert gone == 2
    async with store.read() as reading:
        assert await reading.past_since() == 101.5
        assert await reading.as_of(102.5).inventory("mdm", "d1") == states[1]
        known = await reading.as_of(102.5).person_by_login(ANN)
        assert known is not None
        assert sorted(known.groups) == ["all", "sales"]
    last, _ = await store.write(lambda writing: writing.forget_past(1e6, 100))
    assert last == 3
    assert await store.write(lambda writing: writing.forget_past(1e6, 100)) == (0, ())


async def test_another_life_of_a_store_has_no_past(store: Store, clock: Clock) -> None:
    clock.at = 500.0
    await store.write(lambda writing: writing.put_incarnation("another"))
    async with store.read() as reading:
        assert await reading.past_since() == 500.0


async def test_an_erased_past_names_nobody(store: Store, clock: Clock) -> None:
    of_ann = inventory("d1", keys=(DeviceKey("user", "CORP\\Ann"), DeviceKey("login", ANN), DeviceKey("serial", "S-1")))
    of_bob = replace(of_ann, device_keys=(DeviceKey("user", BOB), DeviceKey("login", BOB), DeviceKey("serial", "S-1")))
    own = inventory("d2", keys=(DeviceKey("login", ANN),))
    await history(
        store,
        clock,
        lambda writing: writing.put_inventory(of_ann),
        lambda writing: writing.put_inventory(of_bob, before=of_ann),
        lambda writing: writing.put_inventory(own),
        lambda writing: writing.delete_inventory("mdm", "d2"),
        lambda writing: writing.put_person(person(ANN, ALIAS)),
        lambda writing: writing.put_person(person(ANN)),
        lambda writing: writing.put_person(person(BOB, ALIAS)),
        lambda writing: writing.delete_person(ANN),
        lambda writing: writing.erase_past([ANN], [("mdm", "d2")]),
    )
    async with store.read() as reading:
        then = reading.as_of(105.5)
        assert await then.person_by_login(ANN) is None
        assert await then.inventories_by_key("login", ANN) == []
        assert await then.inventory("mdm", "d2") is None
        kept = await reading.as_of(100.5).inventory("mdm", "d1")
        assert kept is not None
        assert (kept.apps, kept.device_keys) == (of_ann.apps, (DeviceKey("serial", "S-1"),))
        assert await reading.as_of(101.5).inventory("mdm", "d1") == of_bob


async def test_what_else_stands_under_a_name_is_erased(store: Store, clock: Clock) -> None:
    async def work(writing: Writing) -> None:
        for login in (ANN, BOB):
            await writing.put_mail_device(mail_device(login, "abc1", seen=5.0))
            await writing.put_pin(PinnedBinding(login, "abc1", "mdm", "d1", True, "root", 1.0))
            await writing.put_tombstones(login, "abc1", [Tombstone(app(), "mdm", 5.0)])
            name = login[:3] * 3
            await writing.put_credential(IssuedCredential(name, login, "abc1", name, "", "", "root", 1.0))
        writing.log_people([ANN, BOB])

    await store.write(work)
    await store.write(lambda writing: _logged(writing, BOB))
    gone, _ = await store.write(lambda writing: writing.erase_rows([ANN]))
    assert gone == {"mail_devices": 1, "pins": 1, "tombstones": 1, "credentials": 1, "notices": 0}
    blank, _ = await store.write(lambda writing: writing.blank_changes([ANN]))
    assert blank == 1
    async with store.read() as reading:
        assert await reading.people_with_device("abc1") == [BOB]
        assert [each.id for each in await reading.credentials()] == ["bobbobbob"]
        changes = await reading.changes_after(0)
    assert changes is not None
    assert [(each.kind.value, each.names) for each in changes] == [("everybody", ()), ("person", (BOB,))]


async def _logged(writing: Writing, login: str) -> None:
    writing.log_people([login])


async def test_who_has_a_silent_device(store: Store, clock: Clock) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mail_device(mail_device(ANN, "abc1", seen=5.0))
        await writing.put_mail_device(mail_device(BOB, "abc2", seen=5000.0))
        await writing.put_inventory(inventory("d1", keys=(DeviceKey("login", "cy@corp.example"),)))

    await store.write(work)
    async with store.read() as reading:
        assert await reading.people_with_silent(2000.0, "", 10) == [ANN, "cy@corp.example"]
        assert await reading.people_with_silent(2000.0, ANN, 10) == ["cy@corp.example"]
        assert await reading.people_with_silent(2000.0, "", 1) == [ANN]
        assert await reading.people_with_silent(3.0, "", 10) == []


async def acted(store: Store, clock: Clock) -> list[object]:
    """Everything that there is to do to a past, and what is known of it at each moment."""
    of_ann = inventory("d1", keys=(DeviceKey("login", ANN), DeviceKey("serial", "S-1")))
    of_bob = replace(of_ann, device_keys=(DeviceKey("login", BOB),), apps=of_ann.apps[::-1], sequence=8)
    pin = PinnedBinding(ANN, "abc1", "mdm", "d1", True, "root", 1.0)
    acts: tuple[Put, ...] = (
        lambda writing: writing.put_policy(first_policy(100.0)),
        lambda writing: writing.put_source(source()),
        lambda writing: writing.put_inventory(of_ann, of_ann.apps),
        lambda writing: writing.put_person(person(ANN, ALIAS)),
        lambda writing: writing.put_pin(pin),
        lambda writing: writing.put_tombstones(ANN, "abc1", [Tombstone(app(), "mdm", 5.0)]),
        lambda writing: writing.put_mail_device(mail_device(ANN, "abc1", seen=106.0)),
        lambda writing: writing.put_inventory(of_bob, before=of_ann),
        lambda writing: writing.put_source(replace(source(), max_age=60.0)),
        lambda writing: writing.put_tombstones(ANN, "abc1", []),
        lambda writing: writing.delete_pin(ANN, "abc1", "mdm", "d1"),
        lambda writing: writing.put_person(person(ANN)),
        lambda writing: writing.delete_mail_device(ANN, "abc1"),
        lambda writing: writing.delete_inventory("mdm", "d1"),
        lambda writing: writing.put_message("mdm", "message-of-d1", StoredMessage("0" * 64, "applied", 1, 100.0)),
        lambda writing: writing.put_evidence_told(60.0),
    )

    async def known(then: EvidenceReading) -> list[object]:
        who = await then.person_by_login(ALIAS)
        stated = await then.source("mdm")
        return [
            who and (who.person_id, who.aliases, who.groups),
            stated and stated.max_age,
            await then.inventories_by_key("login", ANN),
            await then.inventories_by_key("login", BOB),
            [(each.device_id, each.first_seen_at) for each in await then.mail_devices(ANN)],
            await then.pins_of_person(ANN),
            list(await then.tombstones(ANN, "abc1")),
            await then.tombstoned_devices(ANN),
        ]

    await history(store, clock, *acts)
    found: list[object] = await over_time(store, len(acts), known)
    async with store.read() as reading:
        found += [
            await reading.past_since(),
            await reading.policy_at(99.0),
            await reading.policy_at(100.0),
            await reading.messages_naming("mdm", "of-d1", 10),
            await reading.people_with_silent(200.0, "", 10),
            await reading.messages_between(100.0, 101.0),
            await reading.evidence_told(),
            list(await reading.apps_added(100.0, 100)),
        ]
    last: tuple[Put, ...] = (
        lambda writing: writing.erase_messages("mdm", ["message-of-d1", "none"]),
        lambda writing: writing.erase_rows([ANN]),
        lambda writing: writing.erase_past([ANN, ALIAS], [("mdm", "d1")]),
        lambda writing: writing.blank_changes([ANN]),
        lambda writing: writing.forget_past(105.0, 100),
        lambda writing: writing.put_incarnation("another"),
    )
    found += [(await store.write(act))[0] for act in last]
    async with store.read() as reading:
        return [*found, await reading.past_since()]


@pytest.mark.live
async def test_the_same_on_postgres(new_database: Callable[[], str]) -> None:
    """In one go: making a database takes longer than everything else here."""
    clock, another = Clock(), Clock()
    store = await open_store(new_database(), writable=True, now=clock)
    try:
        assert await acted(store, clock) == await acted(MemoryStore(now=another), another)
    finally:
        await store.close()


async def test_what_reports_have_added_is_read_back_the_newest_first(store: Store, clock: Clock) -> None:
    one, two = inventory("d1"), inventory("d2")
    await history(
        store,
        clock,
        lambda writing: writing.put_inventory(one, (app(1),)),
        lambda writing: writing.put_inventory(two, (app(1), app(2))),
        lambda writing: writing.put_inventory(replace(one, sequence=9), (app(3),), before=one),
    )
    newest, second = AppsAdded("mdm", "d1", 102.0, (app(3),)), AppsAdded("mdm", "d2", 101.0, (app(1), app(2)))
    async with store.read() as reading:
        assert list(await reading.apps_added(100.0, 10)) == [newest, second]
        assert list(await reading.apps_added(100.0, 1)) == [newest]
        assert list(await reading.apps_added(102.0, 10)) == []
        assert len(await reading.apps_added(0.0, 10)) == 3
