"""The index that previews come from, as the control process keeps it: it waits, it is built anew, it fails alone."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.changes import fleet_previews
from gateway.changes.fleet_previews import FleetPreviews
from gateway.changes.impact import building
from gateway.changes.impact.index import ImpactIndex
from gateway.changes.previews import NotReadyYet
from gateway.domain.bans import Flag
from gateway.domain.brake import NO_BRAKE, Brake, Hold, Trouble
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import identity_rules
from gateway.domain.policy import PolicyVersion, first_policy, policy_of
from gateway.domain.policy_parts import PartValue, parts_of
from gateway.inventory.records import load_record
from gateway.ports.store import Person, Reading, Writing
from gateway.storage.memory import MemoryStore
from tests.changes.aged_fleets import STRICT, phones
from tests.support.evidence_strategies import DAY, HOUR, NOW, TIKTOK, TIKTOK_BAN

RULES = identity_rules("corp.example", {})
POLICY = first_policy(1.0)


async def load(reading: Reading, login: str) -> PersonRecord:
    return await load_record(reading, login, RULES)


async def known(store: MemoryStore, *names: str) -> None:
    async def work(writing: Writing) -> None:
        for name in names:
            await writing.put_person(Person(f"{name}@corp.example"))
            writing.log_people([f"{name}@corp.example"])

    await store.write(work)


async def people_seen(previews: FleetPreviews) -> int:
    return (await previews.impact(POLICY, POLICY)).people


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_previews, "AFTER_A_DEFECT_SECONDS", 0.0)


async def test_it_follows_what_is_committed_and_is_kept_for_the_next_life(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "impact.index"
    await known(store, "ann")
    for expected in (1, 3):
        previews = FleetPreviews(store, load, path)
        life = asyncio.ensure_future(previews.run())
        assert await people_seen(previews) == expected
        await known(store, f"bob{expected}")
        assert await people_seen(previews) == expected + 1
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        assert path.is_file()
        await known(store, f"eve{expected}")


async def test_after_a_change_of_everybody_it_is_built_anew() -> None:
    store = MemoryStore()
    await known(store, "ann")
    previews = FleetPreviews(store, load, None)
    life = asyncio.ensure_future(previews.run())
    assert await people_seen(previews) == 1

    async def everybody(writing: Writing) -> None:
        writing.log_everybody()

    await store.write(everybody)
    await known(store, "bob")
    assert await people_seen(previews) == 2
    life.cancel()


async def test_one_that_could_not_be_followed_on_is_not_taken_from_its_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be as full of what has gone as it was."""
    store, path = MemoryStore(), tmp_path / "impact.index"
    await known(store, "ann")
    previews = FleetPreviews(store, load, path)
    life = asyncio.ensure_future(previews.run())
    assert await people_seen(previews) == 1
    assert await previews.rewrite()
    loaded: list[object] = []
    monkeypatch.setattr(ImpactIndex, "loaded", loaded.append)
    monkeypatch.setattr(building, "GONE_MOST", -1)
    fleet = previews._index
    assert fleet is not None
    fleet._writer.gone = 5
    await known(store, "bob")
    assert await people_seen(previews) == 2
    assert previews._index is not fleet
    assert loaded == []
    life.cancel()


async def test_without_it_a_preview_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_previews, "READY_WITHIN_SECONDS", 0.0)
    store = MemoryStore()
    await known(store, "ann")
    previews = FleetPreviews(store, load, None)
    with pytest.raises(NotReadyYet, match="the index of the fleet is being built: what this change does"):
        await people_seen(previews)
    until_then = "the index of the fleet is being built: until then only what lessens enforcement can be changed"
    assert previews.sentences() == [until_then]
    life = asyncio.ensure_future(previews.run())
    monkeypatch.setattr(fleet_previews, "READY_WITHIN_SECONDS", 5.0)
    assert await people_seen(previews) == 1
    monkeypatch.setattr(fleet_previews, "READY_WITHIN_SECONDS", 0.0)
    assert previews.sentences() == []
    life.cancel()


async def test_a_defect_of_it_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the two tracebacks alone take seconds.
    monkeypatch.setattr(fleet_previews, "READY_WITHIN_SECONDS", 60.0)
    store = MemoryStore()
    await known(store, "ann")
    failures = 2

    async def failing(reading: Reading, login: str) -> PersonRecord:
        nonlocal failures
        if failures:
            failures -= 1
            raise ZeroDivisionError
        return await load(reading, login)

    previews = FleetPreviews(store, failing, None)
    life = asyncio.ensure_future(previews.run())
    assert await people_seen(previews) == 1
    assert (failures, life.done()) == (0, False)
    life.cancel()


async def test_one_that_goes_before_a_preview_has_its_turn_is_waited_for() -> None:
    store = MemoryStore()
    await known(store, "ann")
    previews = FleetPreviews(store, load, None)
    asked = asyncio.ensure_future(people_seen(previews))
    await asyncio.sleep(0)
    previews._ready.set()
    previews._ready.clear()
    life = asyncio.ensure_future(previews.run())
    assert await asked == 1
    life.cancel()


@pytest.mark.parametrize("bans", [1, 40])
async def test_a_policy_is_taken_apart_once_however_many_bans_it_has(
    bans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done on the event loop, and 5,000 bans are allowed."""
    store, taken_apart = MemoryStore(), []
    await known(store, "ann")

    def counted(version: PolicyVersion) -> dict[str, PartValue]:
        taken_apart.append(version.number)
        return parts_of(version)

    monkeypatch.setattr(fleet_previews, "parts_of", counted)
    listed = tuple(replace(TIKTOK_BAN, name=f"ban {number}") for number in range(bans))
    previews = FleetPreviews(store, load, None)
    life = asyncio.ensure_future(previews.run())
    await previews.of(POLICY, replace(POLICY, number=2, bans=listed))
    assert sorted(taken_apart) == [1, 2]
    life.cancel()


@pytest.mark.parametrize(
    ("brake", "newly_cut"),
    [
        (NO_BRAKE, 0),
        (Brake(NOW + HOUR, (Hold("agents", Trouble.STALE, NOW - DAY, 20),)), 20),
        (Brake(NOW + HOUR, (Hold("jamf", Trouble.STALE, NOW - DAY, 20),)), 0),
        (Brake(NOW - DAY), 20),
    ],
    ids=["lists age freely", "their source is held", "another source is held", "nobody has looked ahead"],
)
async def test_whom_the_fleet_brake_lets_have_mail_a_change_can_cut(brake: Brake, newly_cut: int) -> None:
    """Lists of two days ago that hold for one: refused already, if the brake did not stop their ageing."""
    records = {each.person_id: each for each in phones("agents", 20, DAY + HOUR, app=TIKTOK)}
    store = MemoryStore()
    await known(store, *(each.partition("@")[0] for each in records))

    async def put(writing: Writing) -> None:
        await writing.put_brake(brake)

    await store.write(put)

    async def aged(reading: Reading, login: str) -> PersonRecord:
        return records[login]

    previews = FleetPreviews(store, aged, None, lambda: NOW)
    life = asyncio.ensure_future(previews.run())
    before = replace(STRICT.version, bans=(replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY),))
    after = replace(before, bans=(replace(TIKTOK_BAN, flag=Flag.ENFORCE),))
    for brief in (True, False):
        found = await previews.of(before, after, brief=brief)
        assert (found.measured.newly_cut, len(found.newly_cut)) == (newly_cut, newly_cut)
    verified = await previews.verify(policy_of(before), 100)
    assert (verified.people, verified.differences) == (20, ())
    life.cancel()
