"""What a policy file makes of a policy: what it names, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given

from gateway.changes.policy_edit import Writer, edit_of
from gateway.changes.policy_export import policy_text
from gateway.changes.policy_file import read
from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
    first_policy,
)
from gateway.domain.policy_parts import differences, parts_of
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW

DAY = 86_400.0
TIKTOK = Ban(
    "TikTok",
    (
        Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID),
        Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.IOS),
    ),
    rules=(FlagRule(Flag.ENFORCE, group="sales"),),
    seed=77,
    text="Please remove it.",
)
OTHER = Ban("Other", (Matcher(MatcherKind.ID_PREFIX, "com.other", Platform.ANDROID),), flag=Flag.ENFORCE, seed=78)
TRAVELS = Exemption("e1", "ann", "travels", NOW - DAY, NOW + DAY, "ann@corp.example")
ENDED = Exemption("e0", "ann", "was ill", NOW - 3 * DAY, NOW - DAY, "bob@corp.example")
POLICY = replace(first_policy(0.0), number=7, bans=(TIKTOK, OTHER), exemptions=(ENDED, TRAVELS))


def writer() -> Writer:
    numbers = count(100)
    return Writer("carl", NOW, seed=lambda: next(numbers), new_id=lambda: f"new{next(numbers)}")


def planned(text: str, version: PolicyVersion = POLICY) -> PolicyVersion:
    return edit_of(read(text), writer())(version)


def touched(text: str, version: PolicyVersion = POLICY) -> list[str]:
    return [touch.part for touch in differences(version, planned(text, version))]


# --- bans


def test_what_is_not_named_is_not_touched() -> None:
    assert touched("") == []
    assert touched('[[bans.ban]]\nname = "tiktok"\n') == []
    text = '[[bans.ban]]\nname = "TIKTOK"\nflag = "enforce"\n'
    assert touched(text) == ["flag:tiktok"]
    found = planned(text).bans[0]
    assert (found.name, found.flag, found.rules, found.seed, found.text) == (
        "TikTok",
        Flag.ENFORCE,
        (),
        77,
        "Please remove it.",
    )


def test_rules_alone_leave_the_flag() -> None:
    found = planned('[[bans.ban]]\nname = "Other"\nrules = [{ flag = "off", percent = 2.5, protocol = "imap" }]').bans[
        1
    ]
    assert (found.flag, found.rules) == (Flag.ENFORCE, (FlagRule(Flag.OFF, Protocol.IMAP, "", 2.5),))


def test_a_new_ban_with_everything() -> None:
    found = planned(
        """
        [[bans.ban]]
        name = "All"
        id = ["android:com.example.*", { value = "com.example.app", platform = "ios", below_version = "3" }]
        except = ["android:com.example.fine", { value = "ABCDE12345", kind = "team_id" }]
        signer = "%s"
        team_id = "ABCDE12345"
        extension = "abcdef"
        origin = "sideload"
        app_name = ["Tik*", { value = "Tok", publisher = "Other*" }]
        publisher = "Byte*"
        below_version = "4.2"
        flag = "enforce"
        group = ["sales", "field staff"]
        starts = 2026-01-31T08:00:00+01:00
        ends = "2026-12-31T08:00+01:00"
        text = "Remove it."
        labels = { list = "mine" }
        """
        % ("AB" * 32)
    ).bans[-1]
    kinds = [each.kind for each in found.matchers]
    assert kinds == [
        *(MatcherKind.ID_PREFIX, MatcherKind.ID, MatcherKind.SIGNER, MatcherKind.TEAM_ID),
        *(MatcherKind.EXTENSION_ID, MatcherKind.ORIGIN, MatcherKind.NAME, MatcherKind.NAME),
    ]
    assert [each.below_version for each in found.matchers] == ["4.2", "3", *["4.2"] * 6]
    assert [each.publisher for each in found.matchers[-2:]] == ["Byte*", "Other*"]
    assert [each.kind for each in found.exceptions] == [MatcherKind.ID, MatcherKind.TEAM_ID]
    assert found.groups == {"sales", "field staff"}
    assert (found.starts_at, found.ends_at) == (1769842800.0, 1798700400.0)
    assert (found.seed, found.text, dict(found.labels)) == (100, "Remove it.", {"list": "mine"})


def test_apps_that_are_named_in_another_order_change_nothing() -> None:
    ids = '["ios:com.zhiliaoapp.musically", "android:com.zhiliaoapp.musically"]'
    assert touched(f'[[bans.ban]]\nname = "TikTok"\nid = {ids}\n') == []
    found = planned('[[bans.ban]]\nname = "TikTok"\nid = ["ios:com.new", "ios:com.zhiliaoapp.musically"]').bans[0]
    assert [each.value for each in found.matchers] == ["com.zhiliaoapp.musically", "com.new"]


def test_bans_go_where_it_is_said_and_where_the_section_is_complete() -> None:
    assert touched('[[bans.ban]]\nname = "other"\nremove = true') == ["ban:other", "flag:other"]
    whole = '[bans]\ncomplete = true\n[[bans.ban]]\nname = "Other"\nid = "android:com.other.*"\n'
    assert touched(whole + 'flag = "enforce"') == ["ban:tiktok", "flag:tiktok"]
    assert planned("[bans]\ncomplete = true").bans == ()


def test_in_a_complete_section_a_ban_is_said_whole() -> None:
    whole = '[bans]\ncomplete = true\n[[bans.ban]]\nname = "Other"\nid = "android:com.other.*"\n'
    bounded = replace(OTHER, groups=frozenset({"a"}), starts_at=NOW, text="x", rules=(FlagRule(Flag.OFF),))
    (found,) = planned(whole, replace(POLICY, bans=(bounded,))).bans
    assert found == replace(OTHER, flag=Flag.REPORT_ONLY)


def test_what_is_given_empty_is_none() -> None:
    bounded = replace(OTHER, groups=frozenset({"a"}), starts_at=NOW, ends_at=NOW + DAY, text="x")
    version = replace(POLICY, bans=(bounded,))
    found = planned('[[bans.ban]]\nname = "Other"\ngroup = []\nstarts = ""\nends = ""\ntext = ""', version).bans[0]
    assert found == OTHER


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[bans.ban]]\nname = "New"', "line 1, bans.ban[1]: say what the ban recognises, like id ="),
        ('[bans]\ncomplete = true\n[[bans.ban]]\nname = "Other"', "(this is a section that is complete)"),
        ('[[bans.ban]]\nname = "New"\nid = "com.x"', "'com.x' must name its platform"),
        ('[[bans.ban]]\nname = "TikTok"\nid = []', "a ban needs at least one matcher"),
        ('[[bans.ban]]\nname = "a"\nid = "ios:a"\n[[bans.ban]]\nname = "A"\nremove = true', "line 4, bans.ban[2]: ban"),
        ('[[bans.ban]]\nname = "G"\nid = "android:com.google.*"', "also matches Gmail"),
        ('[[bans.ban]]\nname = "G"\nid = "ios:a"\nbelow_version = "x"', "'x' is no version"),
        ('[[bans.ban]]\nname = "G"\nid = "ios:a"\npublisher = "x"', "publisher goes with app_name"),
        ('[[bans.ban]]\nname = "G"\nid = { value = "ios:a", publisher = "x" }', "publisher goes with app_name only"),
        ('[[bans.ban]]\nname = "G"\nid = { value = "ios:a", kind = "name" }', "kind goes with except only"),
        ('[[bans.ban]]\nname = "a/b"\nid = "ios:a"', "no slash"),
        (f'[[bans.ban]]\nname = "TikTok"\ntext = "{"x" * 2001}"', "the text for the reader has at most 2000"),
        (
            '[[bans.ban]]\nname = "TikTok"\nstarts = 2026-01-31T08:00:00Z\nends = 2026-01-30T08:00:00Z',
            "the ban ends before it starts",
        ),
        ('[flags]\ngrace = "31d"', "line 2, flags.grace: the grace of new devices lasts 0 to 30 days"),
        ("[flags]\ngrace_devices = 101", "line 2, flags.grace_devices: the grace is for 0 to 100"),
    ],
)
def test_what_cannot_stand_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        planned(text)
    assert sentence in str(refused.value)


# --- settings


def test_settings() -> None:
    found = planned(
        """
        [flags]
        global = "off"
        outlook_mobile = "user-wide"
        unavailable = "deny"
        grace = "3d"
        [unknown]
        missing = "deny"
        stale = { setting = "report-only", rules = [{ setting = "deny", protocol = "imap", platform = "ios" }] }
        """
    )
    assert not found.enforcement_on
    assert (found.outlook_mobile, found.unavailable) == (OutlookMobile.USER_WIDE, Unavailable.DENY)
    assert found.grace == NewDeviceGrace(3 * DAY, POLICY.grace.devices)
    assert found.unknowns.missing == UnknownSetting(Setting.DENY)
    rule = SettingRule(Setting.DENY, Protocol.IMAP, Platform.IOS)
    assert found.unknowns.stale == UnknownSetting(Setting.REPORT_ONLY, (rule,))
    assert found.unknowns.scope == POLICY.unknowns.scope
    assert found.summary == "policy file: 6 settings"


def test_the_summary_counts_and_names_nobody() -> None:
    text = '[[bans.ban]]\nname = "a"\nid = "ios:a"\n[[exemptions.exemption]]\nuser = "zoe"\nreason = "x"\n'
    assert planned(text + until(NOW + DAY)).summary == "policy file: 1 ban, 1 flag, 1 exemption"


# --- exemptions

TRAVELLING = '[[exemptions.exemption]]\nuser = "ANN@corp.example"\nreason = "travels"\n'


def until(at: float) -> str:
    return f'until = "{datetime.fromtimestamp(at, UTC).isoformat()}"\n'


def test_the_same_exemption_again_is_the_same() -> None:
    assert touched(TRAVELLING + until(TRAVELS.ends_at)) == []
    assert touched('[[exemptions.exemption]]\nid = "e1"\n') == []


def test_another_end_is_another_exemption_in_its_place() -> None:
    """What an id stands for never changes, so that taking it back is no guess."""
    found = planned(TRAVELLING + until(NOW + 2 * DAY)).exemptions
    assert [each.id for each in found] == ["e0", "new100"]
    assert (found[1].author, found[1].starts_at, found[1].ends_at) == ("carl", NOW, NOW + 2 * DAY)
    assert found[1].login == "ann@corp.example"


def test_a_complete_section_ends_those_in_force_that_it_does_not_name() -> None:
    assert planned("[exemptions]\ncomplete = true").exemptions == (ENDED,)
    assert touched("[exemptions]\ncomplete = true\n" + TRAVELLING + until(TRAVELS.ends_at)) == []
    assert planned(TRAVELLING + "remove = true").exemptions == (ENDED,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('user = "bob"\nreason = "x"', "line 1, exemptions.exemption[1]: the exemption would have ended already"),
        ('reason = "x"\n' + until(NOW + DAY), "an exemption is for a user"),
        ('user = "bob"\ngroup = "b"\nreason = "x"\n' + until(NOW + DAY), "an exemption is for a user"),
        ('device = "d"\ngroup = "b"\nreason = "x"\n' + until(NOW + DAY), "names its user, too"),
        ('user = "bob"\n' + until(NOW + DAY), "needs a reason"),
        ('user = "bob"\nreason = "x"\n' + until(NOW + 400 * DAY), "at most 366 days"),
        ('id = "e7"', "there is no exemption 'e7'"),
        ('id = "e1"\n[[exemptions.exemption]]\nid = "e1"', "or it stands here twice"),
        ('user = "bob"\nremove = true', "nobody is exempt so"),
    ],
)
def test_who_cannot_be_exempt(text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        planned(f"[[exemptions.exemption]]\n{text}")
    assert sentence in str(refused.value)


# --- there and back


@given(drawn.policies())
def test_an_export_planned_as_it_is_changes_nothing(version: PolicyVersion) -> None:
    text = policy_text(version, NOW)
    assert touched(text, version) == []
    assert policy_text(planned(text, version), NOW) == text


@given(drawn.policies(), drawn.policies())
def test_an_export_makes_any_policy_to_what_it_was(version: PolicyVersion, other: PolicyVersion) -> None:
    wanted = replace(version, bans=tuple(ban for ban in version.bans if _dates_fit(ban)), exemptions=())
    found = planned(policy_text(wanted, NOW), replace(other, exemptions=()))
    assert _comparable(found) == _comparable(wanted)


def _dates_fit(ban: Ban) -> bool:
    return ban.starts_at is None or ban.ends_at is None or ban.starts_at < ban.ends_at


def _comparable(version: PolicyVersion) -> dict[str, object]:
    """All of a policy but who is chosen by a share, which a file does not say."""
    parts: dict[str, object] = dict(parts_of(replace(version, bans=())))
    return {**parts, **{ban.name: replace(ban, seed=0) for ban in version.bans}}
