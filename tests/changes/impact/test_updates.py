"""An index that followed every change is the index of what is there now; a view stays as it was."""

from collections import Counter
from dataclasses import replace

import pytest

from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App, Platform
from gateway.domain.policy import policy_of
from tests.support.evidence_strategies import NOW, bound, seen
from tests.support.impact_equality import compare, content, updates, written
from tests.support.random_fleets import Draw, Drawn

PHONE = App(Platform.ANDROID, "com.example.phone")
GAME = App(Platform.ANDROID, "com.example.game")


@pytest.mark.parametrize("seed", range(40))
def test_following_every_change_is_like_building_anew(seed: int) -> None:
    draw = Draw(seed)
    people = draw.fleet(6)
    writer = written(people)
    for _ in range(12):
        batch = draw.random.sample(range(6), draw.random.randint(1, 3))
        changes = []
        for place in batch:
            before = people[place].record if draw.chance(0.5) else None
            people[place] = draw.changed(people[place], place)
            changes.append(Update(people[place].record, before, people[place].device_types))
        writer.put(changes)
        # What mail devices said before counts until they say something else.
        writer.put(updates(people))
        assert content(writer.view()) == content(written(people).view())


def test_a_view_stays_as_it_was() -> None:
    draw = Draw(5)
    people = draw.fleet(8)
    writer = written(people)
    view, then = writer.view(), content(written(people).view())
    for round_ in range(5):
        for place in range(8):
            people[place] = draw.changed(people[place], place)
        writer.put(updates([*people, draw.person(100 + round_)]))
    assert content(view) == then
    assert content(writer.view()) != then


def person(*apps: App, login: str = "ann@corp.example", logins: tuple[str, ...] = ()) -> PersonRecord:
    device = bound(seen(*apps))
    return PersonRecord(login, True, logins or (login,), frozenset({"sales"}), {"d1": device})


def holders(fleet: Fleet, app: App) -> list[str]:
    for number, bitmap in fleet.entries.items():
        if fleet.catalogue.app(number) == app:
            return [fleet.person_ids[fleet.devices.person[each]] for each in bitmap]
    return []


def test_a_report_touches_the_apps_that_differ() -> None:
    writer = Writer("life")
    writer.put([Update(person(PHONE, GAME))])
    assert holders(writer.view(), GAME) == ["ann@corp.example"]
    writer.put([Update(person(PHONE), before=person(PHONE, GAME))])
    assert holders(writer.view(), GAME) == []
    assert holders(writer.view(), PHONE) == ["ann@corp.example"]


def test_a_wrong_word_on_what_was_before_is_not_believed() -> None:
    writer = Writer("life")
    writer.put([Update(person(PHONE, GAME))])
    writer.put([Update(person(PHONE), before=person())])
    assert holders(writer.view(), GAME) == []


def test_one_person_twice_in_a_batch() -> None:
    writer = Writer("life")
    writer.put([Update(person(PHONE, GAME)), Update(person(GAME)), Update(person(PHONE))])
    assert holders(writer.view(), GAME) == []
    assert holders(writer.view(), PHONE) == ["ann@corp.example"]
    writer.put([Update(person()), Update(person(GAME))])
    assert holders(writer.view(), GAME) == ["ann@corp.example"]
    assert holders(writer.view(), PHONE) == []


def test_a_login_of_its_own_becomes_an_alias_and_goes_to_somebody_else() -> None:
    writer = Writer("life")
    writer.put([Update(replace(person(GAME, login="a.smith@corp.example"), known=False))])
    alias = ("ann@corp.example", "a.smith@corp.example")
    writer.put([Update(person(PHONE, logins=alias))])
    fleet = writer.view()
    assert fleet.person_of_login("a.smith@corp.example") == fleet.person_of_login("ann@corp.example")
    assert holders(fleet, GAME) == []
    assert list(writer.people_held()) == ["ann@corp.example"]
    bob = person(login="bob@corp.example", logins=("bob@corp.example", "a.smith@corp.example"))
    for order in ((bob, person(PHONE)), (person(PHONE), bob)):
        other = Writer("life")
        other.put([Update(person(PHONE, logins=alias))])
        for record in order:
            other.put([Update(record)])
        fleet = other.view()
        assert fleet.person_ids[fleet.logins["a.smith@corp.example"]] == "bob@corp.example"
        assert set(fleet.logins) == {"ann@corp.example", "bob@corp.example", "a.smith@corp.example"}


def test_who_is_gone_is_in_no_set() -> None:
    writer = Writer("life")
    writer.put([Update(person(PHONE, GAME))])
    writer.put([Update(PersonRecord("ann@corp.example", False, ("ann@corp.example",)))])
    assert content(writer.view()) == content(Writer("life").view())
    writer.put([Update(person(PHONE))])
    assert content(writer.view()) == content(written([Drawn(person(PHONE), {})]).view())


def test_what_a_device_says_it_is_counts_until_it_says_something_else() -> None:
    draw, found = Draw(11), Counter[str]()
    people = draw.fleet(8)
    writer = written(people)
    writer.put([Update(each.record) for each in people])
    for number in range(5):
        compare(writer.view(), people, policy_of(draw.policy(8, number)), NOW, found)
