"""Every rule of the decision: what it contributes, which setting governs it, and what the verdict tells."""

from dataclasses import replace

import pytest

from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.decide import decide
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import Naming, Platform, Scope
from gateway.domain.policy import (
    Exemption,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    Unknowns,
    UnknownSetting,
    first_policy,
    policy_of,
)
from gateway.domain.verdict import FOREVER, Cause, Effect, Posture, Reason, Verdict
from tests.support.evidence_strategies import (
    DAY,
    HOUR,
    LOGIN,
    MAIL,
    NOW,
    SIDELOAD_BAN,
    SIDELOADED,
    TENCENT_BAN,
    TIKTOK,
    TIKTOK_BAN,
    WECHAT,
    asking,
    bound,
    denying,
    of_person,
    seen,
    unmatched,
)

ALLOW, DEFER, DENY = Effect.ALLOW, Effect.DEFER, Effect.DENY
CLEAN, DIRTY = bound(seen(MAIL)), bound(seen(MAIL, TIKTOK))
ENFORCING = replace(first_policy(0.0), number=7, bans=(TIKTOK_BAN,))


def verdict(
    record: PersonRecord | None,
    version: PolicyVersion = ENFORCING,
    device_id: str = "d1",
    protocol: Protocol = Protocol.ACTIVESYNC,
    now: float = NOW,
) -> Verdict:
    return decide(asking(device_id, protocol), record, policy_of(version), now)


def flagged(flag: Flag, **changes: object) -> PolicyVersion:
    return replace(ENFORCING, bans=(replace(TIKTOK_BAN, flag=flag, **changes),))  # type: ignore[arg-type]


def setting(**settings: Setting | UnknownSetting) -> PolicyVersion:
    unknowns = {
        name: each if isinstance(each, UnknownSetting) else UnknownSetting(each) for name, each in settings.items()
    }
    return replace(ENFORCING, unknowns=replace(Unknowns(), **unknowns))


# --- Hits


def test_a_banned_app_is_refused_and_the_verdict_says_why() -> None:
    assert verdict(of_person(DIRTY)) == Verdict(
        *(DENY, Reason.BANNED_APP, Posture.DIRTY, 7, NOW - HOUR + DAY),
        ban="TikTok",
        app=TIKTOK,
        source_id="mdm",
        evidence_at=NOW - HOUR,
        would=DENY,
        would_reason=Reason.BANNED_APP,
        would_ban="TikTok",
        would_app=TIKTOK,
        device_id="d1",
        note="Remove TikTok.",
    )


def test_report_only_lets_through_and_tells_what_would_have_been() -> None:
    found = verdict(of_person(DIRTY), flagged(Flag.REPORT_ONLY))
    assert (found.effect, found.reason, found.posture) == (ALLOW, Reason.NOT_ENFORCED, Posture.DIRTY)
    assert (found.would, found.would_reason, found.would_ban, found.would_app) == (
        DENY,
        Reason.BANNED_APP,
        "TikTok",
        TIKTOK,
    )
    assert (found.ban, found.app, found.note, found.source_id, found.evidence_at) == ("", None, "", "mdm", NOW - HOUR)


def test_a_ban_that_is_off_says_nothing() -> None:
    found = verdict(of_person(DIRTY), flagged(Flag.OFF))
    assert (found.effect, found.would, found.posture) == (ALLOW, ALLOW, Posture.DIRTY)
    assert found.reason is Reason.NOT_ENFORCED


def test_an_enforced_ban_beside_one_that_reports_decides() -> None:
    bans = (replace(TENCENT_BAN, flag=Flag.REPORT_ONLY), TIKTOK_BAN, replace(SIDELOAD_BAN, flag=Flag.OFF))
    found = verdict(of_person(bound(seen(SIDELOADED, WECHAT, TIKTOK))), replace(ENFORCING, bans=bans))
    assert (found.effect, found.ban, found.app) == (DENY, "TikTok", TIKTOK)


