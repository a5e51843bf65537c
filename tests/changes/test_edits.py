"""Edits of a policy: what follows from each, and what is refused with which words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.changes import edits
from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.enforcement import flag_in_force, share_of
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import (
    Exemption,
    OutlookMobile,
    PolicyVersion,
    Setting,
    Unavailable,
    first_policy,
)

NOW = 1_000_000.0


def ban(name: str = "TikTok", *matchers: Matcher, **more: object) -> Ban:
    chosen = matchers or (matcher_from_text(MatcherKind.ID, "android:com.zhiliaoapp.musically"),)
    return replace(Ban(name, chosen), **more)  # type: ignore[arg-type]


def policy(*bans: Ban) -> PolicyVersion:
    return replace(first_policy(0.0), bans=bans)


def test_a_ban_is_added_and_found_in_any_case() -> None:
    version = edits.add_ban(policy(), ban())
    assert version.summary == "ban TikTok added, report-only"
    assert edits.find_ban(version, " tiktok ").name == "TikTok"


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (ban("TIKTOK"), "exists already"),
        (ban(" x"), "printable"),
        (ban("a/b"), "no slash"),
        (ban("\x07"), "printable"),
        (ban("x" * 101), "100"),
        (replace(ban("other"), matchers=()), "--id android:com.example.app"),
        (ban("other", text="x" * 3000), "text"),
        (ban("other", starts_at=5.0, ends_at=5.0), "ends before"),
        (ban("other", *[Matcher(MatcherKind.TEAM_ID, str(n)) for n in range(501)]), "500"),
    ],
)
def test_what_is_no_ban_is_refused(refused: Ban, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        edits.add_ban(policy(ban()), refused)


@pytest.mark.parametrize("text", ["android:com.google.*", "ios:com.apple.*", "ios:COM.MICROSOFT.Office.Outlook"])
def test_a_ban_that_locks_everybody_out_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"nearly no phone has mail.*--except"):
        edits.add_ban(policy(), ban("wide", matcher_from_text(MatcherKind.ID, text)))


def test_exceptions_make_a_wide_ban_acceptable() -> None:
    wide = ban(
        "vendor",
        matcher_from_text(MatcherKind.ID, "android:com.google.*"),
        exceptions=tuple(
            matcher_from_text(MatcherKind.ID, f"android:com.google.android.{name}")
            for name in ("gm", "gms", "apps.work.clouddpc")
        ),
    )
    assert edits.add_ban(policy(), wide).bans == (wide,)


def test_a_ban_is_removed() -> None:
    version = edits.remove_ban(policy(ban(), ban("other")), "TikTok")
    assert [each.name for each in version.bans] == ["other"]
    with pytest.raises(InvalidValue, match="there is no ban 'TikTok'; there are: other"):
        edits.remove_ban(version, "TikTok")


def test_a_flag_for_everybody_replaces_all_that_was_said_before() -> None:
    version = edits.set_flag(policy(ban()), "TikTok", Flag.ENFORCE, percent=10)
    version = edits.set_flag(version, "TikTok", Flag.OFF, group="board")
    version = edits.set_flag(version, "TikTok", Flag.ENFORCE)
    assert version.bans[0].flag is Flag.ENFORCE
    assert version.bans[0].rules == ()
    assert "2 narrower rules replaced" in version.summary


def test_one_rule_is_not_several() -> None:
    version = edits.set_flag(policy(ban()), "TikTok", Flag.ENFORCE, percent=10)
    assert edits.set_flag(version, "TikTok", Flag.ENFORCE).summary.endswith(", 1 narrower rule replaced")


def test_growing_and_shrinking_a_percentage_keeps_one_rule() -> None:
    version = policy(ban())
    for percent in (10, 25, 5):
        version = edits.set_flag(version, "TikTok", Flag.ENFORCE, percent=percent)
    assert version.bans[0].rules == (FlagRule(Flag.ENFORCE, percent=5),)
    assert version.bans[0].flag is Flag.REPORT_ONLY


def test_a_wider_rule_drops_what_it_covers_and_keeps_what_it_does_not() -> None:
    version = policy(ban())
    version = edits.set_flag(version, "TikTok", Flag.OFF, group="board", protocol=Protocol.ACTIVESYNC)
    version = edits.set_flag(version, "TikTok", Flag.OFF, group="sales")
    version = edits.set_flag(version, "TikTok", Flag.ENFORCE, protocol=Protocol.ACTIVESYNC)
    assert [(rule.group, rule.protocol) for rule in version.bans[0].rules] == [
        ("", Protocol.ACTIVESYNC),
        ("sales", None),
    ]


def test_a_percentage_outside_is_refused() -> None:
    with pytest.raises(InvalidValue, match="between 0 and 100"):
        edits.set_flag(policy(ban()), "TikTok", Flag.ENFORCE, percent=101)


_flags = st.sampled_from(Flag)
_steps = st.lists(
    st.tuples(
        _flags,
        st.sampled_from([None, Protocol.ACTIVESYNC, Protocol.IMAP]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([None, 0.0, 10.0, 50.0, 100.0]),
    ),
    max_size=8,
)


@given(_steps, st.sampled_from([Protocol.ACTIVESYNC, Protocol.IMAP]), st.sampled_from(["", "a", "b"]), st.integers())
def test_the_newest_word_counts_for_whom_it_is_about_and_nobody_else(
    steps: list[tuple[Flag, Protocol | None, str, float | None]], protocol: Protocol, group: str, seed: int
) -> None:
    version, groups = policy(ban(seed=seed)), {group} if group else set()
    for flag, about, whose, percent in steps:
        before = flag_in_force(version.bans[0], "ann", groups, protocol, NOW).flag
        version = edits.set_flag(version, "TikTok", flag, protocol=about, group=whose, percent=percent)
        after = flag_in_force(version.bans[0], "ann", groups, protocol, NOW).flag
        if about not in (None, protocol) or whose not in ("", group):
            assert after is before
        elif percent is None or share_of("ann", seed) < percent:
            assert after is flag


def test_the_global_switch() -> None:
    off = edits.set_global(policy(), on=False)
    assert not off.enforcement_on
    assert off.summary == "enforcement switched off globally"


def test_unknowns_are_set_for_all_or_for_some() -> None:
    version = edits.set_unknown(policy(), "not-compliant", Setting.DENY)
    assert version.unknowns.not_compliant.default is Setting.DENY
    version = edits.set_unknown(version, "missing", Setting.DENY, platform=Platform.IOS)
    version = edits.set_unknown(version, "missing", Setting.ALLOW, protocol=Protocol.IMAP)
    assert version.unknowns.missing.of(Protocol.ACTIVESYNC, Platform.IOS) is Setting.DENY
    assert version.unknowns.missing.of(Protocol.IMAP, Platform.IOS) is Setting.ALLOW
    assert version.unknowns.missing.of(Protocol.ACTIVESYNC, None) is Setting.REPORT_ONLY
    assert edits.set_unknown(version, "missing", Setting.DENY).unknowns.missing.rules == ()
    with pytest.raises(InvalidValue, match="none of missing, stale"):
        edits.set_unknown(version, "whatever", Setting.DENY)


def test_saying_the_same_about_an_unknown_twice_keeps_one_rule() -> None:
    version = policy()
    for setting in (Setting.DENY, Setting.ALLOW, Setting.DENY):
        version = edits.set_unknown(version, "stale", setting, platform=Platform.IOS)
    assert len(version.unknowns.stale.rules) == 1


def test_the_other_settings() -> None:
    version = edits.set_outlook_mobile(policy(), OutlookMobile.USER_WIDE)
    version = edits.set_unavailable(version, Unavailable.DENY)
    version = edits.set_grace(version, 3 * 86400, 1)
    assert (version.outlook_mobile, version.unavailable) == (OutlookMobile.USER_WIDE, Unavailable.DENY)
    assert (version.grace.seconds, version.grace.devices) == (259200, 1)
    for seconds, devices in ((-1, 1), (31 * 86400, 1), (0, 101)):
        with pytest.raises(InvalidValue, match="grace"):
            edits.set_grace(version, seconds, devices)


def exemption(**more: object) -> Exemption:
    return replace(
        Exemption("e1", "root", "on the road", NOW, NOW + 3600, login="ann@corp.example"),
        **more,  # type: ignore[arg-type]
    )


def test_an_exemption_is_added_and_removed() -> None:
    version = edits.add_exemption(policy(), exemption(device_id="abc1"), NOW)
    assert version.summary == "exemption e1 added for ann@corp.example, device abc1"
    version = edits.remove_exemption(version, "e1")
    assert version.exemptions == ()
    with pytest.raises(InvalidValue, match="no exemption 'e1'"):
        edits.remove_exemption(version, "e1")


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (exemption(login=""), "user"),
        (exemption(group="board"), r"user .* or for a group"),
        (exemption(login="", group="board", device_id="abc1"), "names its user"),
        (exemption(reason=" "), "reason"),
        (exemption(ends_at=NOW), "ended already"),
        (exemption(starts_at=NOW + 7200), "ended already"),
        (exemption(ends_at=NOW + 400 * 86400), "366 days"),
    ],
)
def test_what_is_no_exemption_is_refused(refused: Exemption, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        edits.add_exemption(policy(), refused, NOW)


def test_exemptions_that_ended_long_ago_make_room() -> None:
    old = exemption(id="old", ends_at=NOW - 31 * 86400)
    recent = exemption(id="recent", ends_at=NOW - 3600)
    version = edits.add_exemption(replace(policy(), exemptions=(old, recent)), exemption(), NOW)
    assert [each.id for each in version.exemptions] == ["recent", "e1"]


@pytest.mark.parametrize("bound", ["latest", "1.x", "²", "v2"])
def test_a_version_bound_that_nobody_can_read_is_refused(bound: str) -> None:
    matcher = Matcher(MatcherKind.ID, "com.example.app", Platform.ANDROID, below_version=bound)
    with pytest.raises(InvalidValue, match="is no version: write numbers with dots"):
        edits.add_ban(first_policy(0.0), Ban("App", (matcher,)))
