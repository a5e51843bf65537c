"""Whom time would refuse all at once is foreseen, and the sources that they depend on are held before anybody is."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.changes.impact.looking_ahead import Ahead, look_ahead, refuses_the_stale
from gateway.domain.brake import NO_BRAKE, WINDOW_SECONDS, Brake, Hold, Limits, Release, Trouble
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, Setting, SettingRule, UnknownSetting, first_policy
from tests.changes.aged_fleets import FRESH, LASTING, SOON, STRICT, fleet_of, phones
from tests.support.evidence_strategies import DAY, HOUR, NOW, bound, denying, seen

LIMITS = Limits()


def looked(people: Sequence[PersonRecord], brake: Brake = NO_BRAKE, now: float = NOW, policy: Policy = STRICT) -> Ahead:
    return look_ahead(fleet_of(*people), policy, brake, now, LIMITS, LASTING)


def test_a_fleet_that_reports_may_age_for_ten_minutes_more() -> None:
    ahead = looked(phones("agents", 100, FRESH))
    assert ahead == Ahead(Brake(NOW + WINDOW_SECONDS), 100)


def test_a_source_whose_lists_end_together_is_held_before_they_do() -> None:
    ahead = looked([*phones("agents", 100, SOON), *phones("jamf", 900, FRESH)])
    hold = Hold("agents", Trouble.STALE, NOW, 100)
    assert ahead.begun == (hold,)
    assert ahead.brake == Brake(NOW + WINDOW_SECONDS, (hold,))
    assert ahead.fleet == 1000


@pytest.mark.parametrize(("ending", "of", "held"), [(19, 100, False), (20, 100, True), (20, 2_000, False)])
def test_few_are_not_held(ending: int, of: int, held: bool) -> None:
    ahead = looked([*phones("agents", ending, SOON), *phones("jamf", of - ending, FRESH)])
    assert bool(ahead.begun) is held


def test_a_few_of_another_source_are_refused_meanwhile() -> None:
    ahead = looked([*phones("agents", 100, SOON), *phones("jamf", 5, SOON), *phones("jamf2", 895, FRESH)])
    assert [each.source_id for each in ahead.begun] == ["agents"]


def test_many_sources_with_some_each_are_held_until_few_are_left() -> None:
    people = [each for source in "abcd" for each in phones(source, 10, SOON)]
    ahead = looked([*people, *phones("jamf", 960, FRESH)])
    # Of forty, nineteen may go.
    assert len(ahead.begun) == 3


def test_those_refused_already_stay_so_and_are_not_counted() -> None:
    people = [*phones("agents", 100, DAY + HOUR), *phones("jamf", 900, FRESH)]
    assert looked(people, Brake(NOW - 10)).begun == ()


def test_time_that_nobody_looked_at_counts_as_a_whole() -> None:
    """The clock jumped, or the gateway was down: nothing was judged beyond what was looked at."""
    people = [*phones("agents", 500, FRESH, spread=HOUR), *phones("jamf", 500, FRESH, spread=HOUR)]
    ahead = looked(people, Brake(NOW + WINDOW_SECONDS), NOW + 2 * DAY)
    assert {each.source_id: (each.since, each.devices) for each in ahead.begun} == {
        "agents": (NOW + WINDOW_SECONDS, 500),
        "jamf": (NOW + WINDOW_SECONDS, 500),
    }


def slow(now: float) -> list[PersonRecord]:
    """They report once a day, spread over it: in ten minutes only seven of a thousand end."""
    return phones("agents", 1000, now - NOW + 60, spread=0.5 * DAY)


def test_a_silent_source_is_held_however_slowly_its_lists_end() -> None:
    at = NOW + 0.5 * DAY
    assert looked(slow(NOW), Brake(NOW + 30), NOW).begun == ()
    begun: tuple[Hold, ...] = ()
    brake = Brake(NOW + WINDOW_SECONDS)
    while not begun and at < NOW + DAY:
        ahead = looked(slow(NOW), brake, at)
        begun, brake = ahead.begun, ahead.brake
        at += WINDOW_SECONDS
    assert begun
    refused = [each for each in slow(NOW) if expiry(each) < begun[0].since]
    assert len(refused) <= 20
    # And it is not let go because few end at a time.
    assert looked(slow(NOW), brake, at + WINDOW_SECONDS).ended == ()


def expiry(person: PersonRecord) -> float:
    (device,) = person.devices.values()
    (source,) = device.sources
    return source.generated_at + source.max_age


HELD = Brake(NOW, (Hold("agents", Trouble.STALE, NOW - HOUR, 100),))


def test_a_hold_goes_on_and_tells_how_many_it_holds() -> None:
    ahead = looked([*phones("agents", 80, DAY + 60), *phones("jamf", 920, FRESH)], HELD)
    assert (ahead.begun, ahead.ended) == ((), ())
    assert [each.devices for each in ahead.brake.holds] == [80]


def test_it_ends_by_itself_when_the_source_reports_again_and_few_are_left() -> None:
    back = [replace(each, person_id=f"back-{each.person_id}", logins=()) for each in phones("agents", 95, 60.0)]
    ahead = looked([*phones("agents", 5, DAY + 60), *back, *phones("jamf", 900, FRESH)], HELD)
    assert [each.source_id for each in ahead.ended] == ["agents"]
    assert ahead.brake.holds == ()


def test_what_an_operator_let_go_is_not_held_again() -> None:
    people = [*phones("agents", 100, SOON), *phones("jamf", 900, FRESH)]
    let_go = replace(NO_BRAKE, releases=(Release("agents", Trouble.STALE, "ann", NOW + 1),))
    assert looked(people, let_go).begun == ()
    assert looked(people, let_go, NOW + 2).begun != ()


def test_phones_with_a_fresh_list_of_another_source_need_no_hold() -> None:
    people = [
        replace(
            each,
            devices={
                name: bound(*device.sources, seen(source="jamf", device=name), device_id=name)
                for name, device in each.devices.items()
            },
        )
        for each in phones("agents", 100, SOON)
    ]
    assert looked(people).begun == ()


def test_where_age_refuses_nobody_there_is_nothing_to_hold() -> None:
    fresh = first_policy(0.0)
    assert not refuses_the_stale(fresh)
    strict = replace(fresh, unknowns=denying("stale"))
    assert refuses_the_stale(strict)
    assert not refuses_the_stale(replace(strict, enforcement_on=False))
    some = UnknownSetting(Setting.REPORT_ONLY, (SettingRule(Setting.DENY),))
    assert refuses_the_stale(replace(fresh, unknowns=replace(fresh.unknowns, stale=some)))
