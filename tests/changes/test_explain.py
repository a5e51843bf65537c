"""The words of ``why``: headline, next change, the version that set a ban."""

from dataclasses import replace

import pytest

from gateway.changes.explain import age_words, explain, version_that_set
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Ban, Flag, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import PolicyVersion, first_policy, policy_of
from gateway.domain.verdict import Effect, Reason

NOW = 1_000_000.0
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok")
BAN = Ban("TikTok", (matcher_from_text(MatcherKind.ID, "android:com.zhiliaoapp.musically"),), flag=Flag.ENFORCE)
REQUEST = AccessRequest("ann@corp.example", "abc1")


def evidence(*apps: App, age: float = 3900.0) -> SourceEvidence:
    at = NOW - age
    return SourceEvidence("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, at, 86400.0, apps, full_at=at)


def record(*sources: SourceEvidence) -> PersonRecord:
    device = DeviceEvidence("abc1", BindingState.BOUND, sources, platform=Platform.ANDROID)
    return PersonRecord("ann@corp.example", True, ("ann@corp.example",), devices={"abc1": device})


def policy(*bans: Ban, number: int = 1) -> PolicyVersion:
    return replace(first_policy(0.0), number=number, bans=bans)


def test_a_refusal_names_app_ban_source_and_age() -> None:
    told = explain(REQUEST, record(evidence(TIKTOK)), policy_of(policy(BAN)), NOW)
    assert told.headline == (
        "Refused: TikTok (android:com.zhiliaoapp.musically) is on the device, reported by mdm 1 h 5 min ago;"
        " it falls under ban TikTok."
    )
    assert told.flag is Flag.ENFORCE
    assert (told.next_change_at, told.next_effect) == (NOW - 3900 + 86400, Effect.DENY)


def test_what_report_only_would_have_refused_is_told() -> None:
    told = explain(REQUEST, record(evidence(TIKTOK)), policy_of(policy(replace(BAN, flag=Flag.REPORT_ONLY))), NOW)
    assert told.verdict.effect is Effect.ALLOW
    assert told.headline.startswith(
        "Allowed: nothing that speaks against it is enforced; enforced, it would be refused:"
    )
    assert told.flag is Flag.REPORT_ONLY
    assert told.ways_to_allow == ()


def test_a_stale_list_in_report_only_is_told() -> None:
    told = explain(REQUEST, record(evidence(age=90_000)), policy_of(policy()), NOW)
    assert told.verdict.would_reason is Reason.EVIDENCE_STALE
    assert told.headline.endswith("it would be refused: the last full app list of the device is too old.")


def test_a_clean_device_and_its_next_change() -> None:
    told = explain(REQUEST, record(evidence()), policy_of(policy(BAN)), NOW)
    assert told.headline == "Allowed: the last full report of the whole device shows no banned app."
    assert told.next_change_at == NOW - 3900 + 86400
    assert told.flag is None


def test_nothing_changes_by_itself_for_an_unknown_device() -> None:
    told = explain(AccessRequest("ann@corp.example", "new1"), record(), policy_of(policy()), NOW)
    assert (told.next_change_at, told.next_effect) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (45.9, "45 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (86400, "1 d"),
        (90060, "1 d 1 h"),
        (86460, "1 d"),
    ],
)
def test_ages_in_words(seconds: float, words: str) -> None:
    assert age_words(seconds) == words


def test_the_version_that_made_a_ban_what_it_is() -> None:
    reported = replace(BAN, flag=Flag.REPORT_ONLY)
    versions = [policy(BAN, number=4), policy(BAN, number=3), policy(reported, number=2), policy(number=1)]
    found = version_that_set(versions, "TikTok")
    assert found is not None
    assert found.number == 3
    assert version_that_set(versions[:2], "TikTok") is None
    first = version_that_set([policy(BAN)], "TikTok")
    assert first is not None
    assert first.number == 1
    assert version_that_set([], "TikTok") is None
