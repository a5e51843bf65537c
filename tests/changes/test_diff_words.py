"""What a change touches, in words."""

from dataclasses import replace

import pytest

from gateway.changes.diff_words import action_words, touch_words
from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.change import GuardedAction
from gateway.domain.inventory import Platform
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    UnknownSetting,
    first_policy,
)
from gateway.domain.policy_parts import differences
from tests.support.counted_names import CountedName
from tests.support.evidence_strategies import NOW, SIDELOAD_BAN, TENCENT_BAN, TIKTOK_BAN

EMPTY = first_policy(NOW)
BANNED = replace(EMPTY, bans=(TIKTOK_BAN,))
TURNED = replace(
    TIKTOK_BAN,
    flag=Flag.OFF,
    rules=(FlagRule(Flag.ENFORCE, Protocol.IMAP, "board", 10.0),),
    groups=frozenset({"sales"}),
    starts_at=NOW,
)
MANY = Ban("Many", tuple(Matcher(MatcherKind.NAME, f"app {number}", publisher="Evil") for number in range(9)))
LISTED = ", ".join(f"name app {number} of publisher Evil" for number in range(9))
EXEMPT = Exemption("e1", "ann", "travels", NOW, NOW, login="bob@corp.example", device_id="d1")
STALE = UnknownSetting(Setting.DENY, (SettingRule(Setting.ALLOW, None, Platform.IOS),))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            EMPTY,
            BANNED,
            [
                "ban TikTok added: android:com.zhiliaoapp.musically, ios:com.zhiliaoapp.musically",
                "flag of tiktok: none → enforce",
            ],
        ),
        (BANNED, EMPTY, ["ban TikTok removed: ", "flag of tiktok: enforce → none"]),
        (
            BANNED,
            replace(EMPTY, bans=(TURNED,)),
            [
                "flag of tiktok: enforce → enforce for 10 % of the users, group board, protocol imap, off otherwise, "
                "only in sales, from 2001-09-09 01:46 UTC"
            ],
        ),
        (
            BANNED,
            replace(EMPTY, bans=(replace(TIKTOK_BAN, matchers=(*TIKTOK_BAN.matchers[:1], *TENCENT_BAN.matchers)),)),
            ["ban TikTok: also android:com.tencent.*; no longer ios:com.zhiliaoapp.musically"],
        ),
        (
            BANNED,
            replace(EMPTY, bans=(replace(TIKTOK_BAN, text="Call 0900 1", exceptions=TENCENT_BAN.matchers),)),
            ["ban TikTok: also except android:com.tencent.*; text: Call 0900 1"],
        ),
        (
            EMPTY,
            replace(EMPTY, bans=(replace(MANY, text="Why", exceptions=TENCENT_BAN.matchers),)),
            [f"ban Many added: {LISTED}; except android:com.tencent.*; text: Why", "flag of many"],
        ),
        (EMPTY, replace(EMPTY, bans=(SIDELOAD_BAN,)), ["ban Sideloaded added: origin sideload", "flag of"]),
        (
            EMPTY,
            replace(EMPTY, exemptions=(EXEMPT,)),
            ["exemption added: bob@corp.example, device d1 until 2001-09-09 01:46 UTC (travels)"],
        ),
        (replace(EMPTY, exemptions=(EXEMPT,)), EMPTY, ["exemption ended: bob@corp.example, device d1"]),
        (
            EMPTY,
            replace(EMPTY, unknowns=replace(EMPTY.unknowns, stale=STALE), enforcement_on=False),
            ["enforcement, globally: on → off", "devices that are stale: report-only → allow for ios, deny otherwise"],
        ),
        (
            EMPTY,
            replace(EMPTY, grace=NewDeviceGrace(86400.0, 3), outlook_mobile=OutlookMobile.DENY),
            [
                "grace of new devices: 2 devices for 0 days → 3 devices for 1 days",
                "Outlook mobile: unmatched → deny",
            ],
        ),
    ],
)
def test_one_line_for_each_part(before: PolicyVersion, after: PolicyVersion, words: list[str]) -> None:
    told = [touch_words(touch) for touch in differences(before, after)]
    assert len(told) == len(words)
    assert [line[: len(begin)] for line, begin in zip(told, words, strict=True)] == words


def test_an_action_says_all_that_it_was_asked_for_but_no_digest() -> None:
    action = GuardedAction(
        "add_source", {"name": "mdm", "devices": "*", "user": "", "public_key": "whpk_x", "digest": "0"}
    )
    assert action_words(action) == "add source: name mdm, devices *, user none, public key whpk_x"


def test_what_differs_is_not_looked_for_in_all_matchers_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ban has up to 500 of them, and the words are found on the event loop."""

    def listing(*numbers: int) -> PolicyVersion:
        names = [CountedName(f"com.example.app{number}") for number in numbers]
        matchers = tuple(Matcher(MatcherKind.ID, name, Platform.ANDROID) for name in names)
        return replace(EMPTY, bans=(replace(TIKTOK_BAN, matchers=matchers),))

    (touch,) = differences(listing(*range(50)), listing(*range(1, 51)))
    monkeypatch.setattr(CountedName, "compared", 0)
    words = "ban TikTok: also android:com.example.app50; no longer android:com.example.app0"
    assert touch_words(touch) == words
    assert CountedName.compared < 500
