"""What would be if an app, a ban, a flag or a setting were otherwise: judged by ``decide`` like anything else."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.changes.what_if import MOST, WhatIf, policy_if, record_if
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Ban, Flag, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import first_policy, policy_of
from gateway.domain.verdict import Effect, Reason, Verdict

NOW = 1_000_000.0
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok")
CHESS = App(Platform.ANDROID, "org.example.chess")
WRITTEN = f"android:{TIKTOK.id}"
ANN = "ann@corp.example"
BAN = Ban("TikTok", (matcher_from_text(MatcherKind.ID, WRITTEN),), flag=Flag.REPORT_ONLY)
REPORTING = replace(first_policy(0.0), bans=(BAN,))


def device(device_id: str, *apps: App, age: float = 3600.0, stones: tuple[Tombstone, ...] = ()) -> DeviceEvidence:
    at = NOW - age
    source = SourceEvidence("mdm", f"s-{device_id}", Scope.DEVICE, Naming.IDENTIFIER, at, 86400.0, apps, full_at=at)
    return DeviceEvidence(device_id, BindingState.BOUND, (source,), stones, platform=Platform.ANDROID)


def record(*devices: DeviceEvidence) -> PersonRecord:
    return PersonRecord(ANN, True, (ANN,), devices={each.device_id: each for each in devices})


def judged(wanted: WhatIf, known: PersonRecord, device_id: str = "abc1", policy: object = REPORTING) -> Verdict:
    assert policy is REPORTING
    thought = record_if(known, wanted, device_id, NOW)
    return decide(AccessRequest(ANN, device_id), thought, policy_of(policy_if(REPORTING, wanted)), NOW)


def test_a_ban_that_is_thought_up_is_enforced_and_a_flag_can_say_otherwise() -> None:
    wanted = WhatIf(bans=(f"Chess=android:{CHESS.id}", "Chess=ios:org.example.chess"))
    refused = judged(wanted, record(device("abc1", CHESS)))
    assert (refused.effect, refused.ban) == (Effect.DENY, "Chess")
    let = judged(replace(wanted, flags=("chess=report-only",)), record(device("abc1", CHESS)))
    assert (let.effect, let.would, let.would_ban) == (Effect.ALLOW, Effect.DENY, "Chess")


def test_flags_and_settings() -> None:
    assert judged(WhatIf(), record(device("abc1", TIKTOK))).effect is Effect.ALLOW
    assert judged(WhatIf(flags=("TikTok=enforce",)), record(device("abc1", TIKTOK))).reason is Reason.BANNED_APP
    old = record(device("abc1", age=90_000))
    assert judged(WhatIf(), old).effect is Effect.ALLOW
    assert judged(WhatIf(unknowns=("stale=deny",)), old).reason is Reason.EVIDENCE_STALE


def test_an_app_more_is_on_the_device_asked_about_only() -> None:
    wanted = WhatIf(apps=(WRITTEN,), flags=("TikTok=enforce",))
    two = record(device("abc1"), device("abc2"))
    assert judged(wanted, two, "abc1").reason is Reason.BANNED_APP
    thought = record_if(two, wanted, "abc1", NOW)
    assert thought.devices["abc2"] == two.devices["abc2"]
    assert judged(wanted, two, "").reason is Reason.BANNED_APP


def test_an_app_less_takes_its_tombstone_along_and_makes_no_list_newer() -> None:
    stone = Tombstone(TIKTOK, "mdm", NOW - 10)
    known = record(device("abc1", TIKTOK, CHESS, stones=(stone,)))
    wanted = WhatIf(without_apps=(WRITTEN,), flags=("TikTok=enforce",))
    assert judged(WhatIf(flags=("TikTok=enforce",)), known).effect is Effect.DENY
    assert judged(wanted, known).reason is Reason.CLEAN
    old = record(device("abc1", TIKTOK, age=90_000))
    assert judged(replace(wanted, unknowns=("stale=deny",)), old).reason is Reason.EVIDENCE_STALE


def test_an_app_on_a_device_that_nobody_reports() -> None:
    wanted = WhatIf(apps=(WRITTEN,), flags=("TikTok=enforce",), unknowns=("missing=deny",))
    assert judged(wanted, record(), "new1").reason is Reason.BANNED_APP
    other = WhatIf(apps=(f"android:{CHESS.id}",), unknowns=("missing=deny",))
    assert judged(other, record(), "new1").reason is Reason.EVIDENCE_MISSING
    with pytest.raises(InvalidValue, match="name one to think an app onto"):
        record_if(record(), wanted, "", NOW)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (WhatIf(bans=("TikTok",)), "write it like TikTok="),
        (WhatIf(bans=("=android:x.y",)), "write it like"),
        (WhatIf(bans=(f"TikTok={WRITTEN}",)), "exists already"),
        (WhatIf(bans=("Wide=android:com.google.*",)), "nearly no phone has mail"),
        (WhatIf(flags=("TikTok=always",)), "'always' is none of off, report-only, enforce"),
        (WhatIf(flags=("Nobody=off",)), "there is no ban 'Nobody'"),
        (WhatIf(unknowns=("stale=never",)), "'never' is none of"),
        (WhatIf(unknowns=("weather=deny",)), "'weather' is none of"),
        (WhatIf(apps=("com.a",)), "must name its platform"),
        (WhatIf(without_apps=("android:com.a.*",)), "no single app"),
        (WhatIf(apps=(WRITTEN,) * (MOST + 1)), "at most 20"),
        (WhatIf(flags=("TikTok=off",) * (MOST + 1)), "at most 20"),
    ],
)
def test_what_cannot_be_thought_is_told(wanted: WhatIf, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        judged(wanted, record(device("abc1")))


APPS = st.sampled_from([TIKTOK, CHESS, App(Platform.IOS, "Com.Example.A")])


@given(apps=st.lists(APPS, max_size=3), gone=APPS, age=st.sampled_from([60.0, 90_000.0]))
def test_thinking_an_app_away_is_as_if_it_had_never_been_listed(apps: list[App], gone: App, age: float) -> None:
    written = f"{gone.platform}:{gone.id}"
    thought = record_if(record(device("abc1", *apps, age=age)), WhatIf(without_apps=(written,)), "abc1", NOW)
    assert thought == record(device("abc1", *(app for app in apps if app != gone), age=age))


@pytest.mark.parametrize("change", [lambda wanted: wanted, lambda wanted: replace(wanted, flags=("TikTok=enforce",))])
def test_nothing_of_a_question_stays(change: Callable[[WhatIf], WhatIf]) -> None:
    known = record(device("abc1", TIKTOK))
    policy_if(REPORTING, change(WhatIf()))
    record_if(known, change(WhatIf(without_apps=(WRITTEN,))), "abc1", NOW)
    assert (REPORTING.bans, known) == ((BAN,), record(device("abc1", TIKTOK)))
