"""Device credentials in the records: what one stands for, who hears of it, and what is left when it is revoked."""

import pytest

from gateway.domain.credential import split, standing_behind
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState
from gateway.inventory.consequences import Evidence
from gateway.inventory.credentials import GOOD_AT_MOST, Credentials, Issued, Wanted
from gateway.inventory.mail_devices import Sighting
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import RULES

ANN = "ann@example.com"
BOB = "bob@example.com"


def credentials(chain: Chain) -> Credentials:
    return Credentials(Evidence(chain.store, RULES, chain.publish, lambda: chain.policy))


async def issued(chain: Chain, wanted: Wanted) -> Issued:
    return await credentials(chain).issue(wanted, "root", NOW)


async def test_for_a_mail_device(chain: Chain) -> None:
    await chain.mail_devices.take([Sighting(ANN, "phone1", NOW)])
    await chain.told()
    found = await issued(chain, Wanted(ANN, "phone1"))
    assert await chain.told() == {ANN}
    name, shown = split(ANN + found.suffix)
    assert name == ANN
    assert shown is not None
    record = await chain.record(ANN)
    standing = standing_behind(shown, record.credentials)
    assert standing is not None
    assert standing.device_id == "phone1"
    assert found.suffix.partition("-")[2] not in repr(found)
    assert standing.digest not in repr(found)
    ended = await credentials(chain).revoke(found.credential.id, NOW + 1)
    assert ended is not None
    assert ended.revoked_at == NOW + 1
    assert await chain.told() == {ANN}
    assert (await chain.record(ANN)).credentials == ()
    # Once and for all: the moment stays, and nobody is told again.
    assert await credentials(chain).revoke(found.credential.id, NOW + 2) == ended
    assert await chain.told() == set()
    assert await credentials(chain).revoke("aaaaaaaa", NOW) is None


async def test_for_an_inventory_device_without_a_mail_device(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(ANN)))
    await chain.told()
    found = await issued(chain, Wanted(ANN, source_id="agents", source_device="d1"))
    device_id = found.credential.device_id
    assert device_id == f"credential:{found.credential.id}"
    assert await chain.told() == {ANN}
    assert (await chain.device(ANN, device_id)).binding is BindingState.BOUND
    assert await chain.is_hit(ANN, device_id)
    await chain.post(full(2, (GMAIL,), subject="d1", device=names(ANN)))
    assert await chain.told() == {ANN}
    assert not await chain.is_hit(ANN, device_id)
    await credentials(chain).revoke(found.credential.id, NOW)
    record = await chain.record(ANN)
    assert device_id not in record.devices
    assert len(record.unbound) == 1


async def test_the_hit_of_a_device_stays_with_the_person_when_its_credential_goes(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(serial="S1")))
    await chain.post(full(1, (GMAIL,), subject="d2", device=names(ANN)))
    found = await issued(chain, Wanted(ANN, source_id="agents", source_device="d1"))
    assert await chain.is_hit(ANN, found.credential.device_id)
    await credentials(chain).revoke(found.credential.id, NOW)
    assert await chain.is_hit(ANN, found.credential.device_id)
    assert (await chain.record(ANN)).credentials == ()


async def test_a_credential_does_not_make_a_conflict_of_the_device_s_own_id(chain: Chain) -> None:
    await chain.mail_devices.take([Sighting(ANN, "phone1", NOW)])
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(ANN, eas=["phone1"])))
    found = await issued(chain, Wanted(ANN, source_id="agents", source_device="d1"))
    for device_id in ("phone1", found.credential.device_id):
        assert (await chain.device(ANN, device_id)).binding is BindingState.BOUND


async def test_it_is_for_a_device_of_the_user_s_own(chain: Chain) -> None:
    await chain.post(full(1, (GMAIL,), subject="d1", device=names(BOB, eas=["phone1"])))
    for wanted, words in (
        (Wanted(ANN, "phone1"), f"{ANN} has no device phone1"),
        (Wanted(ANN, source_id="agents", source_device="d1"), f"reports device d1 for {BOB} and not for {ANN}"),
        (Wanted(ANN, source_id="agents", source_device="d9"), "source agents has reported no device d9"),
    ):
        with pytest.raises(InvalidValue, match=words):
            await issued(chain, wanted)
    found = await issued(chain, Wanted(BOB, "phone1"))
    _, shown = split(BOB + found.suffix)
    assert shown is not None
    assert standing_behind(shown, (await chain.record(ANN)).credentials) is None
    assert standing_behind(shown, (await chain.record(BOB)).credentials) is not None


async def test_a_person_has_a_bounded_number_of_them(chain: Chain) -> None:
    await chain.mail_devices.take([Sighting(ANN, "phone1", NOW)])
    found = [await issued(chain, Wanted(ANN, "phone1")) for _ in range(GOOD_AT_MOST)]
    with pytest.raises(InvalidValue, match="revoke one of them first"):
        await issued(chain, Wanted(ANN, "phone1"))
    await credentials(chain).revoke(found[0].credential.id, NOW)
    await issued(chain, Wanted(ANN, "phone1"))
