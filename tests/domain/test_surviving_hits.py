"""Hits outlive evidence that leaves, and only that."""

from dataclasses import replace

from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import BanIndex, compiled
from gateway.domain.posture import TOMBSTONES_OF_ONE_SOURCE, open_hits, surviving_hits

TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically")
MAIL = App(Platform.ANDROID, "com.google.android.gm")
INDEX = compiled((Ban("TikTok", (Matcher(MatcherKind.ID, TIKTOK.id, Platform.ANDROID),)),))
DIRTY = SourceEvidence("mdm", "m1", Scope.DEVICE, Naming.IDENTIFIER, 1000.0, 86400.0, (TIKTOK, MAIL), 1000.0)
CLEANED = replace(DIRTY, apps=(MAIL,), generated_at=2000.0, full_at=2000.0)
STONE = Tombstone(TIKTOK, "mdm", 1000.0)


def device(device_id: str, *sources: SourceEvidence, state: BindingState = BindingState.BOUND) -> DeviceEvidence:
    return DeviceEvidence(device_id, state, sources)


def person(*devices: DeviceEvidence, unbound: tuple[DeviceEvidence, ...] = ()) -> PersonRecord:
    return PersonRecord("ann", known=True, devices={each.device_id: each for each in devices}, unbound=unbound)


def test_a_checked_out_device_leaves_its_hit() -> None:
    gone = device("d", state=BindingState.UNMATCHED)
    assert surviving_hits(person(device("d", DIRTY)), person(gone), INDEX) == {"d": (STONE,)}
    assert surviving_hits(person(device("d", DIRTY)), person(), INDEX) == {"d": (STONE,)}


def test_newer_evidence_of_the_same_device_answers() -> None:
    assert surviving_hits(person(device("d", DIRTY)), person(device("d", CLEANED)), INDEX) == {}


def test_a_narrower_list_does_not_answer() -> None:
    narrow = replace(CLEANED, scope=Scope.MANAGED_ONLY)
    assert surviving_hits(person(device("d", DIRTY)), person(device("d", narrow)), INDEX) == {"d": (STONE,)}


def test_an_unmatched_device_answers_for_itself() -> None:
    before = person(device("d", DIRTY, state=BindingState.UNMATCHED))
    after = person(device("d", CLEANED, state=BindingState.UNMATCHED))
    assert surviving_hits(before, after, INDEX) == {}


def test_a_claimant_in_a_conflict_answers_for_itself_only() -> None:
    other = replace(CLEANED, source_device="m2")
    before = person(device("d", DIRTY, other, state=BindingState.CONFLICT))
    own = person(device("d", CLEANED, other, state=BindingState.CONFLICT))
    left = person(device("d", other, replace(other, source_device="m3"), state=BindingState.CONFLICT))
    assert surviving_hits(before, own, INDEX) == {}
    assert surviving_hits(before, left, INDEX) == {"d": (STONE,)}


def test_a_tombstone_in_a_conflict_stays() -> None:
    with_stone = replace(device("d", DIRTY, state=BindingState.CONFLICT), tombstones=(STONE,))
    cleaned = replace(with_stone, sources=(CLEANED,))
    assert surviving_hits(person(with_stone), person(cleaned), INDEX) == {}
    bound = replace(cleaned, binding=BindingState.BOUND)
    assert surviving_hits(person(cleaned), person(bound), INDEX) == {"d": ()}


def test_an_inventory_device_that_gets_a_device_id_takes_its_hit_along() -> None:
    before = person(unbound=(device("", DIRTY),))
    assert surviving_hits(before, person(device("d", DIRTY)), INDEX) == {}
    assert surviving_hits(before, person(device("d", CLEANED)), INDEX) == {}


def test_one_that_loses_its_device_id_leaves_the_hit_there() -> None:
    after = person(device("d", state=BindingState.UNMATCHED), unbound=(device("", DIRTY),))
    assert surviving_hits(person(device("d", DIRTY)), after, INDEX) == {"d": (STONE,)}


