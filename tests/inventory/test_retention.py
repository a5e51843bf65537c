"""What is not kept for ever: devices that are silent, and the past beyond its time."""

import pytest

from gateway.inventory.consequences import Evidence
from gateway.inventory.retention import DAY_SECONDS, KeptFor, Retention
from gateway.ports.store import MailDevice, PinnedBinding
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import RULES

ANN, BOB = "ann@example.com", "bob@example.com"


def retention(chain: Chain, history: float = 30.0, silent: float = 100.0) -> Retention:
    evidence = Evidence(chain.store, RULES, chain.publish, lambda: chain.policy)
    return Retention(evidence, KeptFor(history * DAY_SECONDS, silent * DAY_SECONDS), lambda: chain.now)


@pytest.fixture
async def chain(chain: Chain) -> Chain:
    """Ann's phone asked and was reported, and so was Bob's; then a long time."""
    for number, (login, phone, app) in enumerate(((ANN, "phone1", TIKTOK), (BOB, "phone2", GMAIL))):
        await chain.write(MailDevice(login, phone, NOW, NOW))
        await chain.post(full(1, (app,), subject=f"android/{number}", device=names(login, eas=[phone])))
    assert await chain.told() == {ANN, BOB}
    return chain


async def test_silent_devices_go_and_their_hits_stay(chain: Chain) -> None:
    chain.now = NOW + 99 * DAY_SECONDS
    assert await retention(chain).forget_silent() == 0
    chain.now = NOW + 101 * DAY_SECONDS
    assert await retention(chain).forget_silent() == 2
    assert await chain.told() == {ANN, BOB}
    assert (await chain.record(BOB)).devices == {}
    # A banned phone does not become clean by being silent.
    assert await chain.is_hit(ANN, "phone1")
    assert not (await chain.device(ANN, "phone1")).sources
    assert await retention(chain).forget_silent() == 0
    async with chain.store.read() as reading:
        kinds = [each.entry.decode() for each in await reading.audit_entries()]
    assert sum('"kind":"device_forgotten"' in each and '"why":"silent"' in each for each in kinds) == 2
    assert ANN not in str(kinds)


@pytest.mark.parametrize("heard", ["asked", "reported"])
async def test_one_that_was_heard_by_any_name_stays_whole(chain: Chain, heard: str) -> None:
    """Else a phone that keeps asking would become one of which nothing is known."""
    chain.now = NOW + 101 * DAY_SECONDS
    if heard == "asked":
        await chain.write(MailDevice(ANN, "phone1", NOW, chain.now - 1))
    else:
        await chain.post(full(2, (TIKTOK,), at=chain.now, subject="android/0", device=names(ANN, eas=["phone1"])))
    assert await retention(chain).forget_silent() == 1
    device = await chain.device(ANN, "phone1")
    assert (len(device.sources), device.first_seen_at) == (1, NOW)


async def test_a_word_of_an_administrator_stays(chain: Chain) -> None:
    await chain.write(PinnedBinding(BOB, "phone2", "agents", "android/1", True, "root", NOW))
    chain.now = NOW + 101 * DAY_SECONDS
    assert await retention(chain).forget_silent() == 2
    async with chain.store.read() as reading:
        assert len(await reading.pins_of_person(BOB)) == 1


async def test_a_clock_that_is_wrong_does_not_empty_the_store(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.inventory.retention.PAUSE_SECONDS", 0.0)
    for number in range(40):
        await chain.write(MailDevice(f"p{number}@example.com", "phone", NOW, NOW))
    chain.now = NOW + 10_000 * DAY_SECONDS
    assert await retention(chain).forget_silent() == 20
    async with chain.store.read() as reading:
        assert (await reading.counts())["mail_devices"] == 22


async def test_the_past_is_kept_so_long(chain: Chain) -> None:
    async with chain.store.read() as reading:
        began = await reading.past_since()
    chain.now = 4_000_000_000.0
    assert await retention(chain, history=0.0).forget_past() == 0
    assert await retention(chain, history=30.0).forget_past() > 0
    async with chain.store.read() as reading:
        assert (began, await reading.past_since()) == (0.0, 4_000_000_000.0 - 30 * DAY_SECONDS)


async def test_what_is_to_be_kept_for_ever(chain: Chain) -> None:
    chain.now = NOW + 10_000 * DAY_SECONDS
    assert await retention(chain, silent=0.0).forget_silent() == 0
