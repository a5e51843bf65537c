"""How reports change what is known of a device: order, full lists and deltas, shrinking lists, scopes, states."""

from dataclasses import replace

import pytest

from gateway.domain.inventory import (
    APPS_KEPT,
    App,
    Applied,
    AppState,
    DeviceKey,
    Inventory,
    InventoryReport,
    Naming,
    Outcome,
    Ownership,
    Platform,
    ReportedApp,
    ReportKind,
    Scope,
    app_key,
    apply_report,
    capped_scope,
    sees_at_least,
)
from tests.support.evidence_strategies import FIREFOX, MAIL, MINUTE, NOW, TIKTOK

MANY = tuple(App(Platform.ANDROID, f"com.example.app{number}") for number in range(20))


def full(*apps: App, at: float = NOW, sequence: int = 1, scope: Scope = Scope.DEVICE) -> InventoryReport:
    listed = tuple(ReportedApp(each) for each in apps)
    return InventoryReport("mdm", "m1", ReportKind.FULL, scope, at, at + 1, listed, sequence, platform=Platform.ANDROID)


def delta(*changed: ReportedApp, at: float = NOW + 1, sequence: int = 2, base: int | None = 1) -> InventoryReport:
    return replace(full(at=at, sequence=sequence), kind=ReportKind.DELTA, apps=changed, base_sequence=base)


def gone(app: App) -> ReportedApp:
    return ReportedApp(app, AppState.REMOVED)


def applied(current: Inventory | None, report: InventoryReport, maximum: Scope = Scope.DEVICE) -> Applied:
    return apply_report(current, report, maximum, NOW + 100)


def known(*apps: App) -> Inventory:
    inventory = applied(None, full(*apps)).inventory
    assert inventory is not None
    return inventory


def after(current: Inventory | None, report: InventoryReport) -> Inventory:
    result = applied(current, report)
    assert result.outcome is Outcome.APPLIED, result.outcome
    assert result.inventory is not None
    return result.inventory


# --- Full lists


def test_the_first_full_list_is_the_inventory() -> None:
    result = applied(None, full(MAIL, TIKTOK))
    inventory = result.inventory
    assert inventory is not None
    assert (result.outcome, result.added, result.removed) == (Outcome.APPLIED, (MAIL, TIKTOK), ())
    assert (inventory.apps, inventory.generated_at, inventory.full_at) == ((MAIL, TIKTOK), NOW, NOW)
    assert (inventory.sequence, inventory.suspicious) == (1, False)


def test_the_next_full_list_replaces_it() -> None:
    result = applied(known(MAIL, TIKTOK), full(MAIL, FIREFOX, at=NOW + 1, sequence=2))
    assert result.inventory is not None
    assert (result.inventory.apps, result.inventory.full_at) == ((MAIL, FIREFOX), NOW + 1)
    assert (result.added, result.removed) == ((FIREFOX,), (TIKTOK,))


def test_a_full_list_replaces_everything_else_too() -> None:
    said = {
        "device_keys": (DeviceKey("serial", "S"),),
        "ownership": Ownership.PERSONAL,
        "compromised": True,
        "compliant": False,
        "os_version": "16",
        "naming": Naming.DISPLAY_NAME,
        "boot_id": "b",
    }
    inventory = after(None, replace(full(MAIL), **said))  # type: ignore[arg-type]
    assert {name: getattr(inventory, name) for name in said} == said
    silent = after(inventory, full(MAIL, at=NOW + 1, sequence=2))
    assert (silent.device_keys, silent.ownership, silent.compromised) == ((), Ownership.UNKNOWN, None)


def test_an_app_that_is_listed_twice_is_one() -> None:
    assert known(MAIL, TIKTOK, MAIL).apps == (MAIL, TIKTOK)


# --- Order


