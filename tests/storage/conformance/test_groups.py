"""Units that share a transaction read and leave what they would have, one after the other; in every store."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import DeviceKey, Inventory
from gateway.ports.store import (
    Conflict,
    ForeseenReport,
    ForeseenWork,
    IssuedCredential,
    Person,
    PinnedBinding,
    Reading,
    Store,
    StoredMessage,
    UnderLogin,
    Writing,
)
from gateway.storage.memory import MemoryStore
from gateway.storage.past_rows import PastKind
from tests.support.stored_values import app, inventory, mail_device, source

Act: TypeAlias = Callable[[Writing], Awaitable[object]]
Work: TypeAlias = Callable[[Writing], Awaitable[list[object]]]
NAMES, DEVICES = ("ann", "bob", "cy"), ("d1", "d2", "d3")
IDS = ("abc1", "appl0000000001")
UNITS = 80


class Undone(Exception):  # noqa: N818
    """What a unit raises that is not to stay."""


def stated(draw: random.Random) -> Inventory:
    keys = [DeviceKey("serial", draw.choice(("0000000001", "S2"))), DeviceKey("login", draw.choice(NAMES))]
    keys += [DeviceKey("eas", each) for each in IDS if draw.random() < 0.5]
    chosen = tuple(draw.sample(keys, draw.randint(1, len(keys))))
    made = inventory(draw.choice(DEVICES), apps=draw.randint(0, 4), keys=chosen)
    return replace(made, sequence=draw.randrange(9), received_at=float(draw.randrange(99)))


def an_act(draw: random.Random) -> Act:
    """One step of a unit."""
    name, device, device_id = draw.choice(NAMES), draw.choice(DEVICES), draw.choice(IDS)
    alias = (draw.choice(NAMES),) if draw.random() < 0.2 else ()
    fresh, at = stated(draw), float(draw.randrange(99))
    message = StoredMessage("0" * 64, "applied", draw.randrange(9), at)
    pin = PinnedBinding(name, device_id, "mdm", device, bound=draw.random() < 0.5, author="root", at=at)
    credential = IssuedCredential(f"c{draw.randrange(3)}", name, device_id, "f" * 64, "", "", "root", at)
    stones = [Tombstone(app(1), "mdm", at)] if draw.random() < 0.7 else []

    async def put_inventory(writing: Writing) -> None:
        before = await writing.inventory("mdm", fresh.source_device)
        await writing.put_inventory(fresh, fresh.apps, before=before)

    acts: list[Act] = [
        put_inventory,
        put_inventory,
        lambda writing: writing.put_message("mdm", device, message),
        lambda writing: writing.put_person(Person(name, alias, frozenset({"sales"}), origin="mdm")),
        lambda writing: writing.put_person(Person(name, origin="mdm")),
        lambda writing: writing.delete_person(name),
        lambda writing: writing.delete_inventory("mdm", device),
        lambda writing: writing.put_mail_device(mail_device(name, device_id, at)),
        lambda writing: writing.delete_mail_device(name, device_id),
        lambda writing: writing.put_pin(pin),
        lambda writing: writing.delete_pin(name, device_id, "mdm", device),
        lambda writing: writing.put_tombstones(name, device_id, stones),
        lambda writing: writing.put_credential(credential),
        lambda writing: writing.put_source(replace(source(), max_age=at)),
        lambda writing: writing.forget_messages(at),
        lambda writing: writing.erase_rows([name]),
    ]
    return draw.choice(acts)


async def seen(reading: Reading) -> list[object]:
    """What reports look at, and some of what they do not."""
    found: list[object] = [await reading.source("mdm"), await reading.people(), await reading.all_mail_devices()]
    for name in NAMES:
        found += [await reading.person_by_login(name), await reading.inventories_by_key("login", name)]
        found += [await reading.under_login(name), await reading.pins_of_person(name)]
        found += [await reading.tombstones(name, device_id) for device_id in IDS]
    for device in DEVICES:
        found += [await reading.inventory("mdm", device), await reading.message("mdm", device)]
        found.append(await reading.pins_of_inventory("mdm", device))
    for device_id in IDS:
        found += [await reading.people_with_device(device_id), await reading.inventories_by_key("eas", device_id)]
    found += [await reading.inventories_by_key("serial", each) for each in ("0000000001", "s2", "other")]
    return found


def a_unit(draw: random.Random) -> tuple[Work, ForeseenReport | None]:
    """Some acts with a look before, in between or only at the end; now and then it does not stay."""
    acts = [an_act(draw) for _ in range(draw.randint(1, 3))]
    looks = [draw.random() < 0.3 for _ in acts]
    undone = draw.random() < 0.2

    async def work(writing: Writing) -> list[object]:
        found: list[object] = []
        for act, look in zip(acts, looks, strict=True):
            found += await seen(writing) if look else []
            await act(writing)
        if undone:
            raise Undone
        return found + (await seen(writing) if looks[0] else [])

    report = ForeseenReport("mdm", draw.choice(DEVICES), draw.choice(DEVICES), tuple(draw.sample(NAMES, 2)), IDS)
    return work, report if draw.random() < 0.6 else None


async def outcome(store: Store, work: Work) -> object:
    try:
        return comparable((await store.write(work))[0])
    except (Undone, Conflict) as error:
        return type(error)


def comparable(found: object) -> object:
    """Lists and tuples alike, whatever a store gives."""
    if isinstance(found, list | tuple):
        return [comparable(each) for each in found]
    if isinstance(found, UnderLogin):
        return [comparable(getattr(found, name)) for name in UnderLogin.__slots__]
    return found


async def test_units_together_are_what_they_are_one_by_one(store: Store) -> None:
    for seed in range(2):
        draw = random.Random(seed)
        units = [a_unit(draw) for _ in range(UNITS)]
        works: list[Work] = [ForeseenWork(work, report) if report else work for work, report in units]
        model = MemoryStore()
        await model.write(wiped)
        singly = [await outcome(model, work) for work, _ in units]
        await store.write(wiped)
        together = await asyncio.gather(*(outcome(store, work) for work in works))
        for number, (one, other) in enumerate(zip(singly, together, strict=True)):
            assert one == other, f"seed {seed}, unit {number}"
        assert sum(each is Undone for each in singly) > UNITS // 20
        async with store.read() as reading, model.read() as expected:
            assert comparable(await seen(reading)) == comparable(await seen(expected))


async def wiped(writing: Writing) -> None:
    """As it was at the beginning, the past aside."""
    for device in DEVICES:
        await writing.delete_inventory("mdm", device)
        for name in NAMES:
            for device_id in IDS:
                await writing.delete_pin(name, device_id, "mdm", device)
    for name in NAMES:
        await writing.delete_person(name)
        for device_id in IDS:
            await writing.delete_mail_device(name, device_id)
            await writing.put_tombstones(name, device_id, [])
    await writing.erase_rows(NAMES)
    await writing.forget_messages(1e9)
    await writing.put_source(source())


async def test_the_way_back_has_each_state_of_a_group(store: Store) -> None:
    """Of three reports about one device that came together each is a step, in their order."""
    report = ForeseenReport("mdm", "m", "d1", ("ann",), ())

    def putting(number: int) -> ForeseenWork[None]:
        async def work(writing: Writing) -> None:
            before = await writing.inventory("mdm", "d1")
            assert (before.sequence if before else 0) == number - 1
            fresh = replace(inventory("d1", apps=number), sequence=number)
            await writing.put_inventory(fresh, fresh.apps, before=before)
            if before is None:
                await writing.put_person(Person("ann"))

        return ForeseenWork(work, report)

    await asyncio.gather(*(store.write(putting(number)) for number in (1, 2, 3)))
    async with store.read() as reading:
        # What the stores have in common beyond ``ports``.
        within: Any = reading
        steps = await within.inventory_steps("mdm", "d1", 0.0)
        past = await within.past_rows(PastKind.PERSON, "ann", 0.0)
        found = await reading.inventory("mdm", "d1")
    assert found is not None
    assert found.sequence == 3
    assert [step.undo and step.undo.fields.get("sequence") for step in steps] == [2, 1, None]
    assert [(row.key, row.content) for row in past] == [("", None)]
