"""How many devices of one source may claim one name: bounded, clearly answered, and at nobody else's cost."""

import pytest

from gateway.ports.store import Store
from tests.inventory.chain import Chain, names
from tests.inventory.events import NOW, TIKTOK, delta, full
from tests.inventory.receiving import OTHER_SECRET, source

ANN, BOB = "ann@example.com", "bob@example.com"
REFUSED = (403, "too_many_claims")
TAKEN = (202, "applied")


@pytest.fixture
async def chain(store: Store) -> Chain:
    """Two sources, of which each may claim a name for three devices."""
    made = Chain(store, claims_per_name=3)
    await made.write(source(), source("others", secrets=(OTHER_SECRET,)))
    return made


async def claim(
    chain: Chain, number: int, *users: str, eas: str = "", secret: str = "", **more: str
) -> tuple[int, str]:
    event = full(1, subject=f"d{number}", device=names(*users, eas=[eas] if eas else [], **more))
    return await chain.status(event, **({"secret": secret} if secret else {}))


async def test_one_user(chain: Chain) -> None:
    assert [await claim(chain, number, ANN) for number in range(5)] == [TAKEN] * 3 + [REFUSED] * 2
    answer = await chain.post(full(1, subject="d9", device=names(ANN)), message_id="msg_9")
    for words in ("agents", ANN, "3 other devices", "gatepost device forget", "claims_per_name"):
        assert words in answer.json()["detail"]
    assert await chain.inventory("d9") is None
    assert not await chain.remembered("msg_9")


async def test_other_sources_and_other_users_are_not_held_up(chain: Chain) -> None:
    """Else a source could take the place of the one that knows better."""
    for number in range(4):
        await claim(chain, number, ANN, eas="phone1")
    assert await claim(chain, 1, ANN, eas="phone1", secret=OTHER_SECRET) == TAKEN
    assert await claim(chain, 9, BOB, eas="phone2") == TAKEN


async def test_a_device_that_is_stored_goes_on(chain: Chain) -> None:
    for number in range(4):
        await claim(chain, number, ANN, eas="phone1")
    dirty = full(2, (TIKTOK,), subject="d2", device=names(ANN, eas=["phone1"]))
    assert await chain.status(dirty) == TAKEN
    assert await chain.status(delta(3, 2, subject="d2", device=names(ANN, eas=["phone1"]))) == TAKEN
    # Also where more of them stand there than are allowed now.
    chain.claims_per_name = 1
    chain.__post_init__()
    later = full(4, (TIKTOK,), at=NOW - 900, subject="d2", device=names(ANN, eas=["phone1"]))
    assert await chain.status(later) == TAKEN


async def test_one_device_id(chain: Chain) -> None:
    assert [await claim(chain, number, eas="phone1") for number in range(5)] == [TAKEN] * 3 + [REFUSED] * 2


async def test_one_serial_number_by_which_a_device_id_is_made(chain: Chain) -> None:
    assert [await claim(chain, number, serial="C02XYZ12345") for number in range(5)] == [TAKEN] * 3 + [REFUSED] * 2
    assert await claim(chain, 6, eas="ApplC02XYZ12345") == REFUSED
    # Of another form it is no DeviceId.
    assert [await claim(chain, number, serial="S1") for number in range(10, 15)] == [TAKEN] * 5


async def test_the_people_of_one_device_id(chain: Chain) -> None:
    """The records of all of them are read for each report about it."""
    assert await claim(chain, 1, "a", "b", eas="phone1") == TAKEN
    assert await claim(chain, 2, "c", "d", eas="phone1") == REFUSED
    assert await claim(chain, 2, "c", eas="phone1") == TAKEN
    more = full(2, subject="d1", device=names("a", "b", "e", eas=["phone1"]))
    assert await chain.status(more) == REFUSED
    assert "more than 3 users for the DeviceId phone1" in (await chain.post(more)).json()["detail"]


async def test_device_ids_that_were_claimed_and_left_with_a_hit(chain: Chain) -> None:
    """Each stays in the person's record by its tombstone, although one device alone has claimed them all."""
    done = []
    for number in range(1, 7):
        event = full(number, (TIKTOK,), subject="d1", device=names(ANN, eas=[f"phone{number}"]))
        done.append(await chain.status(event))
    assert done == [TAKEN] * 4 + [REFUSED] * 2
    assert set((await chain.record(ANN)).devices) == {"phone1", "phone2", "phone3", "phone4"}
    # One of them may come back, another user and another source go on.
    again = full(7, (TIKTOK,), subject="d1", device=names(ANN, eas=["phone2"]))
    assert await chain.status(again) == TAKEN
    # Also beside what it has.
    for number, ids in ((8, ["phone2", "phone3"]), (9, ["phone1", "phone2", "phone3"])):
        assert await chain.status(full(number, (TIKTOK,), subject="d1", device=names(ANN, eas=ids))) == TAKEN
    assert await claim(chain, 2, BOB, eas="phone9") == TAKEN
    assert await claim(chain, 3, ANN, eas="phone8", secret=OTHER_SECRET) == TAKEN
    # What the device states no more claims nothing.
    assert await chain.status(full(10, (TIKTOK,), subject="d1", device=names(ANN))) == TAKEN
