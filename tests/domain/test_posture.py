"""What evidence says about a device: open hits, what closes them, and what CLEAN needs."""

from dataclasses import replace

import pytest
from hypothesis import given

from gateway.domain.evidence import BindingState, DeviceEvidence, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Scope
from gateway.domain.matching import compiled
from gateway.domain.posture import Sufficiency, clears, expires_at, open_hits, sufficiency
from gateway.domain.verdict import FOREVER, Cause
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import (
    BANS,
    DAY,
    HOUR,
    MAIL,
    MINUTE,
    NOW,
    TIKTOK,
    TIKTOK_BAN,
    TIKTOK_IOS,
    WECHAT,
    bound,
    seen,
    thorough,
    unmatched,
)

INDEX = compiled(BANS)
STONE = Tombstone(TIKTOK, "mdm", NOW - HOUR)


def names(device: DeviceEvidence) -> list[str]:
    return [hit.ban.name for hit in open_hits(device, INDEX)]


def conflicting(*listed: SourceEvidence) -> DeviceEvidence:
    return DeviceEvidence("d1", BindingState.CONFLICT, listed)


# --- Hits


def test_a_hit_names_ban_app_source_and_time() -> None:
    (hit,) = open_hits(bound(seen(MAIL, TIKTOK)), INDEX)
    assert (hit.ban, hit.app, hit.source_id, hit.at, hit.scope) == (
        TIKTOK_BAN,
        TIKTOK,
        "mdm",
        NOW - HOUR,
        Scope.DEVICE,
    )


def test_each_banned_app_is_a_hit() -> None:
    assert names(bound(seen(TIKTOK, MAIL, WECHAT))) == ["TikTok", "Tencent"]
    assert names(bound(seen(MAIL))) == []


@pytest.mark.parametrize("scope", [Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY, Scope.USER])
def test_a_source_that_sees_little_still_proves_a_hit(scope: Scope) -> None:
    assert names(bound(replace(seen(TIKTOK), scope=scope))) == ["TikTok"]


def test_age_alone_clears_nothing() -> None:
    assert names(bound(seen(TIKTOK, age=1000 * DAY))) == ["TikTok"]


def test_hits_count_whatever_the_binding_is() -> None:
    for state in BindingState:
        assert names(replace(bound(seen(TIKTOK)), binding=state)) == ["TikTok"]


@pytest.mark.parametrize(
    ("newer_by", "closed"), [(-HOUR, False), (0.0, False), (10 * MINUTE, False), (10 * MINUTE + 1, True)]
)
def test_another_source_closes_a_hit_when_ten_minutes_newer(newer_by: float, closed: bool) -> None:
    device = bound(seen(TIKTOK, age=HOUR), seen(MAIL, source="jamf", age=HOUR - newer_by))
    assert names(device) == ([] if closed else ["TikTok"])


@pytest.mark.parametrize(
    "doubt",
    [
        {"scope": Scope.WORK_PROFILE},
        {"scope": Scope.MANAGED_ONLY},
        {"scope": Scope.USER},
        {"naming": Naming.DISPLAY_NAME},
        {"suspicious": True},
        {"full_at": None},
        {"full_at": NOW - HOUR},
    ],
)
def test_another_source_closes_it_by_a_whole_believable_list_only(doubt: dict[str, object]) -> None:
    other = replace(seen(MAIL, source="jamf", age=0.0), **doubt)  # type: ignore[arg-type]
    assert names(bound(seen(TIKTOK, age=HOUR), other)) == ["TikTok"]


def test_a_source_that_holds_another_app_of_the_ban_closes_nothing() -> None:
    hits = open_hits(bound(seen(TIKTOK, age=DAY), seen(TIKTOK_IOS, source="jamf", age=0.0)), INDEX)
    assert [(hit.source_id, hit.app) for hit in hits] == [("mdm", TIKTOK), ("jamf", TIKTOK_IOS)]


def test_a_hit_of_another_ban_is_no_obstacle() -> None:
    assert names(bound(seen(TIKTOK, age=DAY), seen(WECHAT, source="jamf", age=0.0))) == ["Tencent"]


def test_in_a_conflict_nobody_clears_another_claimant() -> None:
    assert names(conflicting(seen(TIKTOK, age=DAY), seen(MAIL, source="jamf", age=0.0))) == ["TikTok"]
    assert names(conflicting(seen(MAIL), seen(WECHAT, device="m2"))) == ["Tencent"]


# --- Tombstones


@pytest.mark.parametrize(
    ("evidence", "open_still"),
    [
        (seen(MAIL, age=HOUR - 1), False),
        (seen(MAIL, age=HOUR), True),
        (seen(MAIL, age=DAY), True),
        (replace(seen(MAIL, age=0.0), scope=Scope.WORK_PROFILE), True),
        (replace(seen(MAIL, age=0.0), suspicious=True), True),
        (replace(seen(MAIL, age=0.0), full_at=None), True),
        (seen(MAIL, source="jamf", age=HOUR - 10 * MINUTE), True),
        (seen(MAIL, source="jamf", age=HOUR - 10 * MINUTE - 1), False),
        (replace(seen(MAIL, source="jamf", age=0.0), naming=Naming.DISPLAY_NAME), True),
        (seen(TIKTOK_IOS, age=0.0), True),
    ],
)
def test_a_tombstone_is_a_hit_until_newer_evidence(evidence: SourceEvidence, open_still: bool) -> None:
    device = replace(bound(evidence), tombstones=(STONE,))
    assert (TIKTOK in [hit.app for hit in open_hits(device, INDEX)]) is open_still


