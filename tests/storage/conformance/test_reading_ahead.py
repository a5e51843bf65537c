"""What is read ahead for many people is what each of them would have been read as, in every store."""

import random
from collections.abc import Sequence

from gateway.domain.evidence import PersonRecord, Tombstone
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import DeviceKey
from gateway.inventory.records import load_record
from gateway.ports.store import IssuedCredential, Person, PinnedBinding, Reading, Store, Writing
from tests.support.stored_values import app, inventory, mail_device, source

RULES = identity_rules("corp.example", {})
PEOPLE, DEVICES, INVENTORIES = 40, 60, 80


def login(number: int) -> str:
    return f"p{number:02}@corp.example"


async def tangle(writing: Writing) -> None:
    """People with aliases, and devices, pins, tombstones and inventories of one another."""
    draw = random.Random(7)
    for name in ("mdm", "agent"):
        await writing.put_source(source(name))
    for number in range(0, PEOPLE, 3):
        groups = frozenset({"sales"}) if number % 2 else frozenset()
        await writing.put_person(Person(login(number), (login(number + 1),), groups))
    for _ in range(DEVICES):
        await writing.put_mail_device(mail_device(login(draw.randrange(PEOPLE)), device(draw), draw.random() * 100))
    for number in range(INVENTORIES):
        kinds = ("user", login(draw.randrange(PEOPLE))), ("eas_device_id", device(draw)), ("serial", device(draw)[4:])
        own = [DeviceKey(*each) for each in kinds if draw.random() < 0.7] or [DeviceKey("serial", "none")]
        read = [DeviceKey(kind, key.value.casefold()) for key in own for kind in canonical(key)]
        origin = draw.choice(("mdm", "agent", "gone"))
        await writing.put_inventory(inventory(f"i{number}", apps=3, source=origin, keys=(*own, *read)))
    for number in range(PEOPLE):
        if draw.random() < 0.4:
            pin = PinnedBinding(login(number), device(draw), "mdm", f"i{draw.randrange(INVENTORIES)}", True, "x", 1.0)
            await writing.put_pin(pin)
        if draw.random() < 0.4:
            stones = [Tombstone(app(kind), "agent", 5.0) for kind in range(draw.randrange(1, 3))]
            await writing.put_tombstones(login(number), device(draw), stones)
        if draw.random() < 0.4:
            await writing.put_credential(
                IssuedCredential(f"c{number}", login(number), device(draw), "digest", "", "", "root", 1.0, None)
            )


def device(draw: random.Random) -> str:
    return f"appl{draw.randrange(40):010}"


def canonical(key: DeviceKey) -> Sequence[str]:
    return {"user": ("login",), "eas_device_id": ("eas",)}.get(key.type, ())


async def records(reading: Reading, logins: Sequence[str]) -> list[PersonRecord]:
    return [await load_record(reading, each, RULES) for each in logins]


async def test_records_are_the_same_with_and_without(store: Store) -> None:
    await store.write(tangle)
    logins = [login(number) for number in range(PEOPLE + 3)]
    singly = await store.read_at_once(lambda reading: records(reading, logins))
    assert sum(len(each.devices) for each in singly) > DEVICES // 2
    assert any(len(source.sources) > 1 for each in singly for source in each.devices.values())

    async def ahead(reading: Reading) -> list[PersonRecord]:
        await reading.read_ahead([*logins, logins[0]])
        return await records(reading, logins)

    async def half_ahead(reading: Reading) -> list[PersonRecord]:
        """The second call replaces the first; the others are read when they are asked for."""
        await reading.read_ahead(logins[:20])
        await reading.read_ahead(logins[20:30])
        return await records(reading, logins)

    assert await store.read_at_once(ahead) == singly
    async with store.read() as reading:
        assert await half_ahead(reading) == singly


async def test_what_stands_under_a_login_is_what_each_question_finds(store: Store) -> None:
    await store.write(tangle)
    async with store.read() as reading:
        for number in range(PEOPLE + 1):
            name = login(number)
            found = await reading.under_login(name)
            assert list(found.mail_devices) == list(await reading.mail_devices(name))
            assert list(found.pins) == list(await reading.pins_of_person(name))
            assert list(found.tombstoned) == list(await reading.tombstoned_devices(name))
            assert list(found.credentials) == list(await reading.credentials_of_person(name))


async def test_a_unit_of_work_reads_inventories_as_it_left_them(store: Store) -> None:
    serial = DeviceKey("serial", "S1")

    async def work(writing: Writing) -> None:
        assert await writing.inventories_by_key("serial", "s1") == []
        assert await writing.inventory("mdm", "d1") is None
        await writing.put_inventory(inventory("d1", apps=1, keys=(serial,)))
        (first,) = await writing.inventories_by_key("serial", "S1")
        assert first == await writing.inventory("mdm", "d1") == inventory("d1", apps=1, keys=(serial,))
        await writing.put_inventory(inventory("d1", apps=2, keys=(serial,)))
        assert await writing.inventories_by_key("serial", "s1") == [inventory("d1", apps=2, keys=(serial,))]
        await writing.put_inventory(inventory("d2", keys=(serial,)))
        assert [each.source_device for each in await writing.inventories_by_key("serial", "s1")] == ["d1", "d2"]
        await writing.put_inventory(inventory("d1", keys=(DeviceKey("serial", "other"),)))
        assert [each.source_device for each in await writing.inventories_by_key("serial", "s1")] == ["d2"]
        await writing.delete_inventory("mdm", "d2")
        assert await writing.inventories_by_key("serial", "s1") == []
        assert await writing.inventory("mdm", "d2") is None

    await store.write(work)
    async with store.read() as reading:
        assert await reading.inventories_by_key("serial", "s1") == []
        (left,) = await reading.inventories_by_key("serial", "OTHER")
        assert left.source_device == "d1"


async def test_what_is_not_a_record_is_untouched_by_it(store: Store) -> None:
    await store.write(tangle)
    async with store.read() as reading:
        before = await reading.people(), await reading.all_mail_devices(), await reading.sources()
        await reading.read_ahead([])
        await reading.read_ahead([login(0), "nobody@corp.example"])
        assert (await reading.people(), await reading.all_mail_devices(), await reading.sources()) == before
        assert await reading.person_by_login("nobody@corp.example") is None
        assert await reading.inventories_by_key("eas", "nothing") == []
