"""The grace of new devices: how long, how many, and for nobody with a banned app; and when that changes by itself."""

from dataclasses import replace

import pytest

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.decide import decide
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.grace import DEVICES_NOTED, Grace, grace_of
from gateway.domain.inventory import Naming
from gateway.domain.matching import compiled
from gateway.domain.policy import NewDeviceGrace, PolicyVersion, Setting, SettingRule, first_policy, policy_of
from gateway.domain.verdict import FOREVER, Effect, Reason
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
    unmatched,
)

TWO_FOR_A_DAY = NewDeviceGrace(DAY, 2)


def grace(device: DeviceEvidence, record: PersonRecord, *bans: Ban, allowance: NewDeviceGrace = TWO_FOR_A_DAY) -> Grace:
    version = replace(first_policy(0.0), bans=bans, grace=allowance)
    return grace_of(device, Protocol.ACTIVESYNC, record, compiled(bans), version, NOW)


def new(device_id: str, age: float = HOUR) -> DeviceEvidence:
    return unmatched(device_id, first_seen_at=NOW - age)


def test_a_new_device_has_its_time_from_the_first_request() -> None:
    assert grace(new("d1"), of_person(new("d1"))) == Grace(True, NOW - HOUR + DAY)
    assert grace(new("d1", DAY), of_person(new("d1", DAY))) == Grace(False)


def test_a_device_never_seen_has_its_time_from_now() -> None:
    assert grace(unmatched("d1"), of_person()) == Grace(True, NOW + DAY)


def test_a_fresh_install_has_no_grace_to_give() -> None:
    assert grace(new("d1"), of_person(new("d1")), allowance=NewDeviceGrace()) == Grace(False)
    assert grace(new("d1"), of_person(new("d1")), allowance=NewDeviceGrace(DAY, 0)).granted is False


def test_a_device_without_an_id_is_nobody_s_new_phone() -> None:
    assert grace(unmatched(""), of_person()) == Grace(False)


def test_at_most_so_many_new_devices_within_thirty_days() -> None:
    person = of_person(new("d1", HOUR), new("d2", 2 * HOUR), new("d3", 3 * HOUR))
    granted = {each: grace(person.devices[each], person).granted for each in person.devices}
    assert granted == {"d1": False, "d2": True, "d3": True}


def test_inventing_a_device_a_day_is_no_way_in() -> None:
    person = of_person(*(new(f"d{age}", age * DAY) for age in range(1, 10)))
    assert not grace(unmatched("fresh"), person).granted


def test_devices_of_more_than_thirty_days_ago_do_not_count() -> None:
    old = [new(f"old{number}", 30 * DAY + HOUR + 1) for number in range(5)]
    assert grace(new("d1"), of_person(new("d1"), *old)).granted
    younger = [new(f"old{number}", 30 * DAY + HOUR - 1) for number in range(2)]
    assert not grace(new("d1"), of_person(new("d1"), *younger)).granted


@pytest.mark.parametrize(("flag", "granted"), [(Flag.ENFORCE, False), (Flag.REPORT_ONLY, True), (Flag.OFF, True)])
def test_none_while_a_device_of_the_user_has_an_enforced_hit(flag: Flag, granted: bool) -> None:
    ban = replace(TIKTOK_BAN, flag=flag)
    for dirty in (bound(seen(TIKTOK), device_id="d2"), bound(seen(TIKTOK), device_id="", first_seen_at=None)):
        assert grace(new("d1"), of_person(new("d1"), dirty), ban).granted is granted


def test_a_cleared_hit_holds_no_grace_back() -> None:
    assert grace(new("d1"), of_person(new("d1"), bound(seen(MAIL), device_id="d2")), TIKTOK_BAN).granted


def test_it_ends_when_a_ban_of_another_device_starts() -> None:
    ban = replace(TIKTOK_BAN, starts_at=NOW + HOUR)
    person = of_person(new("d1"), bound(seen(TIKTOK), device_id="d2"))
    assert grace(new("d1"), person, ban) == Grace(True, NOW + HOUR)


def test_it_begins_when_a_ban_of_another_device_ends() -> None:
    ban = replace(TIKTOK_BAN, ends_at=NOW + HOUR)
    person = of_person(new("d1"), bound(seen(TIKTOK), device_id="d2"))
    assert grace(new("d1"), person, ban) == Grace(False, NOW + HOUR)


def test_a_device_never_seen_waits_until_the_others_are_no_longer_new() -> None:
    person = of_person(new("d1", 29 * DAY), new("d2", 28 * DAY))
    assert grace(unmatched("d9"), person, allowance=NewDeviceGrace(7 * DAY, 2)) == Grace(False, NOW + DAY)


def test_where_no_further_device_is_written_down_none_is_new() -> None:
    """Else every DeviceId beyond the bound would be new at each request, for ever."""
    old = [new(f"d{number}", 40 * DAY) for number in range(DEVICES_NOTED)]
    assert grace(unmatched("invented"), of_person(*old)) == Grace(False)
    assert grace(unmatched("invented"), of_person(*old[1:])).granted
    assert grace(new("noted"), of_person(*old, new("noted"))).granted


def test_the_verdict_says_when_grace_ends_and_refuses_then() -> None:
    version = replace(first_policy(0.0), unknowns=denying("unmatched"), grace=TWO_FOR_A_DAY)
    person = of_person(new("d1"))
    verdict = decide(asking(), person, policy_of(version), NOW)
    assert (verdict.effect, verdict.reason) == (Effect.ALLOW, Reason.NEW_DEVICE_GRACE)
    assert (verdict.would, verdict.would_reason) == (Effect.DENY, Reason.DEVICE_UNMATCHED)
    assert verdict.valid_until == NOW - HOUR + DAY
    after = decide(asking(), person, policy_of(version), verdict.valid_until)
    assert (after.effect, after.reason, after.valid_until) == (Effect.DENY, Reason.DEVICE_UNMATCHED, FOREVER)


def test_only_unmatched_and_unreported_devices_have_it() -> None:
    def effect(device: DeviceEvidence, *names: str) -> Effect:
        version: PolicyVersion = replace(first_policy(0.0), unknowns=denying(*names), grace=TWO_FOR_A_DAY)
        return decide(asking(), of_person(device), policy_of(version), NOW).effect

    fresh = NOW - HOUR
    assert effect(bound(first_seen_at=fresh), "missing") is Effect.ALLOW
    assert effect(new("d1"), "unmatched") is Effect.ALLOW
    assert effect(bound(seen(age=2 * DAY), first_seen_at=fresh), "stale") is Effect.DENY
    narrow = replace(seen(), naming=Naming.DISPLAY_NAME)
    assert effect(bound(narrow, first_seen_at=fresh), "scope") is Effect.DENY
    assert effect(bound(replace(seen(), compromised=True), first_seen_at=fresh), "compromised") is Effect.DENY


def test_a_setting_for_one_protocol_knows_the_grace_too() -> None:
    rule = SettingRule(Setting.DENY, Protocol.ACTIVESYNC)
    unknowns = denying()
    unknowns = replace(unknowns, unmatched=replace(unknowns.unmatched, rules=(rule,)))
    version = replace(first_policy(0.0), unknowns=unknowns, grace=TWO_FOR_A_DAY)
    assert decide(asking(), of_person(new("d1")), policy_of(version), NOW).reason is Reason.NEW_DEVICE_GRACE
