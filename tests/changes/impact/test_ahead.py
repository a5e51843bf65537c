"""Whom time alone cuts: held against ``decide`` at many moments, and the moments that make a policy milder."""

from dataclasses import replace

import pytest

from gateway.changes.impact.impact import Asked, impact_of
from gateway.domain.ageing import Ageing
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Exemption, Policy, policy_of
from gateway.domain.verdict import FOREVER, Effect
from tests.support.evidence_strategies import DAY, HOUR, NOW, denying
from tests.support.impact_equality import reached, written
from tests.support.impact_values import FRESH_FOR, fleet, login, policy, tiktok
from tests.support.random_fleets import Draw, Drawn, question


def later(of: Policy, *horizons: float) -> list[tuple[int, bool]]:
    impact = impact_of(fleet(), of, of, NOW, Asked(horizons=horizons))
    return [(len(each.devices), each.exact) for each in impact.later]


def test_evidence_goes_stale() -> None:
    stale = policy(unknowns=denying("stale"))
    assert later(stale, FRESH_FOR - 1, FRESH_FOR) == [(0, True), (4, True)]


def test_who_is_refused_already_is_not_cut_later() -> None:
    stale = policy(tiktok(), unknowns=denying("stale"))
    assert later(stale, DAY) == [(2, True)]


def test_a_source_that_is_held_is_held_on() -> None:
    """And that lists age only as far as somebody has looked is nothing that lasts."""
    stale = policy(unknowns=denying("stale"))
    for ageing, expected in ((Ageing(NOW), 4), (Ageing(NOW, {"mdm": NOW}), 0), (Ageing(held={"jamf": NOW}), 4)):
        assert later(replace(stale, ageing=ageing), FRESH_FOR) == [(expected, True)]


def test_a_ban_that_starts() -> None:
    assert later(policy(tiktok(starts_at=NOW + HOUR)), HOUR - 1, HOUR) == [(0, True), (2, True)]


def test_one_that_starts_and_ends_within_the_time_cuts_in_between() -> None:
    assert later(policy(tiktok(starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)), DAY) == [(2, True)]


def exemption(starts: float, ends: float) -> Exemption:
    return Exemption("e1", "root", "a reason", starts, ends, login("ann"))


def test_an_exemption_that_ends_and_one_that_begins() -> None:
    ends = policy(tiktok(), exemptions=(exemption(NOW - DAY, NOW + HOUR),))
    assert later(ends, HOUR - 1, HOUR) == [(0, True), (1, True)]
    gap = (exemption(NOW - DAY, NOW + HOUR), exemption(NOW + 2 * HOUR, NOW + 9 * DAY))
    assert later(policy(tiktok(), exemptions=gap), DAY) == [(1, True)]


def test_with_too_many_beginnings_it_says_that_it_is_not_exact() -> None:
    many = tuple(exemption(NOW + minute * 60, NOW + DAY) for minute in range(1, 30))
    assert later(policy(tiktok(), exemptions=many), 60.0, DAY)[1][1] is False


def refused(people: list[Drawn], of: Policy, now: float) -> set[tuple[str, str]]:
    found = set()
    for drawn in people:
        for device_id in drawn.record.devices:
            verdicts = [
                decide(question(drawn.record, device_id, each, drawn.device_types), drawn.record, of, now)
                for each in reached(drawn.record, device_id)
            ]
            if verdicts and all(each.effect is Effect.DENY for each in verdicts):
                found.add((drawn.record.person_id, device_id))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_as_decide_says_moment_by_moment(seed: int) -> None:
    draw = Draw(1000 + seed)
    people = [replace(each, record=asked_before(each.record)) for each in draw.fleet(5)]
    of = policy_of(replace(draw.policy(5), enforcement_on=True))
    of = replace(of, ageing=replace(draw.ageing(), until=FOREVER))
    fleet = written(people).view()
    (found,) = impact_of(fleet, of, of, NOW, Asked(horizons=(7 * DAY,))).later
    assert found.exact
    moments = sorted({at + step for at in turns(people, of) for step in (-1e-3, 0.0, 1e-3)})
    now = refused(people, of, NOW)
    then = set().union(*(refused(people, of, at) for at in moments if NOW < at <= NOW + 7 * DAY))
    names = {(fleet.person_ids[fleet.devices.person[each]], fleet.device_ids[each]) for each in found.devices}
    can_ask = {
        (each.record.person_id, device)
        for each in people
        for device in each.record.devices
        if reached(each.record, device)
    }
    assert names == (then - now) & can_ask


def asked_before(record: PersonRecord) -> PersonRecord:
    """All its devices asked before now, as they do where one clock counts."""
    devices = {
        key: replace(each, first_seen_at=min(each.first_seen_at or NOW - DAY, NOW))
        for key, each in record.devices.items()
    }
    return replace(record, devices=devices)


def turns(people: list[Drawn], of: Policy) -> set[float]:
    """Every moment at which anything begins or ends, and the end."""
    found = {NOW + 7 * DAY}
    for drawn in people:
        for device in (*drawn.record.devices.values(), *drawn.record.unbound):
            found |= {each.full_at + each.max_age for each in device.sources if each.full_at is not None}
            if device.first_seen_at is not None:
                found |= {device.first_seen_at + of.version.grace.seconds, device.first_seen_at + 30 * DAY}
    for ban in of.version.bans:
        found |= {at for at in (ban.starts_at, ban.ends_at) if at is not None}
    for each in of.version.exemptions:
        found |= {each.starts_at, each.ends_at}
    return found