def test_another_phone_without_a_device_id_answers_nothing() -> None:
    other = device("", replace(CLEANED, source_device="m2"))
    before = person(unbound=(device("", DIRTY), other))
    assert surviving_hits(before, person(unbound=(other,)), INDEX) == {"": (STONE,)}
    stone = DeviceEvidence("", BindingState.UNMATCHED, (), (STONE,))
    dirty_too = device("", replace(DIRTY, source_device="m2"))
    assert surviving_hits(person(unbound=(stone,)), person(unbound=(stone, dirty_too)), INDEX) == {}


GAMES = Ban("Games", (Matcher(MatcherKind.ID_PREFIX, "com.games", Platform.ANDROID),), flag=Flag.REPORT_ONLY)
BOTH = compiled((replace(INDEX.bans[0], flag=Flag.ENFORCE), GAMES))


def game(number: int) -> App:
    return App(Platform.ANDROID, f"com.games.g{number}")


def left_by(phone: DeviceEvidence, index: BanIndex = INDEX) -> tuple[Tombstone, ...]:
    """The tombstones when all evidence of a phone leaves; another report changes nothing of them."""
    gone = replace(phone, sources=(), binding=BindingState.UNMATCHED)
    found = surviving_hits(person(phone), person(gone), index)["d"]
    after = person(replace(gone, tombstones=found))
    assert surviving_hits(after, after, index) == {}
    return found


def test_one_source_leaves_no_end_of_tombstones_and_pushes_out_its_own_only() -> None:
    """A source could claim and let go of a phone, each time with other versions of a banned app."""
    others = Tombstone(TIKTOK, "intune", 1.0)
    stones = tuple(
        Tombstone(replace(TIKTOK, version=str(number)), "mdm", float(number))
        for number in range(TOMBSTONES_OF_ONE_SOURCE)
    )
    assert set(left_by(replace(device("d", DIRTY), tombstones=(others, *stones)))) == {others, *stones[1:], STONE}


def test_of_one_app_the_last_sight_stays() -> None:
    """What answers that answers the earlier ones; one that could see more is not answered by the same."""
    earlier = tuple(Tombstone(TIKTOK, "mdm", at) for at in (1.0, 999.0))
    narrow = Tombstone(TIKTOK, "mdm", 2.0, Scope.WORK_PROFILE)
    assert left_by(replace(device("d", DIRTY), tombstones=(*earlier, narrow))) == (narrow, STONE)


def test_many_hits_of_one_ban_do_not_push_out_the_one_that_refuses_the_phone() -> None:
    """Whoever is cut could have a phone without a DeviceId come and go with games that are only reported."""
    games = tuple(Tombstone(game(number), "mdm", 2000.0 + number) for number in range(TOMBSTONES_OF_ONE_SOURCE + 50))
    crowd = replace(DIRTY, apps=(game(0),), generated_at=9000.0, full_at=9000.0)
    found = left_by(replace(device("d", crowd, state=BindingState.CONFLICT), tombstones=(STONE, *games)), BOTH)
    assert found[0] == STONE
    assert len(found) == TOMBSTONES_OF_ONE_SOURCE
    left = replace(device("d", state=BindingState.UNMATCHED), tombstones=found)
    assert {hit.ban.name for hit in open_hits(left, BOTH)} == {"TikTok", "Games"}


def test_more_bans_than_tombstones_all_stay() -> None:
    bans = tuple(
        Ban(f"g{number}", (Matcher(MatcherKind.ID, game(number).id, Platform.ANDROID),))
        for number in range(TOMBSTONES_OF_ONE_SOURCE + 20)
    )
    crowd = replace(DIRTY, apps=tuple(game(number) for number in range(len(bans))))
    assert len(left_by(device("d", crowd), compiled(bans))) == len(bans)