@pytest.mark.parametrize(
    ("at", "sequence", "outcome"),
    [
        (NOW, 5, Outcome.STALE),
        (NOW - 1, 6, Outcome.STALE),
        (NOW - 1, 5, Outcome.STALE),
        (NOW, 4, Outcome.STALE),
        (NOW + 1, 5, Outcome.STALE),
        (NOW + 1, 4, Outcome.STALE),
        (NOW, 6, Outcome.APPLIED),
        (NOW + 1, 6, Outcome.APPLIED),
        (NOW + 1, 0, Outcome.APPLIED),
        (NOW, 0, Outcome.STALE),
    ],
)
@pytest.mark.parametrize("kind", ReportKind)
def test_the_highest_time_and_sequence_win(kind: ReportKind, at: float, sequence: int, outcome: Outcome) -> None:
    current = replace(known(MAIL, TIKTOK), sequence=5)
    report = replace(full(MAIL, at=at, sequence=sequence), kind=kind, base_sequence=5)
    result = applied(current, report)
    assert result.outcome is outcome
    if outcome is Outcome.STALE:
        assert result == Applied(Outcome.STALE, current)


def test_without_sequences_the_time_decides() -> None:
    current = replace(known(MAIL), sequence=0)
    assert applied(current, full(FIREFOX, at=NOW, sequence=0)).outcome is Outcome.STALE
    assert after(current, full(FIREFOX, at=NOW + 1, sequence=0)).apps == (FIREFOX,)
    assert after(current, full(FIREFOX, at=NOW + 1, sequence=1)).sequence == 1


def test_a_new_installation_of_the_agent_counts_from_the_start() -> None:
    current = replace(known(MAIL), sequence=5, boot_id="first")
    restarted = replace(full(FIREFOX, at=NOW + 1, sequence=1), boot_id="second")
    assert (after(current, restarted).apps, after(current, restarted).boot_id) == ((FIREFOX,), "second")
    assert applied(current, replace(restarted, generated_at=NOW - 1)).outcome is Outcome.STALE
    assert applied(current, replace(restarted, boot_id="first")).outcome is Outcome.STALE


@pytest.mark.parametrize(("ahead", "outcome"), [(5 * MINUTE, Outcome.APPLIED), (5 * MINUTE + 1, Outcome.FUTURE)])
def test_the_future_is_refused_beyond_five_minutes(ahead: float, outcome: Outcome) -> None:
    for current in (None, known(MAIL)):
        result = apply_report(current, full(FIREFOX, at=NOW + 100 + ahead, sequence=9), Scope.DEVICE, NOW + 100)
        assert result.outcome is outcome
        if outcome is Outcome.FUTURE:
            assert result == Applied(Outcome.FUTURE, current)


# --- Deltas


def test_a_delta_adds_updates_and_removes() -> None:
    newer = replace(MAIL, version="2")
    result = applied(known(MAIL, TIKTOK), delta(ReportedApp(newer), gone(TIKTOK), ReportedApp(FIREFOX), gone(MANY[0])))
    assert result.inventory is not None
    assert set(result.inventory.apps) == {newer, FIREFOX}
    assert (set(result.added), set(result.removed)) == ({newer, FIREFOX}, {MAIL, TIKTOK})
    assert (result.inventory.generated_at, result.inventory.full_at) == (NOW + 1, NOW)
    assert result.inventory.sequence == 2


@pytest.mark.parametrize("base", [None, 0, 2, 3])
def test_a_delta_fits_on_the_sequence_it_names_only(base: int | None) -> None:
    current = known(MAIL)
    assert applied(current, delta(gone(MAIL), base=base)) == Applied(Outcome.GAP, current)


def test_a_delta_without_a_list_before_it_fits_on_nothing() -> None:
    assert applied(None, delta(ReportedApp(MAIL), base=0)) == Applied(Outcome.GAP, None)


def test_a_delta_of_another_installation_fits_on_nothing() -> None:
    current = replace(known(MAIL), boot_id="first")
    report = replace(delta(gone(MAIL)), boot_id="second")
    assert applied(current, report) == Applied(Outcome.GAP, current)


