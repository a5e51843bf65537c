"""The index built from a store, and following its change log, says what workers say; over memory and SQLite."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.changes.impact import building, writing
from gateway.changes.impact.building import MustRebuild, Progress, build, catch_up
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.index import ImpactIndex
from gateway.changes.impact.people import people_with
from gateway.changes.impact.saving import Unusable
from gateway.changes.impact.verifying import DIFFERENCES_AT_MOST
from gateway.changes.impact.writing import Update
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import policy_of
from gateway.inventory.mail_devices import Sighting
from gateway.inventory.people import PersonRow
from gateway.ports.store import Reading, Writing
from tests.inventory.chain import Chain, loaded, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import BANNED
from tests.support.evidence_strategies import denying
from tests.support.impact_equality import content

ANN, BOB, SMITH = "ann@example.com", "bob@example.com", "a.smith@example.com"
ENFORCED = policy_of(
    replace(BANNED.version, bans=tuple(replace(ban, flag=Flag.ENFORCE) for ban in BANNED.version.bans))
)
NOTHING = policy_of(replace(BANNED.version, bans=()))


# A reader of SQLite has a thread of its own, and waits for nothing else.
in_memory = pytest.mark.parametrize("store", ["memory"], indirect=True)


async def report(chain: Chain, number: int, apps: tuple[str, ...], device: str, user: str, eas: str) -> None:
    await chain.post(full(number, apps, subject=device, device=names(user, eas=[eas])))


async def some_people(chain: Chain) -> None:
    await chain.people.take([PersonRow(ANN, ("sales",), (SMITH,)), PersonRow(BOB, ("board",))])
    await report(chain, 1, (TIKTOK, GMAIL), "d1", ANN, "phone1")
    await report(chain, 1, (GMAIL,), "d2", BOB, "phone2")
    await chain.mail_devices.take(
        [Sighting(BOB, "cloud", NOW, "Outlook"), Sighting("nobody@example.com", "phone9", NOW, "iPhone")]
    )


async def assert_exact(index: ImpactIndex, chain: Chain) -> None:
    """As built anew, and as ``decide`` says."""
    anew = await build(chain.store, loaded)
    assert content(index.view()) == content(anew.view())
    assert index.sequence == anew.sequence == await chain.sequence()
    for policy in (BANNED, ENFORCED, NOTHING):
        verified = await index.verify(policy, NOW, sample=100)
        assert (verified.differences, verified.different, verified.changed) == ((), 0, 0)
        assert verified.people == len(list(anew.people_held()))
        assert verified.decisions > verified.people


async def test_built_from_the_store(chain: Chain) -> None:
    await some_people(chain)
    told: list[Progress] = []
    index = await ImpactIndex.built(chain.store, loaded, told.append)
    assert told[0] == told[-1] == Progress(2, 2)
    fleet = index.view()
    assert {fleet.person_ids[each] for each in range(fleet.people_count)} == {ANN, BOB, "nobody@example.com"}
    assert fleet.person_of_login(SMITH) == fleet.person_of_login(ANN)
    cloud, strange = fleet.device(BOB, "cloud"), fleet.device("nobody@example.com", "phone9")
    assert list(fleet.marked(Mark.OUTLOOK)) == [cloud]
    assert list(fleet.marked(Mark.STRANGER)) == [strange]
    await assert_exact(index, chain)
    impact = await index.preview(NOTHING, ENFORCED, NOW)
    assert (impact.devices, impact.cut, impact.sequence) == (4, 1, await chain.sequence())


async def test_page_by_page(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PAGE", 2)
    await chain.people.take([PersonRow(f"p{number}@example.com", ("sales",), None) for number in range(5)])
    await chain.mail_devices.take([Sighting(f"s{number}@example.com", "d", NOW) for number in range(5)])
    index = await ImpactIndex.built(chain.store, loaded)
    assert len(index.view().person_ids) == 10
    await assert_exact(index, chain)


async def test_following_what_the_log_names(chain: Chain) -> None:
    index = await ImpactIndex.built(chain.store, loaded)
    await some_people(chain)
    assert await index.catch_up() == 4
    await assert_exact(index, chain)
    assert await index.catch_up() == 0
    await report(chain, 2, (GMAIL,), "d1", ANN, "phone1")
    assert await index.catch_up() == 2
    assert (await index.preview(NOTHING, ENFORCED, NOW)).cut == 0
    # The phone goes to a colleague, an alias becomes somebody of its own, the stranger is imported.
    await report(chain, 3, (TIKTOK,), "d1", BOB, "phone1")
    await chain.people.take([PersonRow(ANN, (), ()), PersonRow(SMITH, ("board",), ())])
    await chain.people.take([PersonRow("nobody@example.com", ("sales",), None)])
    await index.catch_up()
    await assert_exact(index, chain)


@in_memory
async def test_what_changes_while_it_is_built_is_read_again(chain: Chain) -> None:
    await some_people(chain)
    turns = iter(range(1_000))

    async def busy(reading: Reading, login: str) -> PersonRecord:
        record = await loaded(reading, login)
        if next(turns) == 1:
            # Ann is in the index already.
            await report(chain, 2, (GMAIL,), "d1", ANN, "phone1")
        return record

    index = await ImpactIndex.built(chain.store, busy)
    assert (await index.preview(NOTHING, ENFORCED, NOW)).cut == 0
    await assert_exact(index, chain)


async def everybody(chain: Chain) -> None:
    async def work(writing: Writing) -> None:
        writing.log_everybody()

    await chain.store.write(work)


async def test_where_the_log_does_not_say_whom_it_must_be_rebuilt(chain: Chain) -> None:
    index = await ImpactIndex.built(chain.store, loaded)
    await everybody(chain)
    with pytest.raises(MustRebuild, match="everybody"):
        await index.catch_up()
    writer = await build(chain.store, loaded)
    writer.incarnation = "another"
    with pytest.raises(MustRebuild, match="another life"):
        await catch_up(writer, chain.store, loaded)


@in_memory
async def test_a_build_that_everybody_s_change_falls_into_begins_again(chain: Chain) -> None:
    await some_people(chain)
    for times, ends in ((1, True), (99, False)):
        left = [times]

        async def restless(reading: Reading, login: str, left: list[int] = left) -> PersonRecord:
            if login == ANN and left[0]:
                left[0] -= 1
                await everybody(chain)
            return await loaded(reading, login)

        if ends:
            await assert_exact(await ImpactIndex.built(chain.store, restless), chain)
        else:
            with pytest.raises(MustRebuild):
                await ImpactIndex.built(chain.store, restless)


async def test_saved_and_brought_up_to_date(chain: Chain, tmp_path: Path) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    path = tmp_path / "impact.index"
    await index.save(path)
    await report(chain, 2, (TIKTOK,), "d2", BOB, "phone2")
    again = await ImpactIndex.loaded(path, chain.store, loaded)
    await assert_exact(again, chain)
    assert (await again.preview(NOTHING, ENFORCED, NOW)).cut == 2
    ahead = await build(chain.store, loaded)
    ahead.sequence += 5
    await ImpactIndex(ahead, chain.store, loaded).save(path)
    with pytest.raises(Unusable, match="ahead of the store"):
        await ImpactIndex.loaded(path, chain.store, loaded)


async def test_a_view_and_an_update_by_hand(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    before = index.view()
    await report(chain, 2, (GMAIL,), "d1", ANN, "phone1")
    async with chain.store.read() as reading:
        record, sequence = await loaded(reading, ANN), await reading.sequence()
    index.update([Update(record)], sequence)
    await assert_exact(index, chain)
    assert before.sequence < index.view().sequence


async def test_verifying_finds_what_the_index_missed(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    async with chain.store.read() as reading:
        record = await loaded(reading, BOB)
    phone = record.devices["phone2"]
    wrong = replace(record, devices={"phone2": replace(phone, sources=()), "ghost": replace(phone, device_id="ghost")})
    index.update([Update(wrong)], index.sequence)
    missing = policy_of(replace(ENFORCED.version, unknowns=denying("missing")))
    found = await index.verify(missing, NOW, sample=100)
    assert found.different == len(found.differences) <= DIFFERENCES_AT_MOST
    assert {(each.person_id, each.device_id) for each in found.differences} >= {(BOB, "phone2"), (BOB, "ghost")}
    assert {each.person_id for each in found.differences} == {BOB}


async def test_who_changed_since_is_left_out_of_a_sample(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    await report(chain, 2, (GMAIL,), "d1", ANN, "phone1")
    found = await index.verify(ENFORCED, NOW, sample=100)
    assert (found.changed, found.people, found.different) == (1, 2, 0)
    await everybody(chain)
    found = await index.verify(ENFORCED, NOW, sample=100)
    assert (found.changed, found.people, found.decisions) == (3, 0, 0)


async def test_a_sample_is_as_large_as_asked(chain: Chain) -> None:
    await chain.people.take([PersonRow(f"p{number}@example.com", (), None) for number in range(20)])
    index = await ImpactIndex.built(chain.store, loaded)
    assert (await index.verify(ENFORCED, NOW, sample=5, seed=1)).people == 5


@in_memory
async def test_it_says_whose_devices_a_preview_found(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    fleet = index.view()
    cut = (await index.preview(NOTHING, ENFORCED, NOW)).sets.cut
    keys = frozenset(fleet.devices.key[number].item() for number in cut)
    assert people_with(fleet, keys) == [ANN]
    everybody = frozenset(fleet.devices.key.tolist())
    assert people_with(fleet, everybody) == sorted([ANN, BOB, "nobody@example.com"])
    assert people_with(fleet, frozenset()) == people_with(fleet, {1, 2}) == []


@in_memory
async def test_of_a_device_that_is_gone_it_names_nobody(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    everybody = frozenset(index.view().devices.key.tolist())
    await chain.store.write(lambda writing: writing.delete_mail_device("nobody@example.com", "phone9"))

    async def work(writing: Writing) -> None:
        writing.log_people(["nobody@example.com"])

    await chain.store.write(work)
    await index.catch_up()
    assert people_with(index.view(), everybody) == [ANN, BOB]


def versions(first: int, count: int) -> tuple[str, ...]:
    return tuple(f"com.example.app{number}" for number in range(first, first + count))


@in_memory
async def test_apps_that_nobody_has_any_more_are_forgotten(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever may report for one device fills the memory of the control process, list by list."""
    monkeypatch.setattr(writing, "APPS_TO_SPARE", 150)
    await some_people(chain)
    index = ImpactIndex(await build(chain.store, loaded), chain.store, loaded)
    index._writer._apps_most = 150
    longest = 0
    for number in range(2, 30):
        before = index.view()
        had = content(before)
        await report(chain, number, versions(number * 50, 50), "d2", BOB, "phone2")
        await index.catch_up()
        await index.forget_apps()
        longest = max(longest, len(index.view().catalogue))
        assert content(before) == had
        if number % 9 == 0:
            await assert_exact(index, chain)
    assert longest < 300
    await assert_exact(index, chain)


