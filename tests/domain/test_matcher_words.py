"""Matchers as administrators write them, and the warnings about those that would lock everybody out or miss."""

import pytest

from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import App, Platform
from gateway.domain.matching import NEVER_BAN, compiled, matcher_from_text, warnings_for
from gateway.domain.matching import matcher_from_text as of
from tests.support.evidence_strategies import MAIL

SIGNER = "sha256:" + "ab" * 32
TEAM = "ABCDE12345"


@pytest.mark.parametrize(
    ("kind", "text", "matcher"),
    [
        (MatcherKind.ID, " android:com.a.b ", Matcher(MatcherKind.ID, "com.a.b", Platform.ANDROID)),
        (MatcherKind.ID, "ios:com.a.*", Matcher(MatcherKind.ID_PREFIX, "com.a", Platform.IOS)),
        (MatcherKind.ID_PREFIX, "ios:com.a", Matcher(MatcherKind.ID_PREFIX, "com.a", Platform.IOS)),
        (MatcherKind.SIGNER, "AB" * 32, Matcher(MatcherKind.SIGNER, SIGNER)),
        (MatcherKind.TEAM_ID, TEAM, Matcher(MatcherKind.TEAM_ID, TEAM, Platform.MACOS)),
        (MatcherKind.EXTENSION_ID, "abc", Matcher(MatcherKind.EXTENSION_ID, "abc", Platform.CHROME)),
        (MatcherKind.ORIGIN, "sideload", Matcher(MatcherKind.ORIGIN, "sideload")),
        (MatcherKind.NAME, "Tik*", Matcher(MatcherKind.NAME, "Tik*")),
    ],
)
def test_matchers_from_text(kind: MatcherKind, text: str, matcher: Matcher) -> None:
    assert matcher_from_text(kind, text) == matcher


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MatcherKind.ID, ""),
        (MatcherKind.ID, "com.a.b"),
        (MatcherKind.ID, "symbian:com.a.b"),
        (MatcherKind.ID, "android:"),
        (MatcherKind.ID, "android:*"),
        (MatcherKind.ID, "android:.*"),
        (MatcherKind.ID, "android:com.*.b"),
        (MatcherKind.ID, "android:com.a*"),
        (MatcherKind.ID, "android:" + "a" * 256),
        (MatcherKind.NAME, "a\x00"),
        (MatcherKind.NAME, "a" * 513),
        (MatcherKind.SIGNER, "ab"),
        (MatcherKind.TEAM_ID, "abcde12345"),
        (MatcherKind.TEAM_ID, "ABCDE1234"),
        (MatcherKind.ORIGIN, "the web"),
    ],
)
def test_what_is_no_matcher_is_refused(kind: MatcherKind, text: str) -> None:
    with pytest.raises(InvalidValue):
        matcher_from_text(kind, text)


# --- Warnings


@pytest.mark.parametrize(
    ("kind", "text", "word"),
    [
        (MatcherKind.ID, "android:com.google.*", "Gmail"),
        (MatcherKind.ID, "android:com.google.android.gm", "Gmail"),
        (MatcherKind.ID, "ios:com.apple.*", "Mail"),
        (MatcherKind.ID, "ios:COM.APPLE.MOBILEMAIL", "Mail"),
        (MatcherKind.ID, "android:com.android.*", "Settings"),
        (MatcherKind.ID, "ios:com.microsoft.*", "Intune Company Portal"),
        (MatcherKind.ID, "android:com.*", "very wide prefix"),
        (MatcherKind.NAME, "Gmail", "weak"),
        (MatcherKind.NAME, "*", "Google Play Store"),
        (MatcherKind.ORIGIN, "store", "nearly every app"),
        (MatcherKind.ORIGIN, "system", "nearly every app"),
    ],
)
def test_over_wide_and_weak_matchers_are_named(kind: MatcherKind, text: str, word: str) -> None:
    assert any(word in warning for warning in warnings_for(Ban("b", (of(kind, text),))))


@pytest.mark.parametrize(
    "text", ["android:com.zhiliaoapp.musically", "android:com.ss.android.*", "ios:com.burbn.instagram"]
)
def test_narrow_matchers_are_not(text: str) -> None:
    assert warnings_for(Ban("b", (of(MatcherKind.ID, text),))) == ()
    assert warnings_for(Ban("b", (of(MatcherKind.ORIGIN, "sideload"), of(MatcherKind.SIGNER, SIGNER)))) == ()


@pytest.mark.parametrize("spared", NEVER_BAN, ids=lambda spared: f"{spared.platform}-{spared.id}")
def test_every_app_that_all_phones_have_is_named(spared: App) -> None:
    ban = Ban("b", (of(MatcherKind.ID, f"{spared.platform}:{spared.id}"),))
    assert spared.name in warnings_for(ban)[0]


def test_an_exception_that_counts_quiets_the_warning_and_another_does_not() -> None:
    google = of(MatcherKind.ID, "android:com.google.*")
    spared = tuple(of(MatcherKind.ID, f"android:{each.id}") for each in NEVER_BAN if each.id.startswith("com.google."))
    assert warnings_for(Ban("b", (google,), spared)) == ()
    too_weak = Ban("b", (google,), (of(MatcherKind.NAME, "*"),))
    assert compiled((too_weak,)).bans_of(MAIL) == (too_weak,)
    assert any("Gmail" in warning for warning in warnings_for(too_weak))
