"""A ban's flag for one person, protocol and moment: own flag, rules newest first, shares, groups, dates."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule
from gateway.domain.enforcement import FlagInForce, flag_in_force, share_of
from gateway.domain.verdict import FOREVER
from tests.support.evidence_strategies import DAY, NOW, TIKTOK_BAN

PEOPLE = [f"user{number}@corp.example" for number in range(4000)]
OFF, REPORT, ENFORCE = Flag.OFF, Flag.REPORT_ONLY, Flag.ENFORCE


def flag(
    ban: Ban,
    person: str = PEOPLE[0],
    groups: frozenset[str] = frozenset(),
    protocol: Protocol = Protocol.ACTIVESYNC,
    now: float = NOW,
) -> Flag:
    return flag_in_force(ban, person, groups, protocol, now).flag


def ban(own: Flag, *rules: FlagRule, seed: int = 7) -> Ban:
    return replace(TIKTOK_BAN, flag=own, rules=rules, seed=seed)


def enforced(found: Ban) -> set[str]:
    return {person for person in PEOPLE if flag(found, person) is ENFORCE}


@pytest.mark.parametrize("own", list(Flag))
def test_the_ban_s_own_flag(own: Flag) -> None:
    assert flag_in_force(ban(own), PEOPLE[0], (), Protocol.IMAP, NOW) == FlagInForce(own, FOREVER)


def test_a_new_ban_only_reports() -> None:
    assert flag(Ban("new", ())) is REPORT


def test_each_ban_has_its_own_flag() -> None:
    assert [flag(ban(own)) for own in (OFF, ENFORCE, REPORT)] == [OFF, ENFORCE, REPORT]


def test_by_protocol() -> None:
    found = ban(REPORT, FlagRule(ENFORCE, Protocol.ACTIVESYNC))
    assert {each: flag(found, protocol=each) for each in Protocol} == {
        each: ENFORCE if each is Protocol.ACTIVESYNC else REPORT for each in Protocol
    }


def test_by_group() -> None:
    found = ban(REPORT, FlagRule(ENFORCE, group="pilot"))
    assert flag(found, groups=frozenset({"pilot", "sales"})) is ENFORCE
    assert flag(found, groups=frozenset({"sales"})) is REPORT
    assert flag(found) is REPORT


def test_all_conditions_of_a_rule_must_hold() -> None:
    found = ban(OFF, FlagRule(ENFORCE, Protocol.IMAP, "pilot", 100.0))
    assert flag(found, groups=frozenset({"pilot"}), protocol=Protocol.IMAP) is ENFORCE
    assert flag(found, groups=frozenset({"pilot"})) is OFF
    assert flag(found, protocol=Protocol.IMAP) is OFF
    nobody = ban(OFF, FlagRule(ENFORCE, Protocol.IMAP, "pilot", 0.0))
    assert flag(nobody, groups=frozenset({"pilot"}), protocol=Protocol.IMAP) is OFF


def test_the_newest_rule_that_fits_wins() -> None:
    found = ban(REPORT, FlagRule(OFF, group="board"), FlagRule(ENFORCE, group="sales"))
    assert flag(found, groups=frozenset({"board", "sales"})) is OFF
    assert flag(found, groups=frozenset({"sales"})) is ENFORCE
    turned = replace(found, rules=found.rules[::-1])
    assert flag(turned, groups=frozenset({"board", "sales"})) is ENFORCE


def test_a_ban_for_groups_is_off_for_everybody_else() -> None:
    found = replace(ban(ENFORCE), groups=frozenset({"sales", "board"}))
    assert flag(found, groups=frozenset({"board"})) is ENFORCE
    assert flag(found, groups=frozenset({"other"})) is OFF
    assert flag(found) is OFF
    assert flag(replace(found, rules=(FlagRule(ENFORCE),)), groups=frozenset({"other"})) is OFF


# --- Shares


def test_a_share_that_grows_keeps_whom_it_had() -> None:
    steps = [enforced(ban(REPORT, FlagRule(ENFORCE, percent=percent))) for percent in (0.0, 10.0, 25.0, 50.0, 100.0)]
    for smaller, larger in pairwise(steps):
        assert smaller < larger
    assert not steps[0]
    assert steps[-1] == set(PEOPLE)


def test_growing_by_a_newer_rule_keeps_them_too() -> None:
    first = ban(REPORT, FlagRule(ENFORCE, percent=10.0))
    grown = replace(first, rules=(FlagRule(ENFORCE, percent=25.0), *first.rules))
    assert enforced(first) < enforced(grown)
    assert enforced(grown) == enforced(ban(REPORT, FlagRule(ENFORCE, percent=25.0)))


@pytest.mark.parametrize("percent", [1.0, 10.0, 25.0, 50.0])
def test_a_share_is_as_large_as_it_says(percent: float) -> None:
    found = len(enforced(ban(REPORT, FlagRule(ENFORCE, percent=percent))))
    deviation = (len(PEOPLE) * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(found - len(PEOPLE) * percent / 100) < 4 * deviation


def test_two_bans_do_not_meet_the_same_people_first() -> None:
    one, other = (enforced(ban(REPORT, FlagRule(ENFORCE, percent=10.0), seed=seed)) for seed in (1, 2))
    assert len(one & other) < len(one) / 4


def test_the_place_of_a_person_never_changes() -> None:
    """Places are part of what a deployment remembers: another hash would move everybody at an update."""
    places = [round(share_of(person, 7), 6) for person in ("ann@corp.example", "bob@corp.example")]
    assert places == [40.363319, 99.276931]


@given(st.text(max_size=30), st.integers(-(2**63), 2**64))
def test_every_person_has_a_place(person: str, seed: int) -> None:
    assert 0.0 <= share_of(person, seed) < 100.0
    assert share_of(person, seed) == share_of(person, seed)


# --- Dates


def at(now: float, **dates: float | None) -> FlagInForce:
    return flag_in_force(replace(ban(ENFORCE), **dates), PEOPLE[0], (), Protocol.ACTIVESYNC, now)  # type: ignore[arg-type]


def test_before_it_starts_an_enforced_ban_only_reports() -> None:
    assert at(NOW - 1, starts_at=NOW) == FlagInForce(REPORT, NOW)
    assert at(NOW, starts_at=NOW) == FlagInForce(ENFORCE, FOREVER)


def test_when_it_ends_a_ban_is_off() -> None:
    assert at(NOW - 1, ends_at=NOW) == FlagInForce(ENFORCE, NOW)
    assert at(NOW, ends_at=NOW) == FlagInForce(OFF, FOREVER)


def test_between_the_dates() -> None:
    dates = {"starts_at": NOW, "ends_at": NOW + DAY}
    assert at(NOW - 1, **dates) == FlagInForce(REPORT, NOW)
    assert at(NOW, **dates) == FlagInForce(ENFORCE, NOW + DAY)
    assert at(NOW + DAY, **dates) == FlagInForce(OFF, FOREVER)
    assert at(NOW - 1, starts_at=NOW + DAY, ends_at=NOW) == FlagInForce(REPORT, NOW)


@pytest.mark.parametrize("own", [OFF, REPORT])
def test_what_does_not_enforce_stays_as_it_is_before_the_start(own: Flag) -> None:
    found = replace(ban(own), starts_at=NOW + 1)
    assert flag_in_force(found, PEOPLE[0], (), Protocol.IMAP, NOW) == FlagInForce(own, NOW + 1)


def test_a_rule_does_not_start_earlier_than_its_ban() -> None:
    found = replace(ban(OFF, FlagRule(ENFORCE)), starts_at=NOW + 1)
    assert flag(found) is REPORT
    assert flag(found, now=NOW + 1) is ENFORCE
