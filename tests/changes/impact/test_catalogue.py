"""Which apps a ban recognises: the catalogue finds those that ``domain.matching`` says, and no others."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.changes.impact import catalogue as module
from gateway.changes.impact.catalogue import Catalogue
from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.inventory import App, AppOrigin, Platform
from gateway.domain.matching import compiled
from tests.support.random_fleets import APPS, MATCHERS, SIGNER


def recognised(catalogue: Catalogue, ban: Ban) -> set[int]:
    index = compiled((ban,))
    return {number for number in range(len(catalogue)) if index.bans_of(catalogue.app(number))}


matchers = st.lists(st.sampled_from(MATCHERS), min_size=1, max_size=3).map(tuple)


@given(matchers, st.lists(st.sampled_from(MATCHERS), max_size=2).map(tuple))
def test_what_a_ban_recognises(found: tuple[Matcher, ...], exceptions: tuple[Matcher, ...]) -> None:
    catalogue, ban = Catalogue(APPS), Ban("x", found, exceptions)
    assert set(catalogue.entries_of(ban)) == recognised(catalogue, ban)


@pytest.mark.parametrize("matcher", MATCHERS, ids=lambda matcher: f"{matcher.kind}:{matcher.value}")
def test_by_the_dictionaries_as_well_as_one_by_one(matcher: Matcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED_ONE_BY_ONE", 0)
    catalogue, ban = Catalogue(APPS), Ban("x", (matcher,))
    assert catalogue.entries_of(ban)
    assert set(catalogue.entries_of(ban)) == recognised(catalogue, ban)


def test_apps_that_come_later_are_found_too() -> None:
    catalogue, ban = Catalogue(), Ban("x", (Matcher(MatcherKind.ID_PREFIX, "com.tencent", Platform.ANDROID),))
    assert not catalogue.entries_of(ban)
    for app in APPS:
        catalogue.number(app)
    assert set(catalogue.entries_of(ban)) == recognised(catalogue, ban)
    for number in range(2_000):
        catalogue.number(App(Platform.ANDROID, f"com.tencent.n{number % 3 or 'x'}.a{number}"))
    assert set(catalogue.entries_of(ban)) == recognised(catalogue, ban)
    assert len(catalogue.entries_of(ban)) == 2_002


def test_what_no_matcher_looks_at_makes_no_entry_of_its_own() -> None:
    catalogue = Catalogue()
    one = catalogue.number(App(Platform.ANDROID, "a.b", "A", installer="x"))
    assert catalogue.number(App(Platform.ANDROID, "a.b", "A", installer="y", system=True)) == one
    assert catalogue.number(App(Platform.ANDROID, "a.b", "A", "2.0")) != one
    assert len(catalogue) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"platform": Platform.IOS},
        {"id": "a.c"},
        {"name": "B"},
        {"version": "2"},
        {"version_code": 2},
        {"publisher": "P"},
        {"team_id": "ABCDE12345"},
        {"signers": (SIGNER,)},
        {"origin": AppOrigin.STORE},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_a_matcher_looks_at_does(other: dict[str, object]) -> None:
    catalogue, app = Catalogue(), App(Platform.ANDROID, "a.b", "A")
    numbers = {catalogue.number(app), catalogue.number(replace(app, **other))}  # type: ignore[arg-type]
    assert len(numbers) == 2
    assert len({catalogue.hash_of(number) for number in numbers}) == 2


def test_the_hash_of_an_app_is_the_same_in_every_catalogue() -> None:
    shuffled = random.Random(1).sample(APPS, len(APPS))
    one, other = Catalogue(APPS), Catalogue(shuffled)
    assert [one.hash_of(one.number(app)) for app in APPS] == [other.hash_of(other.number(app)) for app in APPS]
