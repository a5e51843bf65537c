"""Sightings: devices that asked for mail, written down once, kept up to date, and never too many of one person."""

import json

import pytest

from gateway.inventory import mail_devices as module
from gateway.inventory.mail_devices import Sighting, read_sightings
from gateway.ports.store import MailDevice, Person
from tests.inventory.chain import Chain

ANN, SMITH = "ann@example.com", "a.smith@example.com"


async def devices(chain: Chain, login: str = ANN) -> dict[str, MailDevice]:
    async with chain.store.read() as reading:
        return {device.device_id: device for device in await reading.mail_devices(login)}


def first(at: float = 100.0) -> Sighting:
    return Sighting(ANN, "phone1", at, "iPhone", "Apple/1", "16.1", "192.0.2.1", '{"Model": "x"}')


async def test_a_new_device_is_announced_once(chain: Chain) -> None:
    await chain.mail_devices.take([first(), first(101.0), Sighting(ANN, "phone2", 102.0)])
    assert await chain.told() == {ANN}
    assert (await devices(chain))["phone1"] == MailDevice(
        ANN, "phone1", 100.0, 101.0, "iPhone", "Apple/1", "16.1", "192.0.2.1", '{"Model": "x"}'
    )
    await chain.mail_devices.take([first(200.0)])
    assert await chain.told() == set()
    assert (await devices(chain))["phone1"].last_seen_at == 200.0
    await chain.mail_devices.take([])
    assert await chain.told() == set()


async def test_what_it_says_of_itself_is_kept_where_it_says_nothing(chain: Chain) -> None:
    await chain.mail_devices.take([first()])
    await chain.mail_devices.take([Sighting(ANN, "phone1", 150.0, user_agent="Apple/2")])
    device = (await devices(chain))["phone1"]
    assert (device.device_type, device.user_agent, device.client_address) == ("iPhone", "Apple/2", "192.0.2.1")


async def test_a_known_device_that_says_it_is_another_kind_is_announced(chain: Chain) -> None:
    """What a device is counts for Outlook mobile, and the index for previews hears of people by the change log."""
    await chain.mail_devices.take([first()])
    assert await chain.told() == {ANN}
    await chain.mail_devices.take([Sighting(ANN, "phone1", 150.0, "Outlook"), Sighting(ANN, "phone1", 160.0)])
    assert await chain.told() == {ANN}
    assert (await devices(chain))["phone1"].device_type == "Outlook"
    await chain.mail_devices.take([Sighting(ANN, "phone1", 170.0, "Outlook"), Sighting(ANN, "phone1", 165.0, "iPhone")])
    assert await chain.told() == set()
    # Of other kinds nothing depends.
    await chain.mail_devices.take([Sighting(ANN, "phone2", 100.0, "iPhone")])
    assert await chain.told() == {ANN}
    await chain.mail_devices.take([Sighting(ANN, "phone2", 150.0, "iPad")])
    assert await chain.told() == set()


async def test_all_logins_of_its_person_are_named(chain: Chain) -> None:
    await chain.write(Person(ANN, (SMITH,)))
    await chain.mail_devices.take([first()])
    await chain.told()
    await chain.mail_devices.take([Sighting(SMITH, "phone1", 150.0, "Outlook")])
    assert await chain.told() == {ANN, SMITH}


async def test_a_late_sighting_does_not_make_younger(chain: Chain) -> None:
    await chain.mail_devices.take([first(100.0)])
    await chain.mail_devices.take([Sighting(ANN, "phone1", 50.0, user_agent="Old/1")])
    device = (await devices(chain))["phone1"]
    assert (device.first_seen_at, device.last_seen_at, device.user_agent) == (50.0, 100.0, "Apple/1")


async def test_within_one_batch_the_order_does_not_matter(chain: Chain) -> None:
    await chain.mail_devices.take([Sighting(ANN, "phone1", 90.0), first(100.0), Sighting(ANN, "phone1", 80.0)])
    device = (await devices(chain))["phone1"]
    assert (device.first_seen_at, device.last_seen_at, device.device_type) == (80.0, 100.0, "iPhone")


async def test_an_alias_is_its_person(chain: Chain) -> None:
    await chain.write(Person(ANN, (SMITH,)))
    await chain.mail_devices.take([Sighting(SMITH, "phone1", 100.0), Sighting(ANN, "phone1", 101.0)])
    assert await chain.told() == {ANN, SMITH}
    assert set(await devices(chain)) == {"phone1"}
    assert await devices(chain, SMITH) == {}


async def test_who_invents_devices_gets_no_more(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEVICES_PER_PERSON", 5)
    await chain.mail_devices.take([Sighting(ANN, f"d{number}", 100.0) for number in range(3)])
    await chain.mail_devices.take([Sighting(ANN, f"d{number}", 200.0) for number in range(10)])
    found = await devices(chain)
    assert set(found) == {f"d{number}" for number in range(5)}
    # Those that are known go on, and so does everybody else.
    assert {device.last_seen_at for device in found.values()} == {200.0}
    await chain.mail_devices.take([Sighting(SMITH, "d9", 100.0)])
    assert set(await devices(chain, SMITH)) == {"d9"}


async def test_many_at_once_are_taken_piece_by_piece(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that comes meanwhile is not behind all of them; a store that fails keeps what it has."""
    monkeypatch.setattr(module, "DEVICES_AT_ONCE", 2)
    seen = [Sighting(f"u{number}@example.com", f"phone{number}", 100.0) for number in range(5)]
    await chain.mail_devices.take(seen)
    assert [len(change.names) for change in chain.spread.changes] == [2, 2, 1]
    assert await chain.told() == {each.login for each in seen}


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_what_no_store_takes_is_left_out(text: str) -> None:
    """One row must not keep all that come with it from being written."""
    rows = [{"login": ANN, "device_id": "phone1", "at": 1.0, "user_agent": each} for each in (text, "Apple/1")]
    assert [each.user_agent for each in read_sightings([json.dumps(row).encode() for row in rows])] == ["Apple/1"]


def test_what_workers_send_is_read() -> None:
    row = {"login": ANN, "device_id": "phone1", "at": 1.5, "device_type": "iPhone"}
    rows = [
        json.dumps(row).encode(),
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"5",
        json.dumps({**row, "more": 1}).encode(),
        json.dumps({"login": ANN}).encode(),
        *(
            json.dumps({**row, name: value}).encode()
            for name, value in (
                ("login", ["a"]),
                ("login", None),
                ("login", ""),
                ("device_id", {}),
                ("device_id", "x" * 401),
                ("at", "x"),
                ("at", float("nan")),
                ("at", 1e300),
                ("at", -1.0),
                ("user_agent", 5),
                ("device_information", "x" * 300_000),
            )
        ),
        b'{"login": ' + b"[" * 100_000,
    ]
    assert read_sightings(rows) == [Sighting(ANN, "phone1", 1.5, "iPhone")]
