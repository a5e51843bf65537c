"""A part that cannot be repeated under other names is refused; that one can be is held in ``tests/demo``."""

from dataclasses import replace

import pytest

from gateway.changes.impact.tiling import tiled
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.evidence import PersonRecord
from tests.support.evidence_strategies import DAY, HOUR, MAIL, NOW, bound, seen


def part(*records: PersonRecord) -> Writer:
    writer = Writer("life", 7)
    writer.put(map(Update, records))
    return writer


ANN = PersonRecord("ann@x", True, ("ann@x",), frozenset({"sales"}))


def test_people_are_repeated_under_their_new_names() -> None:
    fleet = tiled(part(ANN), 3, lambda name, tile: f"{name}{tile}").view()
    assert list(fleet.person_ids) == ["ann@x0", "ann@x1", "ann@x2"]
    assert fleet.person_of_login("ann@x2") == 2
    assert list(fleet.members["sales"]) == [0, 1, 2]
    assert (fleet.incarnation, fleet.sequence) == ("life", 7)


def test_lists_of_several_sources_are_repeated_for_every_device() -> None:
    device = bound(seen(MAIL, source="mdm"), seen(MAIL, source="jamf", device="j1", age=2 * HOUR))
    repeated = tiled(part(replace(ANN, devices={"d1": device})), 2, lambda name, tile: f"{name}{tile}")
    lists = repeated.view().lists
    assert lists.device.tolist() == [0, 0, 1, 1]
    sources = {number: name for name, number in lists.numbers.items()}
    assert [sources[each] for each in lists.source.tolist()] == ["jamf", "mdm"] * 2
    assert lists.sufficient_until.tolist() == [NOW + DAY - 2 * HOUR, NOW + DAY - HOUR] * 2
    assert lists.stale_from.tolist() == lists.sufficient_until.tolist()


def test_aliases_strangers_and_people_who_are_gone_are_not() -> None:
    alias = PersonRecord("ann@x", True, ("ann@x", "a@x"))
    gone = part(ANN)
    gone.put([Update(PersonRecord("ann@x", False, ("ann@x",)))])
    for writer in (part(alias), gone):
        with pytest.raises(ValueError, match="is not repeated"):
            tiled(writer, 2, lambda name, tile: f"{name}{tile}")
