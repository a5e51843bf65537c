"""The story "sent in error": told whole to a small company, and what its fleet and its counting rest on."""

import json
from pathlib import Path

import pytest

from gateway.app.parts import DATABASE_FILE, INDEX_FILE, record_loader
from gateway.changes.impact.building import build
from gateway.changes.impact.saving import load
from gateway.demo.sent_in_error import fleet as fleets
from gateway.demo.sent_in_error.findings import Corrected, Finding, corrected, markdown
from gateway.demo.sent_in_error.fleet import device_id_of, fleet_of, login_of, renamed
from gateway.demo.sent_in_error.post_office import Letter
from gateway.demo.sent_in_error.writing import write
from gateway.domain.identity import IdentityRules
from gateway.storage.sql import open_store
from gateway.storage.sql.filling import Filled, fill
from tests.demo.test_command import demo, ended, left_in
from tests.support.impact_equality import content

NOW = 1_800_000_000.0


async def test_a_small_company_is_told_and_told_again(tmp_path: Path) -> None:
    table = tmp_path / "found.md"
    (tmp_path / "temporary").mkdir()
    words = ("--story", "sent-in-error", "--people", "500", "--once", "--json", "--markdown", str(table))
    async with demo(tmp_path / "temporary", *words) as process:
        out, err = await ended(process)
    assert (process.returncode, err) == (0, ""), out
    *steps, last = [json.loads(line) for line in out.splitlines()]
    found = {each["what"]: each for each in last["findings"]}
    assert [each["what"] for each in found.values() if each["holds"] != "yes"] == []
    fleet = fleet_of(500, NOW)
    cut = f"{fleet.holding} devices of {fleet.people_holding} people"
    assert found["whom the change would cut"]["found"] == cut
    assert found["the first batch, and nothing behind it"]["found"] == "12 in 12 mailboxes"
    corrections = found["exactly those who were told are told that it was a mistake"]["found"]
    assert corrections == "12 of 12, each in the thread of the first; 0 others were written to"
    assert "one person alone may turn 50 within a day" in next(
        each["text"] for each in steps if each["name"] == "guarded"
    )
    assert table.read_text().count("\n|") == len(found) + 2
    assert left_in(tmp_path / "temporary") == []


# --- the fleet


async def test_what_is_written_in_bulk_is_what_is_built_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and index agree: names, apps, groups, times, by the product's own way of reading."""
    monkeypatch.setattr(fleets, "DEPARTMENT", 30)
    fleet = fleet_of(120, NOW)
    assert (fleet.departments, fleet.people_each) == (4, 30)
    database, index = tmp_path / DATABASE_FILE, tmp_path / INDEX_FILE
    write(database, index, fleet, "whsec_AAAA", NOW, lambda what, done, whole: None)
    store = await open_store(f"sqlite:///{database}", writable=True)
    try:
        built = await build(store, record_loader(IdentityRules("demo.example")))
        saved, unwritten = load(index, built.incarnation)
    finally:
        await store.close()
    assert unwritten == []
    assert content(saved.view()) == content(built.view())
    assert len(saved.device_ids) == fleet.devices == 4 * len(fleet.devices_each)
    assert saved.sequence == built.sequence


def test_a_large_company_has_the_numbers_that_are_told() -> None:
    fleet = fleet_of(840_000, NOW)
    assert (fleet.people, fleet.devices, fleet.people_each) == (840_000, 1_000_000, 2_100)
    assert 0.11 < fleet.holding / fleet.devices < 0.12
    assert fleet.people_holding < fleet.holding


def test_phones_are_of_different_people_and_hold_what_they_should() -> None:
    fleet = fleet_of(4_200, NOW)
    for holding in (True, False):
        phones = fleet.phones(60, holding=holding)
        assert len({number for number, _ in phones}) == 60
        assert {device.holds for _, device in phones} == {holding}
    people = {number % fleet.people_each for number, _ in fleet.phones(60, holding=False)}
    assert people.isdisjoint(device.person for device in fleet.devices_each if device.holds)


def test_names_have_their_number_at_one_place() -> None:
    assert renamed(login_of(7), 2_100) == login_of(2_107)
    assert renamed(device_id_of(7, "b"), 2_100) == device_id_of(2_107, "b")


def test_a_column_that_is_not_there_is_not_filled(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fill(tmp_path / "new.db", [Filled("people", ("nobody",), [], 0)])


# --- counting


FIRST = Letter("<1@x>", "", (), "Mail access")
SECOND = Letter("<2@x>", "<1@x>", ("<1@x>",), "Re: Mail access")


def test_a_correction_counts_only_in_the_thread_of_what_it_corrects() -> None:
    before = {"a@x": [FIRST]}
    assert corrected(before, {"a@x": [FIRST, SECOND]}) == Corrected(1, 1, 0)
    assert corrected(before, {"a@x": [FIRST, SECOND]}).exact
    for after in (
        {"a@x": [FIRST]},
        {"a@x": [FIRST, SECOND, SECOND]},
        {"a@x": [FIRST, Letter("<2@x>", "", (), "Mail access")]},
        {"a@x": [FIRST, Letter("<2@x>", "<9@x>", ("<9@x>",), "Re: Mail access")]},
        {"a@x": [SECOND, FIRST]},
    ):
        assert not corrected(before, after).exact, after
    assert corrected(before, {"a@x": [FIRST, SECOND], "b@x": [SECOND]}) == Corrected(1, 1, 1)


def test_a_row_that_does_not_hold_says_so() -> None:
    text = markdown("Title:", [Finding("a|b", "1", "x"), Finding("c", "2", "x", False)], "Note.")
    assert text == (
        "Title:\n\n| what | found | counted by | holds |\n| --- | --- | --- | --- |\n"
        "| a\\|b | 1 | x | yes |\n| c | 2 | x | NO |\n\nNote.\n"
    )
