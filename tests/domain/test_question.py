"""Which devices answer for a request, and what the rule for Outlook on phones may and may not do."""

from dataclasses import replace

import pytest

from gateway.domain.bans import Flag
from gateway.domain.decide import decide
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, Tombstone
from gateway.domain.policy import (
    OutlookMobile,
    PolicyVersion,
    Unknowns,
    first_policy,
    policy_of,
)
from gateway.domain.question import devices_in_question
from gateway.domain.verdict import Effect, Reason, Verdict
from tests.support.evidence_strategies import (
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
    unmatched,
)

STONE = Tombstone(TIKTOK, "mdm", NOW - HOUR)
CLEAN = bound(seen(MAIL), device_id="phone")
CLOUD = unmatched("cloud", first_seen_at=NOW - HOUR)
OUTLOOK = asking("cloud", device_type="Outlook")


def version(rule: OutlookMobile, unknowns: Unknowns | None = None) -> PolicyVersion:
    return replace(
        first_policy(0.0), bans=(TIKTOK_BAN,), outlook_mobile=rule, unknowns=unknowns or denying("unmatched")
    )


def verdict(record: PersonRecord, rule: OutlookMobile, unknowns: Unknowns | None = None) -> Verdict:
    return decide(OUTLOOK, record, policy_of(version(rule, unknowns)), NOW)


def asked(device_id: str, record: PersonRecord, rule: OutlookMobile = OutlookMobile.UNMATCHED) -> list[str]:
    request = asking(device_id, device_type="outlook" if device_id == "cloud" else "iPhone")
    return [device.device_id for device in devices_in_question(request, record, version(rule))]


def test_the_device_that_asks_answers_for_itself() -> None:
    record = of_person(CLEAN, bound(seen(TIKTOK), device_id="other"))
    assert asked("phone", record) == ["phone"]
    assert asked("never-seen", record) == ["never-seen"]


def test_without_a_device_id_all_devices_answer() -> None:
    assert asked("", of_person(CLEAN, CLOUD, bound(seen(), device_id=""))) == ["phone", "cloud", ""]


def test_outlook_answers_by_the_phones_where_the_rule_says_user_wide() -> None:
    record = of_person(CLEAN, CLOUD, bound(seen(), device_id=""))
    assert asked("cloud", record, OutlookMobile.USER_WIDE) == ["phone", ""]
    assert asked("cloud", of_person(CLEAN), OutlookMobile.USER_WIDE) == ["phone"]
    assert asked("phone", record, OutlookMobile.USER_WIDE) == ["phone"]


@pytest.mark.parametrize("rule", [each for each in OutlookMobile if each is not OutlookMobile.USER_WIDE])
def test_by_any_other_rule_the_cloud_s_id_answers_for_itself(rule: OutlookMobile) -> None:
    assert asked("cloud", of_person(CLEAN, CLOUD), rule) == ["cloud"]


def test_user_wide_the_cloud_s_id_is_let_in_by_clean_phones_before_and_after_its_first_request() -> None:
    for record in (of_person(CLEAN), of_person(CLEAN, CLOUD)):
        told = verdict(record, OutlookMobile.USER_WIDE, denying("unmatched", "missing"))
        assert (told.effect, told.reason) == (Effect.ALLOW, Reason.CLEAN)


def test_user_wide_one_dirty_phone_keeps_the_cloud_out() -> None:
    told = verdict(of_person(CLEAN, CLOUD, bound(seen(TIKTOK), device_id="other")), OutlookMobile.USER_WIDE)
    assert (told.effect, told.reason, told.device_id) == (Effect.DENY, Reason.BANNED_APP, "other")


def test_user_wide_without_any_phone_the_setting_for_missing_decides() -> None:
    for record in (of_person(), of_person(CLOUD)):
        told = verdict(record, OutlookMobile.USER_WIDE, denying("missing"))
        assert (told.effect, told.reason) == (Effect.DENY, Reason.EVIDENCE_MISSING)


@pytest.mark.parametrize(
    ("rule", "effect", "would"),
    [
        (OutlookMobile.UNMATCHED, Effect.DENY, Effect.DENY),
        (OutlookMobile.DENY, Effect.DENY, Effect.DENY),
        (OutlookMobile.REPORT_ONLY, Effect.ALLOW, Effect.DENY),
        (OutlookMobile.ALLOW, Effect.ALLOW, Effect.ALLOW),
    ],
)
def test_the_rule_stands_in_for_unmatched_devices(rule: OutlookMobile, effect: Effect, would: Effect) -> None:
    for record in (of_person(), of_person(CLOUD)):
        told = verdict(record, rule)
        assert (told.effect, told.would) == (effect, would)


def test_outlook_may_be_refused_where_unmatched_devices_are_not() -> None:
    told = verdict(of_person(CLOUD), OutlookMobile.DENY, Unknowns())
    assert (told.effect, told.reason) == (Effect.DENY, Reason.DEVICE_UNMATCHED)


@pytest.mark.parametrize("rule", list(OutlookMobile))
def test_no_rule_lets_in_an_id_that_a_banned_app_is_known_of(rule: OutlookMobile) -> None:
    claimed = DeviceEvidence("cloud", BindingState.UNMATCHED, (seen(TIKTOK),))
    for device in (bound(seen(TIKTOK), device_id="cloud"), unmatched("cloud", STONE), claimed):
        told = verdict(of_person(device), rule, Unknowns())
        assert (told.effect, told.reason) == (Effect.DENY, Reason.BANNED_APP)


@pytest.mark.parametrize("rule", list(OutlookMobile))
def test_stating_the_type_frees_no_id_that_evidence_exists_for(rule: OutlookMobile) -> None:
    off = replace(version(rule), bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))
    device = unmatched("cloud", STONE)
    told = decide(OUTLOOK, of_person(device), policy_of(off), NOW)
    assert (told.effect, told.reason) == (Effect.DENY, Reason.DEVICE_UNMATCHED)
    stale = bound(seen(age=1000 * HOUR), device_id="cloud")
    assert verdict(of_person(stale), rule, denying("stale")).effect is Effect.DENY


@pytest.mark.parametrize("rule", list(OutlookMobile))
def test_a_bound_device_is_judged_like_any_other_whatever_type_it_states(rule: OutlookMobile) -> None:
    record = of_person(bound(seen(MAIL), device_id="cloud"), bound(seen(TIKTOK), device_id="other"))
    assert asked("cloud", record, rule) == ["cloud"]
    assert verdict(record, rule, denying("unmatched", "missing")).reason is Reason.CLEAN


def test_a_hit_left_behind_does_not_free_outlook_from_its_own_rule() -> None:
    lenient = replace(version(OutlookMobile.DENY, Unknowns()), bans=(replace(TIKTOK_BAN, flag=Flag.OFF),))
    told = decide(OUTLOOK, of_person(unmatched("cloud", STONE)), policy_of(lenient), NOW)
    assert (told.effect, told.reason) == (Effect.DENY, Reason.DEVICE_UNMATCHED)


def test_other_unmatched_devices_know_nothing_of_the_rule() -> None:
    for request in (asking("d9", device_type="iPhone"), asking("d9")):
        lenient = policy_of(version(OutlookMobile.ALLOW))
        assert decide(request, of_person(), lenient, NOW).effect is Effect.DENY


def test_the_rule_speaks_of_the_id_that_asks_only() -> None:
    request = asking("", device_type="Outlook")
    told = decide(request, of_person(CLEAN, CLOUD), policy_of(version(OutlookMobile.ALLOW)), NOW)
    assert (told.effect, told.device_id) == (Effect.DENY, "cloud")