def test_the_flag_is_that_of_the_protocol_person_and_moment() -> None:
    by_protocol = flagged(Flag.ENFORCE, rules=(FlagRule(Flag.OFF, Protocol.IMAP),))
    assert verdict(of_person(DIRTY), by_protocol, protocol=Protocol.IMAP).effect is ALLOW
    assert verdict(of_person(DIRTY), by_protocol, protocol=Protocol.WEBMAIL).effect is DENY
    by_group = flagged(Flag.OFF, rules=(FlagRule(Flag.ENFORCE, group="sales"),))
    assert verdict(of_person(DIRTY), by_group).effect is ALLOW
    assert verdict(of_person(DIRTY, groups=frozenset({"sales"})), by_group).effect is DENY
    later = flagged(Flag.ENFORCE, starts_at=NOW + 1)
    assert verdict(of_person(DIRTY), later).valid_until == NOW + 1
    assert verdict(of_person(DIRTY), later, now=NOW + 1).effect is DENY


def test_a_share_of_people_has_all_of_a_person_s_devices() -> None:
    other = bound(seen(TIKTOK, device="m2"), device_id="d2")
    for percent in (10.0, 50.0, 90.0):
        version = flagged(Flag.OFF, rules=(FlagRule(Flag.ENFORCE, percent=percent),))
        for number in range(40):
            record = replace(of_person(DIRTY, other), person_id=f"user{number}")
            assert verdict(record, version).effect is verdict(record, version, "d2").effect


def test_a_tombstone_refuses_like_the_app_itself() -> None:
    stone = Tombstone(TIKTOK, "mdm", NOW - DAY)
    found = verdict(of_person(unmatched("d1", stone)))
    assert (found.effect, found.reason, found.posture) == (DENY, Reason.BANNED_APP, Posture.DIRTY)
    assert (found.source_id, found.evidence_at) == ("mdm", NOW - DAY)


def test_in_a_conflict_a_hit_of_any_claimant_counts() -> None:
    device = DeviceEvidence("d1", BindingState.CONFLICT, (seen(MAIL, age=0.0), seen(TIKTOK, device="m2")))
    assert verdict(of_person(device)).reason is Reason.BANNED_APP


# --- CLEAN, and what is missing for it


def test_a_clean_device() -> None:
    assert verdict(of_person(CLEAN)) == Verdict(ALLOW, Reason.CLEAN, Posture.CLEAN, 7, NOW - HOUR + DAY)


INSUFFICIENT = {
    "missing": (bound(), Reason.EVIDENCE_MISSING),
    "stale": (bound(seen(MAIL, age=2 * DAY)), Reason.EVIDENCE_STALE),
    "scope": (bound(replace(seen(MAIL), scope=Scope.WORK_PROFILE)), Reason.EVIDENCE_SCOPE),
    "unmatched": (unmatched(), Reason.DEVICE_UNMATCHED),
    "conflict": (DeviceEvidence("d1", BindingState.CONFLICT, (seen(MAIL),)), Reason.BINDING_CONFLICT),
    "compromised": (bound(replace(seen(MAIL), compromised=True)), Reason.COMPROMISED),
    "not_compliant": (bound(replace(seen(MAIL), compliant=False)), Reason.NOT_COMPLIANT),
}
CAUSES = {cause.value for cause in Cause}


@pytest.mark.parametrize("name", INSUFFICIENT)
def test_each_cause_is_a_setting_of_its_own(name: str) -> None:
    device, reason = INSUFFICIENT[name]
    others = {other: UnknownSetting(Setting.ALLOW) for other in INSUFFICIENT if other != name}
    for choice, effect, would in [
        (Setting.DENY, DENY, DENY),
        (Setting.REPORT_ONLY, ALLOW, DENY),
        (Setting.ALLOW, ALLOW, ALLOW),
    ]:
        found = verdict(of_person(device), setting(**others, **{name: choice}))
        assert (found.effect, found.would, found.posture) == (effect, would, Posture.UNKNOWN)
        assert found.causes == ((Cause(name),) if name in CAUSES else ())
        if would is DENY:
            assert (found.would_reason, found.device_id) == (reason, "d1")
        if effect is DENY:
            assert (found.reason, found.app, found.source_id, found.evidence_at) == (reason, None, "", None)


@pytest.mark.parametrize("name", INSUFFICIENT)
def test_what_the_settings_let_pass_has_a_name(name: str) -> None:
    device, _ = INSUFFICIENT[name]
    assert verdict(of_person(device), setting(**{name: Setting.REPORT_ONLY})).reason is Reason.NOT_ENFORCED
    assert verdict(of_person(device), setting(**{name: Setting.ALLOW})).reason is Reason.NOT_JUDGED