def test_a_tombstone_of_a_narrow_source_is_cleared_by_the_same_view() -> None:
    device = replace(
        bound(replace(seen(MAIL, age=0.0), scope=Scope.WORK_PROFILE)),
        tombstones=(replace(STONE, scope=Scope.WORK_PROFILE),),
    )
    assert names(device) == []
    other_view = replace(device, tombstones=(replace(STONE, scope=Scope.USER),))
    assert names(other_view) == ["TikTok"]


def test_nothing_clears_a_tombstone_of_a_device_that_is_not_bound() -> None:
    assert names(unmatched("d1", STONE)) == ["TikTok"]
    for state in (BindingState.UNMATCHED, BindingState.CONFLICT):
        assert names(replace(bound(seen(MAIL, age=0.0)), binding=state, tombstones=(STONE,))) == ["TikTok"]


def test_a_tombstone_counts_by_the_bans_of_today() -> None:
    assert open_hits(unmatched("d1", STONE), compiled(())) == ()


@thorough
@given(drawn.devices("d1"))
def test_every_banned_app_at_hand_is_a_hit_unless_cleared(device: DeviceEvidence) -> None:
    """The rule of the fact sheet once more, spelled out over all pairs of sightings and sources."""
    sightings: list[tuple[tuple[App, ...], str, float, Scope, SourceEvidence | None]] = [
        *((s.apps, s.source_id, s.generated_at, s.scope, s) for s in device.sources),
        *(((t.app,), t.source_id, t.seen_at, t.scope, None) for t in device.tombstones),
    ]
    expected = []
    for apps, source_id, at, scope, holder in sightings:
        for app in apps:
            for ban in INDEX.bans_of(app):
                answered = [
                    other
                    for other in device.sources
                    if other is not holder
                    and not any(ban in INDEX.bans_of(held) for held in other.apps)
                    and clears(other, source_id, at, scope)
                ]
                if device.binding is not BindingState.BOUND or not answered:
                    expected.append((ban.name, app.id, source_id, at))
    found = [(hit.ban.name, hit.app.id, hit.source_id, hit.at) for hit in open_hits(device, INDEX)]
    assert sorted(found) == sorted(expected)


# --- What CLEAN needs


def test_a_whole_fresh_list_suffices_until_it_is_stale() -> None:
    assert sufficiency(bound(seen(MAIL, age=HOUR)), NOW) == Sufficiency((), NOW - HOUR + DAY)


@pytest.mark.parametrize(
    ("evidence", "causes"),
    [
        (seen(age=DAY), (Cause.STALE,)),
        (seen(age=DAY - 1), ()),
        (replace(seen(), scope=Scope.WORK_PROFILE), (Cause.SCOPE,)),
        (replace(seen(), scope=Scope.MANAGED_ONLY), (Cause.SCOPE,)),
        (replace(seen(), scope=Scope.USER), (Cause.SCOPE,)),
        (replace(seen(), naming=Naming.DISPLAY_NAME), (Cause.SCOPE,)),
        (replace(seen(age=2 * DAY), naming=Naming.DISPLAY_NAME), (Cause.STALE, Cause.SCOPE)),
        (replace(seen(), full_at=None), (Cause.MISSING,)),
        (replace(seen(), suspicious=True), (Cause.MISSING,)),
        # An unbelievable list must not hide that the one before it is stale, or saw little.
        (replace(seen(age=2 * DAY), suspicious=True), (Cause.MISSING, Cause.STALE)),
        (replace(seen(), suspicious=True, scope=Scope.USER), (Cause.MISSING, Cause.SCOPE)),
    ],
)
def test_what_one_source_lacks(evidence: SourceEvidence, causes: tuple[Cause, ...]) -> None:
    assert sufficiency(bound(evidence), NOW).causes == causes


def test_a_delta_does_not_make_the_list_it_rests_on_younger() -> None:
    assert sufficiency(bound(replace(seen(age=0.0), full_at=NOW - DAY)), NOW).causes == (Cause.STALE,)


def test_one_source_that_suffices_outweighs_the_others() -> None:
    narrow = replace(seen(source="jamf"), scope=Scope.MANAGED_ONLY)
    assert sufficiency(bound(seen(), narrow), NOW) == Sufficiency((), NOW - HOUR + DAY)
    longer = replace(seen(source="jamf"), max_age=8 * DAY)
    assert sufficiency(bound(seen(), longer), NOW).valid_until == NOW - HOUR + 8 * DAY


def test_sources_that_all_fall_short_add_their_causes() -> None:
    narrow = replace(seen(source="jamf", age=HOUR), scope=Scope.MANAGED_ONLY)
    assert sufficiency(bound(seen(age=2 * DAY), narrow), NOW) == Sufficiency(
        (Cause.STALE, Cause.SCOPE), NOW - HOUR + DAY
    )


def test_nothing_bound_and_nothing_reported() -> None:
    assert sufficiency(unmatched(), NOW) == Sufficiency((Cause.UNMATCHED,), FOREVER)
    assert sufficiency(replace(bound(seen()), binding=BindingState.UNMATCHED), NOW).causes == (Cause.UNMATCHED,)
    assert sufficiency(bound(), NOW) == Sufficiency((Cause.MISSING,), FOREVER)


def test_a_conflict_is_one_however_good_the_lists_are() -> None:
    assert sufficiency(conflicting(seen()), NOW) == Sufficiency((Cause.CONFLICT,), NOW - HOUR + DAY)
    old = conflicting(seen(), seen(device="m2", age=2 * DAY))
    assert sufficiency(old, NOW).causes == (Cause.STALE, Cause.CONFLICT)


def test_evidence_without_a_full_list_never_goes_stale() -> None:
    assert expires_at(replace(seen(), full_at=None)) == FOREVER
    assert expires_at(seen(age=HOUR)) == NOW - HOUR + DAY
