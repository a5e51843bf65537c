"""Who has a device, and forgetting people and devices, alike in every store."""

from gateway.domain.evidence import Tombstone
from gateway.ports.store import Conflict, PinnedBinding, Store, Writing
from tests.support.stored_values import app, mail_device, person


async def test_people_with_a_device_by_mail_pin_or_tombstone(store: Store) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mail_device(mail_device("ann@corp.example", "d1"))
        await writing.put_mail_device(mail_device("bob@corp.example", "d2"))
        await writing.put_pin(PinnedBinding("cat@corp.example", "d1", "mdm", "x", True, "root", 1.0))
        await writing.put_tombstones("dan@corp.example", "d1", (Tombstone(app(), "mdm", 1.0),))
        await writing.put_tombstones("ann@corp.example", "d1", (Tombstone(app(), "mdm", 1.0),))

    await store.write(work)
    async with store.read() as reading:
        assert await reading.people_with_device("d1") == ["ann@corp.example", "cat@corp.example", "dan@corp.example"]
        assert await reading.people_with_device("d2") == ["bob@corp.example"]
        assert await reading.people_with_device("D1") == []


async def test_a_forgotten_person_frees_the_logins_and_keeps_the_devices(store: Store) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_person(person("ann@corp.example", "a@corp.example"))
        await writing.put_mail_device(mail_device("ann@corp.example", "d1"))

    await store.write(work)
    await store.write(lambda writing: writing.delete_person("ann@corp.example"))
    await store.write(lambda writing: writing.delete_person("nobody@corp.example"))
    await store.write(lambda writing: writing.put_person(person("bob@corp.example", "a@corp.example")))
    async with store.read() as reading:
        assert await reading.person_by_login("ann@corp.example") is None
        assert await reading.person_by_login("a@corp.example") == person("bob@corp.example", "a@corp.example")
        assert len(await reading.mail_devices("ann@corp.example")) == 1


async def test_logins_freed_in_the_same_unit(store: Store) -> None:
    await store.write(lambda writing: writing.put_person(person("ann@corp.example", "a@corp.example")))

    async def work(writing: Writing) -> bool:
        try:
            await writing.put_person(person("bob@corp.example", "ann@corp.example"))
        except Conflict:
            await writing.delete_person("ann@corp.example")
            await writing.put_person(person("bob@corp.example", "ann@corp.example"))
            return True
        return False

    freed, _ = await store.write(work)
    assert freed
    async with store.read() as reading:
        owner = await reading.person_by_login("ann@corp.example")
        assert owner is not None
        assert owner.person_id == "bob@corp.example"


async def test_a_forgotten_mail_device(store: Store) -> None:
    await store.write(lambda writing: writing.put_mail_device(mail_device("ann@corp.example", "d1")))
    await store.write(lambda writing: writing.put_mail_device(mail_device("ann@corp.example", "d2")))
    await store.write(lambda writing: writing.delete_mail_device("ann@corp.example", "d1"))
    await store.write(lambda writing: writing.delete_mail_device("ann@corp.example", "other"))
    async with store.read() as reading:
        assert [device.device_id for device in await reading.mail_devices("ann@corp.example")] == ["d2"]