@pytest.mark.parametrize("name", INSUFFICIENT)
def test_each_setting_may_differ_by_protocol_and_platform(name: str) -> None:
    device, _ = INSUFFICIENT[name]
    apple = replace(device, platform=Platform.IOS)
    rules = (SettingRule(Setting.DENY, Protocol.IMAP), SettingRule(Setting.DENY, platform=Platform.IOS))
    version = setting(**{name: UnknownSetting(Setting.ALLOW, rules)})
    assert verdict(of_person(device), version).effect is ALLOW
    assert verdict(of_person(device), version, protocol=Protocol.IMAP).effect is DENY
    assert verdict(of_person(apple), version).effect is DENY


def test_the_first_rule_of_a_setting_that_fits_wins() -> None:
    rules = (SettingRule(Setting.ALLOW, Protocol.IMAP), SettingRule(Setting.DENY))
    version = setting(missing=UnknownSetting(Setting.REPORT_ONLY, rules))
    assert verdict(of_person(bound()), version, protocol=Protocol.IMAP).effect is ALLOW
    assert verdict(of_person(bound()), version).effect is DENY


def test_display_names_and_work_profiles_prove_a_hit_and_never_clean() -> None:
    for doubt in ({"naming": Naming.DISPLAY_NAME}, {"scope": Scope.MANAGED_ONLY}):
        narrow = replace(seen(MAIL), **doubt)
        assert verdict(of_person(bound(narrow)), setting(scope=Setting.DENY)).reason is Reason.EVIDENCE_SCOPE
        dirty = replace(narrow, apps=(TIKTOK,))
        assert verdict(of_person(bound(dirty))).reason is Reason.BANNED_APP


def test_a_login_of_nobody_known_is_unmatched() -> None:
    version = setting(unmatched=Setting.DENY)
    for record in (of_person(known=False), of_person(CLEAN, known=False)):
        for device_id in ("d1", ""):
            found = verdict(record, version, device_id)
            assert (found.effect, found.reason, found.posture) == (DENY, Reason.DEVICE_UNMATCHED, Posture.UNKNOWN)


def test_compromised_and_not_compliant_devices_are_never_clean() -> None:
    version = setting(compromised=Setting.ALLOW, not_compliant=Setting.ALLOW)
    for doubt in ({"compromised": True}, {"compliant": False}):
        device = bound(replace(seen(MAIL), **doubt))  # type: ignore[arg-type]
        assert verdict(of_person(device), version).posture is Posture.UNKNOWN
    fine = bound(replace(seen(MAIL), compromised=False, compliant=True))
    assert verdict(of_person(fine), setting(compromised=Setting.DENY, not_compliant=Setting.DENY)).effect is ALLOW


def test_one_source_of_several_that_calls_it_compromised_is_enough() -> None:
    device = bound(seen(MAIL), replace(seen(MAIL, source="jamf"), compromised=True))
    assert verdict(of_person(device), setting(compromised=Setting.DENY)).reason is Reason.COMPROMISED


# --- Which of several is told


def test_of_equally_strict_reasons_the_one_to_act_on_first_is_told() -> None:
    everything = setting(**dict.fromkeys(INSUFFICIENT, Setting.DENY))
    worst = replace(seen(TIKTOK, age=2 * DAY), compromised=True, compliant=False, scope=Scope.USER, suspicious=True)
    told = []
    for better in (
        worst,
        (worst := replace(worst, apps=())),
        (worst := replace(worst, compromised=False)),
        (worst := replace(worst, compliant=True)),
        (worst := replace(worst, suspicious=False)),
        replace(worst, scope=Scope.DEVICE),
    ):
        told.append(verdict(of_person(bound(better)), everything).reason)
    assert told == [
        Reason.BANNED_APP,
        Reason.COMPROMISED,
        Reason.NOT_COMPLIANT,
        Reason.EVIDENCE_MISSING,
        Reason.EVIDENCE_SCOPE,
        Reason.EVIDENCE_STALE,
    ]


def test_what_denies_is_told_before_what_would() -> None:
    version = replace(flagged(Flag.REPORT_ONLY), unknowns=denying("stale"))
    found = verdict(of_person(bound(seen(TIKTOK, age=2 * DAY))), version)
    assert (found.effect, found.reason, found.ban, found.source_id) == (DENY, Reason.EVIDENCE_STALE, "", "")
    assert (found.would_reason, found.would_ban) == (Reason.BANNED_APP, "TikTok")


# --- User-wide