def test_deltas_do_not_grow_a_list_without_end() -> None:
    """Whoever may send reports could else make the record of a device as large as it likes, little by little."""
    many = tuple(App(Platform.ANDROID, f"com.example.a{number}") for number in range(APPS_KEPT))
    full_up = replace(known(MAIL), apps=many)
    assert applied(full_up, delta(ReportedApp(TIKTOK))) == Applied(Outcome.GAP, full_up)
    assert len(after(full_up, delta(ReportedApp(TIKTOK), gone(many[0]))).apps) == APPS_KEPT
    # One that is too long already may become shorter.
    too_long = replace(full_up, apps=(*many, TIKTOK, MAIL))
    assert len(after(too_long, delta(gone(many[0]))).apps) == APPS_KEPT + 1
    assert applied(too_long, delta(ReportedApp(FIREFOX))).outcome is Outcome.GAP


OLD, NEW = replace(TIKTOK, version="1"), replace(TIKTOK, version="6")


def test_a_delta_forgets_no_copy_of_an_app_that_is_there_twice() -> None:
    """A ban of the old version refused the phone, and a delta about something else let it in."""
    assert set(after(known(OLD, NEW, MAIL), delta(gone(MAIL), ReportedApp(FIREFOX))).apps) == {OLD, NEW, FIREFOX}


@pytest.mark.parametrize(
    "said", [(gone(TIKTOK),), (gone(NEW),), (ReportedApp(NEW),), (ReportedApp(replace(TIKTOK, version="7")),)]
)
def test_a_delta_does_not_tell_of_an_app_that_is_there_twice(said: tuple[ReportedApp, ...]) -> None:
    """Nobody can say which one is meant."""
    current = known(OLD, NEW, MAIL)
    assert applied(current, delta(*said)) == Applied(Outcome.GAP, current)


@pytest.mark.parametrize(
    "said", [(ReportedApp(NEW), gone(OLD)), (gone(OLD), ReportedApp(NEW)), (ReportedApp(OLD), ReportedApp(NEW))]
)
def test_a_delta_does_not_name_an_app_twice(said: tuple[ReportedApp, ...]) -> None:
    """By the order alone one of them would have counted."""
    current = known(OLD, MAIL)
    assert applied(current, delta(*said)) == Applied(Outcome.GAP, current)
    assert after(current, delta(ReportedApp(NEW), ReportedApp(NEW))).apps == (NEW, MAIL)


def test_a_delta_leaves_alone_what_it_does_not_say() -> None:
    said = {"device_keys": (DeviceKey("serial", "S"),), "compromised": True, "compliant": False, "os_version": "16"}
    before = replace(known(MAIL), ownership=Ownership.PERSONAL, **said)  # type: ignore[arg-type]
    unsaid = after(before, replace(delta(), platform=None))
    assert {name: getattr(unsaid, name) for name in said} == said
    assert (unsaid.ownership, unsaid.platform) == (Ownership.PERSONAL, Platform.ANDROID)


def test_a_delta_changes_what_it_says() -> None:
    said = {
        "device_keys": (DeviceKey("serial", "T"),),
        "compromised": False,
        "compliant": True,
        "os_version": "17",
        "ownership": Ownership.COMPANY,
        "platform": Platform.IOS,
    }
    before = replace(known(MAIL), compromised=True, compliant=False, ownership=Ownership.PERSONAL)
    changed = after(before, replace(delta(), **said))  # type: ignore[arg-type]
    assert {name: getattr(changed, name) for name in said} == said


def test_ids_in_a_delta_are_compared_as_the_platform_does() -> None:
    apple, android = App(Platform.IOS, "com.Example.App"), App(Platform.ANDROID, "com.Example.App")
    lower = {each: replace(each, id=each.id.lower()) for each in (apple, android)}
    assert after(known(apple), delta(gone(lower[apple]))).apps == ()
    assert after(known(android), delta(gone(lower[android]))).apps == (android,)
    assert app_key(apple) == app_key(lower[apple])
    assert app_key(android) != app_key(lower[android])
    assert app_key(apple) != app_key(android)


# --- States