@in_memory
async def test_an_app_that_comes_while_others_are_forgotten_is_there(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "APPS_TO_SPARE", 0)
    await some_people(chain)
    writer = await build(chain.store, loaded)
    writer._apps_most = 0
    for number in range(2, 5):
        await report(chain, number, versions(number * 50, 50), "d2", BOB, "phone2")
        await catch_up(writer, chain.store, loaded)
    before, kept = writer.catalogue, writer.apps_to_keep()
    assert kept is not None
    fresh = Catalogue(map(before.app, kept))
    await report(chain, 5, versions(200, 55), "d2", BOB, "phone2")
    await catch_up(writer, chain.store, loaded)
    writer.use_catalogue(fresh, kept)
    assert len(writer.catalogue) == len(kept) + 5
    await assert_exact(ImpactIndex(writer, chain.store, loaded), chain)


@in_memory
async def test_numbers_of_devices_that_have_gone_do_not_pile_up(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A device that is bound otherwise with each report has another number each time."""
    monkeypatch.setattr(building, "GONE_MOST", 20)
    await some_people(chain)
    path = tmp_path / "index"
    index = ImpactIndex(await build(chain.store, loaded), chain.store, loaded)
    for number in range(2, 12):
        await report(chain, number, (GMAIL,), "d2", BOB, f"phone{number % 2}x")
        await index.catch_up()
    await index.save(path)
    gone = index._writer.gone
    assert 10 <= gone <= 20
    assert (await ImpactIndex.loaded(path, chain.store, loaded))._writer.gone == gone
    await report(chain, 12, (GMAIL,), "d2", BOB, "phone9x")
    monkeypatch.setattr(building, "GONE_MOST", gone)
    with pytest.raises(MustRebuild, match="have gone"):
        await index.catch_up()
    anew = await build(chain.store, loaded)
    assert anew.gone == 0


async def test_a_device_that_says_it_is_outlook_from_now_on(chain: Chain) -> None:
    await some_people(chain)
    index = await ImpactIndex.built(chain.store, loaded)
    for at, kind in ((NOW + 60, "Outlook"), (NOW + 120, "iPhone")):
        await chain.mail_devices.take([Sighting("nobody@example.com", "phone9", at, kind)])
        await index.catch_up()
        await assert_exact(index, chain)
