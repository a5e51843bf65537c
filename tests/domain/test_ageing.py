"""Evidence ages as far as it may: lists of a held source stay as old as they were; nothing known is let in by that."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest
from gateway.domain.ageing import AGAIN_AFTER_SECONDS, AGEING, Ageing
from gateway.domain.decide import decide
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.policy import PolicyVersion, Setting, UnknownSetting, first_policy, policy_of
from gateway.domain.posture import Sufficiency, sufficiency
from gateway.domain.verdict import FOREVER, Cause, Effect, Posture, Reason, Verdict
from tests.domain.test_decide_properties import marks, told, worse_records
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import (
    DAY,
    HOUR,
    MAIL,
    NOW,
    TIKTOK,
    TIKTOK_BAN,
    asking,
    bound,
    denying,
    of_person,
    seen,
    thorough,
)

OVERDUE = seen(MAIL, age=DAY + HOUR)
"""Stale for an hour."""
STRICT = replace(first_policy(0.0), bans=(TIKTOK_BAN,), unknowns=denying("stale", "missing", "scope"))


def judged(device: DeviceEvidence, ageing: Ageing, version: PolicyVersion = STRICT, at: float = NOW) -> Verdict:
    return decide(asking(), of_person(device), replace(policy_of(version), ageing=ageing), at)


def held_at(at: float, source: str = "mdm") -> Ageing:
    return Ageing(held={source: at})


def test_a_list_of_a_held_source_stays_as_old_as_it_was() -> None:
    assert judged(bound(OVERDUE), AGEING).effect is Effect.DENY
    verdict = judged(bound(OVERDUE), held_at(NOW - 2 * HOUR))
    assert (verdict.effect, verdict.reason, verdict.posture) == (Effect.ALLOW, Reason.HELD, Posture.UNKNOWN)
    assert (verdict.would, verdict.would_reason, verdict.causes) == (Effect.DENY, Reason.EVIDENCE_STALE, (Cause.STALE,))
    assert verdict.valid_until == FOREVER


def test_what_was_stale_before_it_was_held_stays_refused() -> None:
    assert judged(bound(OVERDUE), held_at(NOW - HOUR + 1)).effect is Effect.DENY


def test_another_source_ages_meanwhile() -> None:
    assert judged(bound(OVERDUE), held_at(NOW - 2 * HOUR, "jamf")).effect is Effect.DENY
    one, other = replace(OVERDUE, source_id="jamf"), OVERDUE
    assert judged(bound(one, other), held_at(NOW - 2 * HOUR, "jamf")).reason is Reason.HELD


def test_nobody_ages_beyond_what_was_looked_at_and_is_looked_at_again_soon() -> None:
    verdict = judged(bound(OVERDUE), Ageing(until=NOW - 2 * HOUR))
    assert (verdict.effect, verdict.reason) == (Effect.ALLOW, Reason.HELD)
    assert verdict.valid_until == NOW + AGAIN_AFTER_SECONDS
    assert judged(bound(OVERDUE), Ageing(until=NOW)).effect is Effect.DENY


def test_a_fresh_list_is_judged_as_ever_and_ends_as_ever() -> None:
    fresh = bound(seen(MAIL))
    assert sufficiency(fresh, NOW, Ageing(until=NOW - DAY)) == sufficiency(fresh, NOW)
    verdict = judged(fresh, held_at(NOW))
    assert (verdict.reason, verdict.valid_until) == (Reason.CLEAN, NOW - HOUR + DAY)


def test_what_only_reports_is_no_hold() -> None:
    reporting = replace(STRICT, unknowns=replace(STRICT.unknowns, stale=UnknownSetting(Setting.REPORT_ONLY)))
    verdict = judged(bound(OVERDUE), held_at(NOW - 2 * HOUR), reporting)
    assert (verdict.reason, verdict.would, verdict.would_reason) == (
        Reason.NOT_ENFORCED,
        Effect.DENY,
        Reason.EVIDENCE_STALE,
    )


def test_other_causes_go_on() -> None:
    narrow = bound(replace(OVERDUE, suspicious=True))
    assert sufficiency(narrow, NOW, held_at(NOW - 2 * HOUR)) == Sufficiency((Cause.MISSING,), FOREVER, (Cause.STALE,))
    assert judged(narrow, held_at(NOW - 2 * HOUR)).reason is Reason.EVIDENCE_MISSING


def test_a_banned_app_on_an_old_list_of_a_held_source_is_refused() -> None:
    verdict = judged(bound(seen(TIKTOK, age=3 * DAY)), held_at(NOW - 3 * DAY))
    assert (verdict.effect, verdict.reason) == (Effect.DENY, Reason.BANNED_APP)


# --- For every question, record and policy

ageings = st.builds(
    Ageing,
    st.sampled_from([FOREVER, NOW + HOUR, NOW, NOW - 1, NOW - HOUR, NOW - DAY, NOW - 9 * DAY]),
    st.dictionaries(st.sampled_from(["mdm", "jamf"]), st.sampled_from([NOW, NOW - HOUR, NOW - DAY, NOW - 9 * DAY])),
)


def by(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion, ageing: Ageing, at: float = NOW
) -> Verdict:
    return decide(request, record, replace(policy_of(version), ageing=ageing), at)


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), ageings)
def test_it_only_takes_back_what_age_refuses(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion, ageing: Ageing
) -> None:
    free, slowed = by(request, record, version, AGEING), by(request, record, version, ageing)
    assert slowed.effect <= free.effect
    assert slowed.posture is free.posture
    assert slowed.causes == free.causes
    if slowed.effect is not free.effect:
        assert Cause.STALE in free.causes
        assert free.reason is not Reason.BANNED_APP
        assert (slowed.reason, slowed.would) == (Reason.HELD, free.effect)
    if free.reason is Reason.BANNED_APP:
        assert told(slowed) == told(free)


@thorough
@given(st.data(), drawn.requests, drawn.records(), drawn.policies(), ageings)
def test_bad_news_makes_no_verdict_milder_while_something_is_held(
    data: st.DataObject, request: AccessRequest, record: PersonRecord, version: PolicyVersion, ageing: Ageing
) -> None:
    if record.devices or record.unbound:
        worse = data.draw(worse_records(record))
        assert by(request, worse, version, ageing).effect >= by(request, record, version, ageing).effect


def moments(record: PersonRecord, version: PolicyVersion, ageing: Ageing) -> Iterator[float]:
    for at in (*marks(record, version), ageing.until, *ageing.held.values()):
        yield from (at + step for step in (-1e-3, 0.0, 1e-3))


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), ageings)
def test_before_valid_until_nothing_changes_by_itself(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion, ageing: Ageing
) -> None:
    verdict = by(request, record, version, ageing)
    assert verdict.valid_until > NOW
    for at in sorted(moments(record, version, ageing)):
        if NOW < at < verdict.valid_until:
            assert told(by(request, record, version, ageing, at)) == told(verdict), at - NOW


@pytest.mark.parametrize("until", [FOREVER, NOW, NOW + DAY])
def test_looked_far_enough_it_changes_nothing(until: float) -> None:
    for age in (HOUR, DAY, 3 * DAY):
        device = bound(seen(MAIL, age=age))
        assert judged(device, Ageing(until=until)) == judged(device, AGEING)