def test_user_wide_any_dirty_device_denies() -> None:
    record = of_person(CLEAN, bound(seen(TIKTOK), device_id="d2"))
    found = verdict(record, device_id="")
    assert (found.effect, found.reason, found.device_id) == (DENY, Reason.BANNED_APP, "d2")
    assert verdict(record).effect is ALLOW


def test_user_wide_a_dirty_device_without_a_mail_id_denies() -> None:
    for loose in (bound(seen(TIKTOK), device_id=""), unmatched("", Tombstone(TIKTOK, "mdm", NOW - DAY))):
        assert verdict(of_person(CLEAN, loose), device_id="").reason is Reason.BANNED_APP


def test_user_wide_clean_needs_all_devices_clean() -> None:
    other = bound(seen(MAIL, device="m2"), device_id="d2")
    assert verdict(of_person(CLEAN, other), device_id="").posture is Posture.CLEAN
    stale = verdict(of_person(CLEAN, bound(seen(age=2 * DAY), device_id="d2")), setting(stale=Setting.DENY), "")
    assert (stale.effect, stale.reason, stale.device_id) == (DENY, Reason.EVIDENCE_STALE, "d2")


def test_user_wide_needs_at_least_one_device() -> None:
    for record in (of_person(), of_person(unmatched("d1"))):
        found = verdict(record, setting(missing=Setting.DENY, unmatched=Setting.ALLOW), "")
        assert (found.effect, found.reason, found.posture) == (DENY, Reason.EVIDENCE_MISSING, Posture.UNKNOWN)
        assert verdict(record, setting(missing=Setting.ALLOW, unmatched=Setting.ALLOW), "").reason is Reason.NOT_JUDGED
    one = of_person(bound(seen(MAIL), device_id=""))
    assert verdict(one, setting(missing=Setting.DENY), "").posture is Posture.CLEAN


def test_user_wide_the_answer_holds_until_the_first_device_changes() -> None:
    record = of_person(CLEAN, bound(seen(MAIL, age=3 * HOUR), device_id="d2"))
    assert verdict(record, device_id="").valid_until == NOW - 3 * HOUR + DAY


# --- Exemptions and the global switch


def exempting(
    login: str = "",
    device_id: str = "",
    group: str = "",
    *,
    version: PolicyVersion = ENFORCING,
    starts: float = -HOUR,
    ends: float = HOUR,
) -> PolicyVersion:
    exemption = Exemption("e1", "root", "a reason", NOW + starts, NOW + ends, login, device_id, group)
    return replace(version, exemptions=(exemption,))


@pytest.mark.parametrize(
    ("to", "exempt"),
    [
        ((LOGIN,), True),
        (("a.smith@corp.example",), True),
        (("bob@corp.example",), False),
        ((LOGIN, "d1"), True),
        ((LOGIN, "d2"), False),
        (("bob@corp.example", "d1"), False),
        (("", "", "board"), True),
        (("", "", "sales"), False),
        ((), False),
    ],
)
def test_who_is_exempt(to: tuple[str, ...], exempt: bool) -> None:
    found = verdict(of_person(DIRTY, groups=frozenset({"board"})), exempting(*to))
    assert (found.effect, found.reason) == ((ALLOW, Reason.EXEMPT) if exempt else (DENY, Reason.BANNED_APP))


def test_an_exemption_records_what_would_have_been() -> None:
    found = verdict(of_person(DIRTY), exempting(login=LOGIN))
    assert (found.would, found.would_reason, found.would_ban, found.would_app) == (
        DENY,
        Reason.BANNED_APP,
        "TikTok",
        TIKTOK,
    )
    assert (found.ban, found.app, found.note, found.posture) == ("", None, "", Posture.DIRTY)


def test_an_exemption_of_one_device_does_not_open_the_user_wide_way() -> None:
    assert verdict(of_person(DIRTY), exempting(login=LOGIN, device_id="d1"), "").effect is DENY
    assert verdict(of_person(DIRTY), exempting(login=LOGIN), "").effect is ALLOW


def test_an_exemption_has_a_beginning_and_an_end() -> None:
    version = exempting(login=LOGIN)
    assert verdict(of_person(DIRTY), version, now=NOW - HOUR - 1).effect is DENY
    assert verdict(of_person(DIRTY), version, now=NOW - HOUR - 1).valid_until == NOW - HOUR
    assert verdict(of_person(DIRTY), version, now=NOW - HOUR).effect is ALLOW
    assert verdict(of_person(DIRTY), version).valid_until == NOW + HOUR
    assert verdict(of_person(DIRTY), version, now=NOW + HOUR).effect is DENY


