"""What is looked up for one person's record: by every name, at one moment, by the rules of now."""

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState, Tombstone
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import App, DeviceKey, Platform, Scope
from gateway.inventory.records import load_record, read_keys
from gateway.ports.store import MailDevice, Person, PinnedBinding, Writing
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import OTHER_SECRET, RULES, source

ANN, SMITH = "ann@example.com", "a.smith@example.com"


async def test_nobody(chain: Chain) -> None:
    record = await chain.record("nobody@example.com")
    assert (record.person_id, record.known, record.logins) == ("nobody@example.com", False, ("nobody@example.com",))
    assert (record.devices, record.unbound, record.groups) == ({}, (), frozenset())


async def test_what_all_names_collected_is_one_record(chain: Chain) -> None:
    stone = Tombstone(App(Platform.ANDROID, TIKTOK), "agents", 5.0)

    async def stones(writing: Writing) -> None:
        await writing.put_tombstones(ANN, "phone1", [stone])
        await writing.put_tombstones(SMITH, "phone1", [stone, Tombstone(stone.app, "others", 6.0)])
        await writing.put_tombstones(SMITH, "phone3", [stone])

    await chain.store.write(stones)
    await chain.write(
        MailDevice(ANN, "phone1", 50.0, 60.0),
        MailDevice(SMITH, "phone1", 40.0, 70.0),
        MailDevice(SMITH, "phone2", 30.0, 70.0),
        Person(ANN, (SMITH,), frozenset({"sales"})),
    )
    for login in (ANN, SMITH):
        record = await chain.record(login)
        assert (record.person_id, record.known, record.logins) == (ANN, True, (ANN, SMITH))
        assert record.groups == {"sales"}
        assert set(record.devices) == {"phone1", "phone2", "phone3"}
        assert record.devices["phone1"].first_seen_at == 40.0
        assert len(record.devices["phone1"].tombstones) == 2
        assert record.devices["phone3"].first_seen_at is None


async def test_inventories_without_a_mail_device(chain: Chain) -> None:
    await chain.post(full(1, (GMAIL,), device=names(ANN, serial="S1")))
    record = await chain.record(ANN)
    assert record.devices == {}
    (only,) = record.unbound
    assert [source.source_id for source in only.sources] == ["agents"]


async def test_names_are_read_by_the_rules_of_now(chain: Chain) -> None:
    """Not by those in force when the report came."""
    await chain.write(MailDevice("ann@new.example", "phone1", 1.0, 2.0))
    await chain.post(full(1, (TIKTOK,), device=names("ann@example.com", eas=["phone1"])))
    async with chain.store.read() as reading:
        before = await load_record(reading, "ann@new.example", RULES)
        after = await load_record(reading, "ann@new.example", identity_rules("", {"example.com": "new.example"}))
    assert before.devices["phone1"].binding is BindingState.UNMATCHED
    assert after.devices["phone1"].binding is BindingState.BOUND


async def test_evidence_of_a_removed_source_ages_as_before(chain: Chain) -> None:
    await chain.write(source(max_age=3600.0))
    await chain.post(full(1, device=names(ANN, eas=["phone1"])))
    await chain.write(source(max_age=3600.0, removed_at=NOW, secrets=()))
    (evidence,) = (await chain.device(ANN, "phone1")).sources
    assert evidence.max_age == 3600.0


async def test_all_sources_of_a_device_are_there(chain: Chain) -> None:
    await chain.write(source("others", secrets=(OTHER_SECRET,), max_scope=Scope.MANAGED_ONLY))
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(ANN, eas=["phone1"])))
    await chain.post(full(1, (TIKTOK,), subject="x9", device=names(ANN, eas=["phone1"])), secret=OTHER_SECRET)
    device = await chain.device(ANN, "phone1")
    assert device.binding is BindingState.BOUND
    assert {(each.source_id, each.scope) for each in device.sources} == {
        ("agents", Scope.DEVICE),
        ("others", Scope.MANAGED_ONLY),
    }
    assert await chain.is_hit(ANN, "phone1")


async def test_only_what_was_reported_can_be_pinned(chain: Chain) -> None:
    for change in (chain.pin, chain.unpin):
        with pytest.raises(InvalidValue, match="source agents has reported no device d1"):
            await change(PinnedBinding(ANN, "phone1", "agents", "d1", True, "root", NOW))
    assert await chain.told() == set()


def test_keys_in_every_spelling() -> None:
    keys = [
        DeviceKey("user", "EXAMPLE\\Ann"),
        DeviceKey("email", "ANN@example.com"),
        DeviceKey("upn", "bob@example.com"),
        DeviceKey("user", "a@b@c"),
        DeviceKey("user", "x" * 300),
        DeviceKey("eas_device_id", " PHONE1 "),
        DeviceKey("eas_device_id", "phone-2"),
        DeviceKey("eas_device_id", "70686F6E6531"),
        DeviceKey("serial", "not@a@login"),
    ]
    read = read_keys(keys, RULES)
    assert read.logins == (ANN, "bob@example.com")
    assert read.device_ids == ("phone1",)
    assert read.unreadable == ("user", "eas_device_id")


async def test_a_source_cannot_write_canonical_keys_itself(chain: Chain) -> None:
    """Key types of our own in a payload are refused; those of the store follow from the source's alone."""
    await chain.post(full(1, device=names("EXAMPLE\\Ann", eas=["PHONE1"])))
    inventory = await chain.inventory()
    assert inventory is not None
    assert {(key.type, key.value) for key in inventory.device_keys} == {
        ("user", "EXAMPLE\\Ann"),
        ("eas_device_id", "PHONE1"),
        ("login", ANN),
        ("eas", "phone1"),
    }


async def test_what_a_disbelieved_source_said_counts_no_more(chain: Chain) -> None:
    """A source in the wrong hands may have called everybody's phone dirty, and age takes no hit away."""
    await chain.write(MailDevice(ANN, "phone1", 1.0, 2.0), source("others", secrets=(OTHER_SECRET,)))
    await chain.post(full(1, (GMAIL,), device=names(ANN, eas=["phone1"])), secret=OTHER_SECRET)
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names("bob", eas=["phone1"])))
    await chain.post(full(1, (TIKTOK,), subject="d2", device=names(ANN, eas=["phone2"])))
    await chain.ingest.check_out("agents", "d2")
    assert await chain.is_hit(ANN, "phone1")
    assert await chain.is_hit(ANN, "phone2")
    assert (await chain.device(ANN, "phone1")).binding is BindingState.CONFLICT
    await chain.write(source(devices="", removed_at=NOW, secrets=()))
    record = await chain.record(ANN)
    assert set(record.devices) == {"phone1"}
    assert record.devices["phone1"].binding is BindingState.BOUND
    assert not await chain.is_hit(ANN, "phone1")
    # What comes later leaves nothing of it behind either.
    await chain.post(full(2, (GMAIL,), device=names(ANN, eas=["phone1"])), secret=OTHER_SECRET)
    assert not await chain.is_hit(ANN, "phone1")
    assert (await chain.device(ANN, "phone1")).tombstones == ()
