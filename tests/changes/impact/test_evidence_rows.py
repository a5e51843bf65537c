"""Which apps have an open hit whatever ban they fall under: held against ``open_hits`` for every ban."""

from dataclasses import replace
from itertools import combinations

import pytest

from gateway.changes.impact.evidence_rows import EvidenceRow, Mark, row_of
from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Scope
from gateway.domain.matching import compiled
from gateway.domain.posture import open_hits
from tests.support.evidence_strategies import DAY, FIREFOX, HOUR, MAIL, MINUTE, NOW, TIKTOK, WECHAT, bound, seen
from tests.support.random_fleets import Draw

APPS = (TIKTOK, WECHAT, MAIL, FIREFOX)


def banning(*apps: App) -> Ban:
    return Ban("x", tuple(Matcher(MatcherKind.ID, app.id, app.platform) for app in apps))


def assert_the_same(device: DeviceEvidence) -> EvidenceRow:
    row = row_of(device)
    for size in (1, 2, 3):
        for apps in combinations(APPS, size):
            index = compiled((banning(*apps),))
            if row.whole is None:
                assert any(map(index.bans_of, row.apps)) is bool(open_hits(device, index)), apps
    return row


def of(source: str, device: str, age: float, *apps: App, full: float = 0.0) -> SourceEvidence:
    """Seen ``age`` seconds ago; the last full list is ``full`` seconds older."""
    return replace(seen(*apps, source=source, device=device, age=age), full_at=NOW - age - full)


def test_one_source_shows_all_it_has() -> None:
    assert assert_the_same(bound(seen(TIKTOK, MAIL))).apps == {TIKTOK, MAIL}


def test_a_newer_list_of_another_source_clears() -> None:
    device = bound(of("mdm", "m", HOUR, TIKTOK, MAIL), of("jamf", "j", MINUTE, FIREFOX))
    assert assert_the_same(device).apps == {FIREFOX}


def test_one_that_is_hardly_newer_does_not() -> None:
    device = bound(of("mdm", "m", 10 * MINUTE, TIKTOK), of("jamf", "j", MINUTE, FIREFOX))
    assert assert_the_same(device).apps == {TIKTOK, FIREFOX}


def test_what_clears_an_app_but_has_another_of_the_same_ban_leaves_the_ban_open() -> None:
    device = bound(of("mdm", "m", HOUR, TIKTOK), of("jamf", "j", MINUTE, WECHAT))
    assert assert_the_same(device).apps == {WECHAT}


def test_three_in_a_row() -> None:
    device = bound(of("a", "1", 3 * HOUR, TIKTOK), of("b", "2", 2 * HOUR, WECHAT), of("c", "3", HOUR, MAIL))
    assert assert_the_same(device).apps == {MAIL}


@pytest.mark.parametrize(("age", "left"), [(HOUR, set()), (DAY, {TIKTOK})])
def test_tombstones(age: float, left: set[App]) -> None:
    stone = Tombstone(TIKTOK, "mdm", NOW - 2 * HOUR)
    device = replace(bound(of("mdm", "m", age, MAIL)), tombstones=(stone,))
    assert assert_the_same(device).apps == {MAIL} | left


def test_in_a_conflict_all_claimants_count() -> None:
    device = bound(of("mdm", "m", HOUR, TIKTOK), of("jamf", "j", MINUTE, MAIL))
    assert assert_the_same(replace(device, binding=BindingState.CONFLICT)).apps == {TIKTOK, MAIL}


def test_where_it_depends_on_the_ban_the_evidence_is_kept_whole() -> None:
    """One device of a source answers for another of it, but not for what that one answers for."""
    old, full = of("jamf", "j", 4 * HOUR, TIKTOK), of("mdm", "m1", 2 * HOUR, WECHAT)
    delta = of("mdm", "m2", HOUR, MAIL, full=DAY)
    device = bound(old, full, delta)
    row = assert_the_same(device)
    assert row.whole is device
    assert Mark.WHOLE in row.marks
    assert not row.apps
    # TikTok alone is answered for by the full list; with WeChat beside it, that list holds an app of the ban.
    hits = [bool(open_hits(device, compiled((banning(*apps),)))) for apps in ((TIKTOK,), (WECHAT,), (TIKTOK, WECHAT))]
    assert hits == [False, False, True]


def test_random_evidence() -> None:
    draw = Draw(1)
    rows = [assert_the_same(draw.device("d1")) for _ in range(3_000)]
    assert sum(row.whole is not None for row in rows) > 10


def test_a_narrow_view_answers_for_no_wider_one() -> None:
    narrow = replace(of("mdm", "m2", MINUTE, MAIL), scope=Scope.MANAGED_ONLY)
    assert assert_the_same(bound(of("mdm", "m1", HOUR, TIKTOK), narrow)).apps == {TIKTOK, MAIL}