@pytest.mark.parametrize(
    ("state", "present"),
    [
        (AppState.INSTALLED, True),
        (AppState.INSTALLING, True),
        (AppState.DOWNLOAD_WAITING, True),
        (AppState.DOWNLOAD_PAUSED, True),
        (AppState.PENDING_REMOVAL, True),
        (AppState.DOWNLOAD_FAILED, False),
        (AppState.DOWNLOAD_CANCELLED, False),
        (AppState.REMOVED, False),
    ],
)
def test_an_app_on_its_way_in_is_there_and_one_that_never_came_is_not(state: AppState, present: bool) -> None:
    listed = (ReportedApp(MAIL), ReportedApp(TIKTOK, state))
    assert (TIKTOK in after(None, replace(full(), apps=listed)).apps) is present
    assert (TIKTOK in after(known(MAIL, TIKTOK), delta(ReportedApp(TIKTOK, state))).apps) is present


def test_every_state_is_decided() -> None:
    assert len(AppState) == 8


# --- Lists that shrink unbelievably


@pytest.mark.parametrize(
    ("before", "listed", "outcome"),
    [
        (20, 3, Outcome.SUSPICIOUS),
        (20, 4, Outcome.APPLIED),
        (10, 1, Outcome.SUSPICIOUS),
        (10, 2, Outcome.APPLIED),
        (9, 1, Outcome.APPLIED),
        (1, 0, Outcome.SUSPICIOUS),
        (0, 0, Outcome.SUSPICIOUS),
    ],
)
def test_a_list_of_less_than_a_fifth_is_not_believed(before: int, listed: int, outcome: Outcome) -> None:
    current = replace(known(MAIL), apps=MANY[:before])
    assert applied(current, full(*MANY[:listed], at=NOW + 1, sequence=2)).outcome is outcome


def test_the_apps_stay_and_prove_nothing_until_a_believable_list() -> None:
    result = applied(known(*MANY), full(MANY[0], at=NOW + 1, sequence=2))
    doubtful = result.inventory
    assert doubtful is not None
    assert (doubtful.apps, doubtful.full_at, doubtful.suspicious) == (MANY, NOW, True)
    assert (doubtful.generated_at, doubtful.sequence, doubtful.suspicious_at) == (NOW + 1, 2, NOW + 1)
    assert (result.added, result.removed) == ((), ())
    changed = after(doubtful, delta(gone(MANY[0]), at=NOW + 2, sequence=3, base=2))
    assert (changed.suspicious, len(changed.apps)) == (True, 19)
    believed = after(doubtful, full(*MANY[:10], at=NOW + 2, sequence=3))
    assert (believed.apps, believed.suspicious, believed.suspicious_at) == (MANY[:10], False, None)


def test_what_an_unbelievable_list_does_show_is_there() -> None:
    """A list too short to prove an absence still proves presence: the last report with a banned app counts."""
    newer = replace(MANY[0], version="2")
    result = applied(known(*MANY), full(newer, TIKTOK, at=NOW + 1, sequence=2))
    assert result.outcome is Outcome.SUSPICIOUS
    assert result.inventory is not None
    assert result.inventory.apps == (newer, TIKTOK, *MANY)
    assert (result.added, result.removed) == ((newer, TIKTOK), ())