def test_who_needs_no_exemption_is_judged_as_ever() -> None:
    assert verdict(of_person(CLEAN), exempting(login=LOGIN)).reason is Reason.CLEAN
    reported = verdict(of_person(DIRTY), exempting(version=flagged(Flag.REPORT_ONLY), login=LOGIN))
    assert reported.reason is Reason.NOT_ENFORCED


def test_an_exemption_covers_unknowns_too() -> None:
    version = exempting(version=setting(missing=Setting.DENY), login=LOGIN)
    assert verdict(of_person(bound()), version).reason is Reason.EXEMPT


def test_the_global_switch_lets_everything_through_and_records_it() -> None:
    off = replace(ENFORCING, enforcement_on=False)
    found = verdict(of_person(DIRTY), off)
    assert (found.effect, found.reason, found.would_reason) == (ALLOW, Reason.ENFORCEMENT_OFF, Reason.BANNED_APP)
    assert (found.would, found.would_ban, found.would_app, found.ban) == (DENY, "TikTok", TIKTOK, "")
    assert verdict(of_person(CLEAN), off).reason is Reason.CLEAN


def test_what_would_have_been_is_what_would_have_refused() -> None:
    """Beside a stale list that denies, a ban that only reports is not what the exemption undid."""
    version = replace(flagged(Flag.REPORT_ONLY), unknowns=denying("stale"))
    for lenient in (exempting(LOGIN, version=version), replace(version, enforcement_on=False)):
        found = verdict(of_person(bound(seen(TIKTOK, age=2 * DAY))), lenient)
        assert (found.effect, found.would, found.would_reason) == (ALLOW, DENY, Reason.EVIDENCE_STALE)
        assert (found.would_ban, found.would_app) == ("", None)


# --- The state cannot be read


@pytest.mark.parametrize("choice", list(Unavailable))
def test_without_state_the_setting_answers(choice: Unavailable) -> None:
    found = verdict(None, replace(ENFORCING, unavailable=choice))
    assert found.effect.name.lower() == choice.value
    assert (found.reason, found.posture, found.policy_version) == (Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, 7)
    assert found.valid_until == FOREVER


def test_without_state_the_answer_is_to_come_back_and_the_switch_still_lets_through() -> None:
    assert verdict(None).effect is DEFER
    off = verdict(None, replace(ENFORCING, enforcement_on=False))
    assert (off.effect, off.reason, off.would) == (ALLOW, Reason.ENFORCEMENT_OFF, DEFER)
    assert off.would_reason is Reason.STATE_UNAVAILABLE
    exempt = verdict(None, exempting(login=LOGIN))
    assert exempt.effect is DEFER


# --- When the answer changes by itself


@pytest.mark.parametrize(
    ("record", "version", "until"),
    [
        (of_person(CLEAN), setting(stale=Setting.DENY), NOW - HOUR + DAY),
        (of_person(DIRTY), flagged(Flag.ENFORCE, starts_at=NOW + 5), NOW + 5),
        (of_person(DIRTY), flagged(Flag.ENFORCE, ends_at=NOW + 5), NOW + 5),
        (of_person(DIRTY), exempting(login=LOGIN), NOW + HOUR),
        (of_person(DIRTY), exempting(login=LOGIN, starts=1.0), NOW + 1),
        (of_person(bound(seen(age=2 * DAY))), setting(stale=Setting.DENY), FOREVER),
        (of_person(unmatched()), setting(unmatched=Setting.DENY), FOREVER),
    ],
)
def test_at_valid_until_the_answer_is_another(record: PersonRecord, version: PolicyVersion, until: float) -> None:
    found = verdict(record, version)
    assert found.valid_until == until
    if until < FOREVER:
        assert verdict(record, version, now=until - 1e-3).effect is found.effect
        assert verdict(record, version, now=until).effect is not found.effect


def test_a_better_source_keeps_a_device_clean_for_longer() -> None:
    longer: SourceEvidence = replace(seen(MAIL, source="jamf"), max_age=8 * DAY)
    assert verdict(of_person(bound(seen(MAIL), longer))).valid_until == NOW - HOUR + 8 * DAY
