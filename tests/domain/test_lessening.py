"""What is said to enforce no more enforces no more, held on ``decide``; and where it is so of rules, it is said."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.changes import edits
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.decide import decide
from gateway.domain.enforcement import flag_in_force, share_of
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Platform
from gateway.domain.lessening import flag_enforces_no_more, setting_enforces_no_more
from gateway.domain.milder import is_no_harsher
from gateway.domain.policy import PolicyVersion, Setting, SettingRule, UnknownSetting, first_policy, policy_of
from gateway.domain.policy_parts import FlagPart, Touch, parts_of, put_parts
from gateway.domain.stages import is_milder
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, TIKTOK_BAN, thorough

ENFORCE, OFF, REPORT = Flag.ENFORCE, Flag.OFF, Flag.REPORT_ONLY
FOR_A, FOR_B = FlagRule(ENFORCE, group="a"), FlagRule(ENFORCE, group="b")

SEED = TIKTOK_BAN.seed
UNDER_HALF = next(f"p{n}" for n in range(100) if share_of(f"p{n}", SEED) < 50)
OVER_HALF = next(f"p{n}" for n in range(100) if share_of(f"p{n}", SEED) >= 50)
PEOPLE = list(product([UNDER_HALF, OVER_HALF], [(), ("sales",), ("board",), ("sales", "board")], [*Protocol][:3]))
"""One of each kind that the drawn rules tell apart."""


def part(*rules: FlagRule, flag: Flag = REPORT) -> FlagPart:
    return FlagPart(flag, rules, seed=SEED)


def under(flags: FlagPart) -> set[tuple[object, ...]]:
    """Who of the people is under the ban."""
    ban = replace(TIKTOK_BAN, flag=flags.flag, rules=flags.rules)
    return {each for each in PEOPLE if flag_in_force(ban, *each, NOW).flag is ENFORCE}


@st.composite
def two_lists(draw: st.DrawFn) -> tuple[FlagPart, FlagPart]:
    """Rules, and what somebody made of them: other flags, rules in front, rules that are gone."""
    rules = draw(st.lists(drawn.flag_rules, max_size=4))
    others = [replace(each, flag=draw(drawn.flags)) for each in rules if draw(st.integers(0, 3))]
    front = draw(st.lists(drawn.flag_rules, max_size=2))
    pair = part(*rules, flag=draw(drawn.flags)), part(*front, *others, flag=draw(drawn.flags))
    return pair if draw(st.booleans()) else (pair[1], pair[0])


@thorough
@given(two_lists())
def test_of_two_lists_of_rules_it_is_said_exactly_when_it_is_so(pair: tuple[FlagPart, FlagPart]) -> None:
    one, other = pair
    assert flag_enforces_no_more(one, other) is (under(one) <= under(other))


@thorough
@given(drawn.unknown_settings, drawn.unknown_settings)
def test_a_setting_denies_no_more(one: UnknownSetting, other: UnknownSetting) -> None:
    def denied(setting: UnknownSetting) -> set[tuple[object, ...]]:
        asked = product(Protocol, [None, *{rule.platform for rule in (*one.rules, *other.rules)}])
        return {each for each in asked if setting.of(*each) is Setting.DENY}

    assert setting_enforces_no_more(one, other) is (denied(one) <= denied(other))


def parts_said_no_harsher(one: PolicyVersion, other: PolicyVersion) -> Iterator[PolicyVersion]:
    """The other policy with one part of the first, for each that is said to enforce no more."""
    mine, theirs = parts_of(one), parts_of(other)
    for name in theirs:
        if name in mine and (
            is_no_harsher(mine[name], theirs[name]) or is_milder(Touch(name, theirs[name], mine[name]))
        ):
            yield put_parts(other, {name: mine[name]})


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(), drawn.policies(), two_lists())
def test_nobody_is_refused_by_what_is_said_to_enforce_no_more(
    request: AccessRequest,
    record: PersonRecord,
    one: PolicyVersion,
    other: PolicyVersion,
    pair: tuple[FlagPart, FlagPart],
) -> None:
    mine, theirs = (replace(TIKTOK_BAN, name="Both", flag=each.flag, rules=each.rules) for each in pair)
    one, other = replace(one, bans=(*one.bans, mine)), replace(other, bans=(*other.bans, theirs))
    present = decide(request, record, policy_of(other), NOW).effect
    for milder_one in parts_said_no_harsher(one, other):
        assert decide(request, record, policy_of(milder_one), NOW).effect <= present


@thorough
@given(
    st.lists(drawn.flag_rules, max_size=4),
    drawn.flags,
    st.sampled_from([None, Protocol.IMAP]),
    st.sampled_from(["", "sales"]),
    st.sampled_from([OFF, REPORT]),
)
def test_a_ban_turned_off_for_everybody_for_a_group_or_by_a_protocol_is_always_milder(
    rules: list[FlagRule], base: Flag, protocol: Protocol | None, group: str, flag: Flag
) -> None:
    version = replace(first_policy(NOW), bans=(replace(TIKTOK_BAN, flag=base, rules=tuple(rules)),))
    off = edits.set_flag(version, "TikTok", flag, protocol=protocol, group=group)
    assert is_milder(Touch("flag:tiktok", parts_of(version)["flag:tiktok"], parts_of(off)["flag:tiktok"]))


@pytest.mark.parametrize(
    ("edit", "before"),
    [
        ({"group": "b"}, (FOR_B, FOR_A)),
        ({"group": "a"}, (FOR_B, FOR_A)),
        ({"group": "c"}, (FOR_B, FOR_A)),
        ({"protocol": Protocol.IMAP}, (FOR_B, FOR_A)),
        ({"percent": 10.0}, (FOR_B, FOR_A)),
        # A rule that is gone, since the new one covers it.
        ({"group": "b"}, (FlagRule(REPORT, group="b", percent=10.0), FOR_B, FOR_A)),
        ({"group": "b", "percent": 50.0}, (FlagRule(ENFORCE, group="b", percent=10.0), FOR_A)),
        ({}, (FOR_B, FOR_A)),
    ],
)
@pytest.mark.parametrize("flag", [OFF, REPORT])
def test_a_ban_turned_off_for_some_is_milder_and_the_way_back_is_not(
    edit: dict[str, object], before: tuple[FlagRule, ...], flag: Flag
) -> None:
    version = replace(first_policy(NOW), bans=(replace(TIKTOK_BAN, flag=REPORT, rules=before),))
    off = edits.set_flag(version, "TikTok", flag, **edit)  # type: ignore[arg-type]
    name = "flag:tiktok"
    assert is_milder(Touch(name, parts_of(version)[name], parts_of(off)[name]))
    assert not is_milder(Touch(name, parts_of(off)[name], parts_of(version)[name]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Of the other tenth somebody is in the group.
        (part(FlagRule(ENFORCE, percent=10.0)), part(FOR_A)),
        (part(flag=ENFORCE), replace(part(flag=ENFORCE), groups=frozenset("a"))),
        (replace(part(flag=ENFORCE), starts_at=5.0), replace(part(flag=ENFORCE), starts_at=6.0)),
        (replace(part(flag=ENFORCE), ends_at=6.0), replace(part(flag=ENFORCE), ends_at=5.0)),
        (part(FlagRule(ENFORCE, percent=10.0)), replace(part(FlagRule(ENFORCE, percent=50.0)), seed=1)),
        (part(FlagRule(ENFORCE, Protocol.SMTP)), part(FlagRule(REPORT, Protocol.SMTP), flag=ENFORCE)),
    ],
)
def test_what_enforces_more(one: FlagPart, other: FlagPart) -> None:
    assert not flag_enforces_no_more(one, other)


def test_a_setting_by_platform() -> None:
    ios = UnknownSetting(Setting.ALLOW, (SettingRule(Setting.DENY, platform=Platform.IOS),))
    assert setting_enforces_no_more(ios, UnknownSetting(Setting.DENY))
    assert not setting_enforces_no_more(UnknownSetting(Setting.DENY), ios)