def test_unbelievable_lists_do_not_pile_up_for_ever() -> None:
    current = known(*MANY)
    for number in range(2, 80):
        fresh = [replace(MAIL, id=f"org.example.{number}.{each}") for each in range(len(current.apps) // 5 - 2)]
        result = applied(current, full(TIKTOK, *fresh, at=NOW + number / 100, sequence=number))
        assert result.outcome is Outcome.SUSPICIOUS
        assert result.inventory is not None
        current = result.inventory
        assert TIKTOK in current.apps
    assert len(current.apps) == APPS_KEPT


def test_bad_news_in_an_unbelievable_list_counts_and_good_news_waits() -> None:
    good, bad = {"compromised": False, "compliant": True}, {"compromised": True, "compliant": False}
    short = full(MANY[0], at=NOW + 1, sequence=2)
    worse = applied(replace(known(*MANY), **good), replace(short, **bad)).inventory  # type: ignore[arg-type]
    assert worse is not None
    assert (worse.compromised, worse.compliant) == (True, False)
    as_before = applied(replace(known(*MANY), **bad), replace(short, **good)).inventory  # type: ignore[arg-type]
    assert as_before is not None
    assert (as_before.compromised, as_before.compliant) == (True, False)


def test_another_release_of_the_system_may_change_everything() -> None:
    report = replace(full(MANY[0], at=NOW + 1, sequence=2), os_version="17")
    assert applied(replace(known(*MANY), os_version="16"), report).outcome is Outcome.APPLIED


def test_another_view_may_show_less() -> None:
    report = full(MANY[0], at=NOW + 1, sequence=2, scope=Scope.MANAGED_ONLY)
    assert applied(known(*MANY), report).outcome is Outcome.APPLIED
    assert applied(known(*MANY), replace(report, apps=())).outcome is Outcome.APPLIED


def test_a_whole_device_without_an_app_is_not_believed_even_first() -> None:
    for report in (full(), replace(full(), apps=(gone(MAIL),))):
        result = applied(None, report)
        assert result.outcome is Outcome.SUSPICIOUS
        assert result.inventory is not None
        assert (result.inventory.full_at, result.inventory.suspicious) == (None, True)
        assert after(result.inventory, full(MAIL, at=NOW + 1, sequence=2)).suspicious is False
    assert applied(None, full(scope=Scope.WORK_PROFILE)).outcome is Outcome.APPLIED


# --- Scopes

BY_WIDTH = [Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY, Scope.NONE]


@pytest.mark.parametrize("maximum", BY_WIDTH)
@pytest.mark.parametrize("claimed", BY_WIDTH)
def test_a_payload_cannot_claim_more_than_its_source(claimed: Scope, maximum: Scope) -> None:
    narrower = max(claimed, maximum, key=BY_WIDTH.index)
    assert capped_scope(claimed, maximum) is narrower
    result = applied(None, full(MAIL, scope=claimed), maximum)
    assert result.inventory is not None
    assert (result.inventory.scope, result.scope_capped) == (narrower, narrower is not claimed)


def test_a_suspicious_list_tells_that_it_was_capped() -> None:
    current = replace(known(*MANY), scope=Scope.WORK_PROFILE)
    result = applied(current, full(MANY[0], at=NOW + 1, sequence=2), Scope.WORK_PROFILE)
    assert (result.outcome, result.scope_capped) == (Outcome.SUSPICIOUS, True)


@pytest.mark.parametrize(
    ("listed", "changed", "scope"),
    [
        (Scope.DEVICE, Scope.DEVICE, Scope.DEVICE),
        (Scope.DEVICE, Scope.WORK_PROFILE, Scope.WORK_PROFILE),
        (Scope.WORK_PROFILE, Scope.DEVICE, Scope.WORK_PROFILE),
    ],
)
def test_a_delta_inherits_the_scope_or_narrows_it(listed: Scope, changed: Scope, scope: Scope) -> None:
    current = applied(None, full(MAIL, scope=listed)).inventory
    assert after(current, replace(delta(), scope=changed)).scope is scope


def test_what_one_view_shows_of_another() -> None:
    assert all(sees_at_least(Scope.DEVICE, other) for other in Scope)
    assert all(sees_at_least(scope, scope) for scope in Scope)
    assert sees_at_least(Scope.WORK_PROFILE, Scope.MANAGED_ONLY)
    assert not sees_at_least(Scope.MANAGED_ONLY, Scope.WORK_PROFILE)
    assert not sees_at_least(Scope.WORK_PROFILE, Scope.USER)
    assert not sees_at_least(Scope.USER, Scope.WORK_PROFILE)
    assert not any(sees_at_least(scope, Scope.DEVICE) for scope in Scope if scope is not Scope.DEVICE)
