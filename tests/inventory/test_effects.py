"""From a report to the workers: records, change log, cache and feed, for exactly the people whom it concerns."""

from dataclasses import replace

import pytest

from gateway.domain import posture
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.evidence import BindingState
from gateway.domain.inventory import Platform
from gateway.domain.policy import policy_of
from gateway.domain.verdict import Effect
from gateway.inventory.mail_devices import Sighting
from gateway.ports.store import MailDevice, Person, PinnedBinding
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, delta, full

ANN, BOB, CY = "ann@example.com", "bob@example.com", "cy@example.com"


@pytest.fixture
async def chain(chain: Chain) -> Chain:
    """With three people who have a phone each."""
    devices = ((ANN, "phone1"), (BOB, "phone2"), (CY, "phone3"))
    await chain.write(*(MailDevice(login, device_id, 1.0, 2.0) for login, device_id in devices))
    return chain


async def test_a_report_reaches_whom_it_names(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), device=names("EXAMPLE\\Ann", eas=["PHONE1"])))
    assert await chain.told() == {ANN}
    device = await chain.device(ANN, "phone1")
    assert device.binding is BindingState.BOUND
    assert [app.id for app in device.sources[0].apps] == [TIKTOK]
    assert await chain.is_hit(ANN, "phone1")
    async with chain.store.read() as reading:
        person = await reading.person_by_login(ANN)
    assert person is not None
    assert person.origin == "agents"
    await chain.post(full(2, (GMAIL,), device=names(ANN, eas=["phone1"])))
    assert await chain.told() == {ANN}
    assert not await chain.is_hit(ANN, "phone1")


async def test_what_changes_nothing_reaches_nobody(chain: Chain) -> None:
    await chain.post(full(5, device=names(ANN, eas=["phone1"])), message_id="msg_1")
    assert await chain.told() == {ANN}
    await chain.post(full(5, device=names(ANN, eas=["phone1"])), message_id="msg_1")
    await chain.post(full(4, (TIKTOK,), device=names(ANN, eas=["phone1"])))
    await chain.post(delta(9, 8, device=names(ANN, eas=["phone1"])))
    await chain.post(full(6, (TIKTOK,), at=NOW + 900, device=names(ANN, eas=["phone1"])))
    await chain.post(b"{")
    assert await chain.told() == set()


async def test_a_device_of_nobody_reaches_nobody(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), device=names(serial="S1")))
    assert await chain.told() == set()
    await chain.post(full(2, (TIKTOK,), device=names(CY, serial="S1")))
    assert await chain.told() == {CY}


async def test_whoever_uses_a_claimed_device_id_is_concerned(chain: Chain) -> None:
    """The phone of bob is reported as ann's: to bob it is unmatched with a hit, and ann sees it as hers."""
    await chain.post(full(1, (TIKTOK,), device=names(ANN, eas=["phone2"])))
    assert await chain.told() == {ANN, BOB}
    assert (await chain.device(BOB, "phone2")).binding is BindingState.UNMATCHED
    assert await chain.is_hit(BOB, "phone2")
    assert await chain.is_hit(ANN, "phone2")


async def test_two_users_on_one_device(chain: Chain) -> None:
    await chain.write(MailDevice(BOB, "phone1", 1.0, 2.0))
    await chain.post(full(1, (TIKTOK,), device=names(ANN, BOB, eas=["phone1"])))
    assert await chain.told() == {ANN, BOB}
    for login in (ANN, BOB):
        assert (await chain.device(login, "phone1")).binding is BindingState.BOUND
        assert await chain.is_hit(login, "phone1")
    # Bob is no user of it any more: both records change, and his hit waits for better evidence.
    await chain.post(full(2, (TIKTOK,), device=names(ANN, eas=["phone1"])))
    assert await chain.told() == {ANN, BOB}
    assert (await chain.device(BOB, "phone1")).binding is BindingState.UNMATCHED
    assert await chain.is_hit(BOB, "phone1")


async def test_a_device_that_is_handed_on(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), device=names(ANN, eas=["phone1"])))
    await chain.told()
    await chain.post(full(2, (GMAIL,), device=names(CY, eas=["phone3"])))
    assert await chain.told() == {ANN, CY}
    assert not await chain.is_hit(CY, "phone3")
    assert (await chain.device(ANN, "phone1")).sources == ()
    # What was seen on ann's phone is not answered by a list of another phone.
    assert await chain.is_hit(ANN, "phone1")


