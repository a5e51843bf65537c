"""A saved index is the index; one that is torn, changed, or of another life is refused in words."""

import stat
from collections import Counter
from pathlib import Path

import pytest

from gateway.changes.impact.saving import Unusable, frozen, load, save
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import policy_of
from tests.support.evidence_strategies import NOW
from tests.support.impact_equality import compare, content, updates, written
from tests.support.random_fleets import Draw, Drawn


def saved(people: list[Drawn], path: Path) -> Writer:
    writer = written(people)
    save(frozen(writer), path)
    return writer


@pytest.mark.parametrize("seed", range(15))
def test_what_is_loaded_says_the_same(seed: int, tmp_path: Path) -> None:
    draw = Draw(seed)
    people = draw.fleet(8)
    writer = saved(people, tmp_path / "index")
    loaded, unwritten = load(tmp_path / "index", "life")
    assert (loaded.sequence, loaded.incarnation) == (7, "life")
    again = [each for each in people if each.record.person_id in unwritten]
    loaded.put(updates(again))
    assert content(loaded.view()) == content(writer.view())
    compare(loaded.view(), people, policy_of(draw.policy(8)), NOW, Counter())


def test_and_goes_on(tmp_path: Path) -> None:
    draw = Draw(3)
    people = draw.fleet(8)
    saved(people, tmp_path / "index")
    loaded, unwritten = load(tmp_path / "index", "life")
    loaded.put(updates(each for each in people if each.record.person_id in unwritten))
    people = [*(draw.changed(each, place) for place, each in enumerate(people)), draw.person(20)]
    loaded.put(updates(people))
    compare(loaded.view(), people, policy_of(draw.policy(8)), NOW, Counter())


def test_an_empty_index(tmp_path: Path) -> None:
    saved([], tmp_path / "index")
    loaded, unwritten = load(tmp_path / "index", "life")
    assert (content(loaded.view()), unwritten) == (content(Writer("life").view()), [])
    loaded.put([Update(Draw(1).person(1).record)])


def test_people_who_are_gone_and_apps_nobody_has_stay_away(tmp_path: Path) -> None:
    draw = Draw(4)
    people = draw.fleet(6)
    writer = written([*people, draw.person(6)])
    writer.put([Update(PersonRecord("p6@corp.example", False, ("p6@corp.example",)))])
    save(frozen(writer), tmp_path / "index")
    loaded, unwritten = load(tmp_path / "index", "life")
    loaded.put(updates(each for each in people if each.record.person_id in unwritten))
    assert content(loaded.view()) == content(written(people).view())


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    saved(Draw(1).fleet(2), tmp_path / "index")
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["index"]


def test_a_save_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "index"
    saved(Draw(1).fleet(2), path)
    before = path.read_bytes()
    (tmp_path / "index.new").mkdir()
    with pytest.raises(OSError, match=r"index\.new"):
        saved(Draw(2).fleet(2), path)
    assert path.read_bytes() == before


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="no index was saved yet"):
        load(tmp_path / "index", "life")


def test_of_another_life(tmp_path: Path) -> None:
    saved(Draw(1).fleet(2), tmp_path / "index")
    with pytest.raises(Unusable, match="another life of the store"):
        load(tmp_path / "index", "restored")


@pytest.mark.parametrize("where", range(24))
def test_a_torn_or_changed_file(where: int, tmp_path: Path) -> None:
    path = tmp_path / "index"
    saved(Draw(1).fleet(4), path)
    octets = path.read_bytes()
    at = len(octets) * where // 24
    path.write_bytes(octets[:at])
    with pytest.raises(Unusable, match=r"damaged|another version"):
        load(path, "life")
    path.write_bytes(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :])
    with pytest.raises(Unusable, match=r"damaged|another version"):
        load(path, "life")