async def test_an_unbound_device_leaves_its_hit_with_the_mail_device(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), device=names(ANN, eas=["phone1"])))
    await chain.post(full(2, (TIKTOK,), device=names(ANN)))
    await chain.told()
    device = await chain.device(ANN, "phone1")
    assert (device.binding, device.sources) == (BindingState.UNMATCHED, ())
    assert [stone.app.id for stone in device.tombstones] == [TIKTOK]
    assert await chain.is_hit(ANN, "phone1")
    # It comes back clean, under its id: that is newer evidence.
    await chain.post(full(3, (GMAIL,), device=names(ANN, eas=["phone1"])))
    assert await chain.told() == {ANN}
    assert (await chain.device(ANN, "phone1")).tombstones == ()
    assert not await chain.is_hit(ANN, "phone1")


async def test_a_second_claimant_makes_a_conflict_for_both(chain: Chain) -> None:
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(ANN, eas=["phone1"])))
    await chain.told()
    await chain.post(full(1, (TIKTOK,), subject="d2", device=names(BOB, eas=["phone1"])))
    assert await chain.told() == {ANN, BOB}
    assert (await chain.device(ANN, "phone1")).binding is BindingState.CONFLICT
    assert await chain.is_hit(ANN, "phone1")
    assert await chain.ingest.check_out("agents", "d2")
    assert await chain.told() == {ANN, BOB}
    assert (await chain.device(ANN, "phone1")).binding is BindingState.BOUND


async def test_a_serial_number_that_a_device_id_is_made_of(chain: Chain) -> None:
    await chain.write(MailDevice(BOB, "applf17abcdefg8j", 1.0, 2.0))
    await chain.post(full(1, (TIKTOK,), device=names(ANN, serial="F17ABCDEFG8J")))
    assert await chain.told() == {ANN, BOB}
    assert await chain.is_hit(BOB, "applf17abcdefg8j")


async def test_checkout_leaves_tombstones(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK, GMAIL), subject="d1", device=names(ANN, eas=["phone1"])))
    await chain.told()
    assert not await chain.ingest.check_out("agents", "d9")
    assert await chain.told() == set()
    assert await chain.ingest.check_out("agents", "d1")
    assert await chain.told() == {ANN}
    device = await chain.device(ANN, "phone1")
    assert device.sources == ()
    assert [(stone.app.id, stone.source_id, stone.seen_at) for stone in device.tombstones] == [
        (TIKTOK, "agents", NOW - 999)
    ]
    assert not await chain.ingest.check_out("agents", "d1")
    assert await chain.told() == set()


async def test_a_crowd_of_reported_hits_brings_no_refused_phone_back(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A phone without a DeviceId, which no list answers for, comes and goes with apps of a ban that is not enforced."""
    monkeypatch.setattr(posture, "TOMBSTONES_OF_ONE_SOURCE", 3)
    games = Ban("Games", (Matcher(MatcherKind.ID_PREFIX, "com.games", Platform.ANDROID),), flag=Flag.REPORT_ONLY)
    enforced = replace(chain.policy.version.bans[0], flag=Flag.ENFORCE)
    chain.policy = policy_of(replace(chain.policy.version, bans=(enforced, games)))
    for number in range(6):
        app = TIKTOK if number == 0 else f"com.games.g{number}"
        await chain.post(full(number + 1, (app,), subject=f"d{number}", device=names(ANN, serial="S1")))
        assert await chain.ingest.check_out("agents", f"d{number}")
    (left,) = (await chain.record(ANN)).unbound
    assert len(left.tombstones) == 3
    request = AccessRequest(ANN, "", Protocol.IMAP, IdentityStrength.USER_WIDE)
    verdict = decide(request, await chain.record(ANN), chain.policy, NOW)
    assert (verdict.effect, verdict.ban) == (Effect.DENY, "TikTok")


async def test_a_clean_device_leaves_nothing_behind(chain: Chain) -> None:
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(ANN)))
    assert await chain.ingest.check_out("agents", "d1")
    record = await chain.record(ANN)
    assert (record.unbound, set(record.devices)) == ((), {"phone1"})
    assert record.devices["phone1"].tombstones == ()


async def test_forgetting_a_device_forgets_its_hits(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(ANN, eas=["phone1"])))
    await chain.ingest.check_out("agents", "d1")
    await chain.post(full(1, (TIKTOK,), subject="d2", device=names(ANN, eas=["phone1"])))
    await chain.told()
    forgotten = await chain.forget(ANN, "phone1")
    assert (forgotten.inventories, forgotten.tombstones) == (1, 1)
    assert await chain.told() == {ANN}
    assert (await chain.record(ANN)).devices == {}
    assert await chain.inventory("d2") is None


async def test_forgetting_what_no_phone_is_known_for(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(ANN, serial="S1")))
    await chain.post(full(1, (TIKTOK,), subject="d2", device=names(ANN, eas=["phone1"])))
    await chain.ingest.check_out("agents", "d1")
    await chain.post(full(1, (GMAIL,), subject="d3", device=names(ANN, serial="S1")))
    await chain.told()
    forgotten = await chain.forget(ANN, "")
    assert (forgotten.inventories, forgotten.tombstones) == (1, 1)
    assert await chain.told() == {ANN}
    record = await chain.record(ANN)
    assert (set(record.devices), record.unbound) == ({"phone1"}, ())


async def test_forgetting_takes_nothing_of_others(chain: Chain) -> None:
    """What another claims of the phone is the other's evidence."""
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(BOB, eas=["phone1"])))
    await chain.told()
    forgotten = await chain.forget(ANN, "phone1")
    assert forgotten.inventories == 0
    assert await chain.inventory("d1") is not None
    assert await chain.is_hit(BOB, "phone1")


async def test_all_names_of_a_person_are_announced(chain: Chain) -> None:
    await chain.write(Person(ANN, ("a.smith@example.com", "ann@old.example")))
    await chain.post(full(1, device=names("a.smith@example.com", eas=["phone1"])))
    assert await chain.told() == {ANN, "a.smith@example.com", "ann@old.example"}
    for alias in (ANN, "a.smith@example.com", "ann@old.example"):
        assert (await chain.record(alias)).person_id == ANN
    async with chain.store.read() as reading:
        assert [person.person_id for person in await reading.people()] == [ANN]


async def test_a_pin_binds_and_unbinds(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(serial="S1")))
    await chain.told()
    pin = PinnedBinding(ANN, "phone1", "agents", "d1", True, "root", NOW)
    await chain.pin(pin)
    assert await chain.told() == {ANN}
    assert (await chain.device(ANN, "phone1")).binding is BindingState.BOUND
    assert await chain.is_hit(ANN, "phone1")
    # From now on its reports concern her, though they do not name her.
    await chain.post(full(2, (TIKTOK, GMAIL), subject="d1", device=names(serial="S1")))
    assert await chain.told() == {ANN}
    await chain.unpin(pin)
    assert await chain.told() == {ANN}
    device = await chain.device(ANN, "phone1")
    assert (device.binding, device.sources) == (BindingState.UNMATCHED, ())
    assert await chain.is_hit(ANN, "phone1"), "a banned phone does not become clean by losing its inventory"


async def test_a_pin_keeps_apart(chain: Chain) -> None:
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(ANN, eas=["phone1"])))
    await chain.told()
    apart = PinnedBinding(ANN, "phone1", "agents", "d1", False, "root", NOW)
    await chain.pin(apart)
    assert await chain.told() == {ANN}
    assert (await chain.device(ANN, "phone1")).binding is BindingState.UNMATCHED
    await chain.pin(apart)
    assert await chain.told() == set()
    await chain.unpin(apart)
    assert await chain.told() == {ANN}
    assert (await chain.device(ANN, "phone1")).binding is BindingState.BOUND


async def test_a_sighting_binds_what_was_reported_before(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), device=names(CY, eas=["phone9"])))
    assert (await chain.device(CY, "phone9")).first_seen_at is None
    await chain.told()
    await chain.mail_devices.take([Sighting(CY, "phone9", NOW), Sighting(BOB, "phone2", NOW)])
    # Bob's is known: only when it was seen last changed, which is no evidence.
    assert await chain.told() == {CY}
    assert (await chain.device(CY, "phone9")).first_seen_at == NOW
    await chain.mail_devices.take([Sighting(ANN, "phone9", NOW)])
    assert await chain.told() == {ANN}
    assert await chain.is_hit(ANN, "phone9")
