"""Which mail device is which inventory device: the rules, their order, and conflicts both ways."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.binding import (
    InventoryFacts,
    PersonFacts,
    Pin,
    SeenDevice,
    assemble,
    claimed_logins,
    eas_ids,
)
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, Tombstone
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import DeviceKey, Inventory, Naming, Ownership, Platform, Scope
from tests.support.evidence_strategies import DAY, HOUR, LOGIN, MAIL, NOW, TIKTOK, thorough

ALIAS, BOB, EVE = "a.smith@corp.example", "bob@corp.example", "eve@corp.example"
BOUND, UNMATCHED, CONFLICT = BindingState.BOUND, BindingState.UNMATCHED, BindingState.CONFLICT


def reported(
    device: str = "m1",
    *,
    eas: Iterable[str] = (),
    logins: Iterable[str] = (LOGIN,),
    serial: str = "",
    source: str = "mdm",
    platform: Platform | None = Platform.IOS,
) -> InventoryFacts:
    keys = [DeviceKey("eas", each) for each in eas] + [DeviceKey("login", each) for each in logins]
    keys += [DeviceKey("serial", serial)] * bool(serial)
    inventory = Inventory(
        source_id=source,
        source_device=device,
        scope=Scope.DEVICE,
        naming=Naming.IDENTIFIER,
        generated_at=NOW - HOUR,
        received_at=NOW,
        sequence=1,
        apps=(MAIL,),
        full_at=NOW - HOUR,
        device_keys=tuple(keys),
        ownership=Ownership.COMPANY,
        compromised=True,
        compliant=False,
        suspicious=True,
        platform=platform,
    )
    return InventoryFacts(inventory, DAY)


def person(*inventories: InventoryFacts, seen: Iterable[str] = ("d1",), pins: Iterable[Pin] = ()) -> PersonRecord:
    devices = tuple(SeenDevice(each, NOW - DAY) for each in seen)
    return assemble(PersonFacts(LOGIN, True, (LOGIN, ALIAS), frozenset({"sales"}), devices, inventories, tuple(pins)))


def shown(device: DeviceEvidence) -> tuple[BindingState, list[str]]:
    return device.binding, [source.source_device for source in device.sources]


def unbound(record: PersonRecord) -> list[str]:
    return [source.source_device for device in record.unbound for source in device.sources]


# --- The rules


def test_the_id_and_the_user_together_bind() -> None:
    record = person(reported(eas=["d1"]))
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])
    assert unbound(record) == []


def test_an_alias_is_the_same_user() -> None:
    assert shown(person(reported(eas=["d1"], logins=[ALIAS])).devices["d1"]) == (BOUND, ["m1"])


def test_another_person_s_device_never_binds_by_a_typed_id() -> None:
    record = person(reported(eas=["d1"], logins=[BOB]))
    # Its hits count all the same.
    assert shown(record.devices["d1"]) == (UNMATCHED, ["m1"])


def test_an_id_that_is_nobody_s_binds_to_nobody() -> None:
    assert shown(person(reported(eas=["d1"], logins=[])).devices["d1"]) == (UNMATCHED, ["m1"])


def test_the_user_alone_binds_nothing() -> None:
    record = person(reported())
    assert shown(record.devices["d1"]) == (UNMATCHED, [])
    assert unbound(record) == ["m1"]


def test_a_device_that_never_asked_is_known_by_its_claim() -> None:
    record = person(reported(eas=["d1"]), seen=())
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])
    assert record.devices["d1"].first_seen_at is None
    assert list(person(reported(eas=["d1"], logins=[BOB]), seen=()).devices) == []


@pytest.mark.parametrize(
    ("serial", "device_id", "state"),
    [
        ("F9FD6K2XFK", "applf9fd6k2xfk", BOUND),
        ("F9FD6K2XFK1", "applf9fd6k2xfk1", BOUND),
        ("F9FD6K2XFK11", "applf9fd6k2xfk11", BOUND),
        ("F9FD6K2XF", "applf9fd6k2xf", UNMATCHED),
        ("F9FD6K2XFK112", "applf9fd6k2xfk112", UNMATCHED),
        ("F9FD6K2XFK11", "f9fd6k2xfk11", UNMATCHED),
        ("F9FD6K2XFK11", "applf9fd6k2xfk12", UNMATCHED),
    ],
)
def test_appl_and_the_serial_number_bind_where_it_is_a_serial(serial: str, device_id: str, state: BindingState) -> None:
    assert person(reported(serial=serial), seen=[device_id]).devices[device_id].binding is state


def test_the_serial_of_another_person_s_phone_does_not_bind() -> None:
    theirs = reported(serial="F9FD6K2XFK11", logins=[BOB])
    assert shown(person(theirs, seen=["applf9fd6k2xfk11"]).devices["applf9fd6k2xfk11"]) == (UNMATCHED, ["m1"])


def test_two_sources_that_agree_are_both_evidence() -> None:
    record = person(reported(eas=["d1"]), reported("j1", eas=["d1"], source="jamf", platform=Platform.MACOS))
    assert shown(record.devices["d1"]) == (BOUND, ["m1", "j1"])
    assert record.devices["d1"].platform is Platform.IOS


def test_aliases_of_one_person_are_no_conflict() -> None:
    record = person(reported(eas=["d1"]), reported("j1", eas=["d1"], logins=[ALIAS], source="jamf"))
    assert shown(record.devices["d1"]) == (BOUND, ["m1", "j1"])


# --- Conflicts


def test_two_devices_of_one_source_that_claim_an_id_conflict() -> None:
    record = person(reported("m1", eas=["d1"]), reported("m2", eas=["d1"]))
    assert shown(record.devices["d1"]) == (CONFLICT, ["m1", "m2"])
    assert unbound(record) == []


def test_the_second_claim_of_one_source_conflicts_whoever_it_names() -> None:
    record = person(reported("m1", eas=["d1"]), reported("m2", eas=["d1"], logins=[BOB]))
    assert shown(record.devices["d1"]) == (CONFLICT, ["m1", "m2"])


def test_two_sources_that_name_different_people_conflict() -> None:
    record = person(reported(eas=["d1"]), reported("j1", eas=["d1"], logins=[BOB], source="jamf"))
    assert shown(record.devices["d1"]) == (CONFLICT, ["m1", "j1"])


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_any_two_that_name_different_people_conflict(order: tuple[int, int, int]) -> None:
    claims = [
        reported(eas=["d1"], logins=[LOGIN, BOB]),
        reported("j1", eas=["d1"], source="jamf"),
        reported("a1", eas=["d1"], logins=[BOB], source="agent"),
    ]
    assert person(*(claims[place] for place in order)).devices["d1"].binding is CONFLICT


def test_a_quarrel_of_others_about_an_id_leaves_it_unmatched() -> None:
    """Whoever of them is right, it is not this person's: the setting for conflicts must not let it in."""
    record = person(reported(eas=["d1"], logins=[BOB]), reported("j1", eas=["d1"], logins=[EVE], source="jamf"))
    assert shown(record.devices["d1"]) == (UNMATCHED, ["m1", "j1"])


def test_one_inventory_device_for_two_ids_in_use_conflicts() -> None:
    record = person(reported(eas=["d1", "d2"]), seen=["d1", "d2"])
    assert {each: shown(record.devices[each]) for each in record.devices} == {
        "d1": (CONFLICT, ["m1"]),
        "d2": (CONFLICT, ["m1"]),
    }


def test_an_id_that_nobody_uses_is_no_second_device() -> None:
    record = person(reported(eas=["d1", "d2"]), seen=["d1"])
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])


def test_the_serial_and_another_id_in_use_are_two_devices() -> None:
    """Else any second phone that types the first one's serial number would go for the first one."""
    phone = reported(eas=["d1"], serial="F9FD6K2XFK11")
    record = person(phone, seen=["d1", "applf9fd6k2xfk11"])
    assert [shown(device) for device in record.devices.values()] == [(CONFLICT, ["m1"])] * 2


# --- Pins


def test_a_pin_binds_whatever_the_source_says() -> None:
    record = person(reported(eas=["x"], logins=[BOB]), pins=[Pin("d1", "mdm", "m1", bound=True)])
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])


def test_a_pinned_device_is_known_before_it_asks() -> None:
    record = person(reported(), seen=(), pins=[Pin("d1", "mdm", "m1", bound=True)])
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])


def test_a_pin_settles_a_conflict_within_its_source() -> None:
    record = person(reported("m1", eas=["d1"]), reported("m2", eas=["d1"]), pins=[Pin("d1", "mdm", "m2", bound=True)])
    assert shown(record.devices["d1"]) == (BOUND, ["m2"])
    assert unbound(record) == ["m1"]


def test_other_sources_go_on_by_the_ids_beside_a_pin() -> None:
    record = person(
        reported("m1"), reported("j1", eas=["d1"], source="jamf"), pins=[Pin("d1", "mdm", "m1", bound=True)]
    )
    assert shown(record.devices["d1"]) == (BOUND, ["m1", "j1"])


def test_a_pin_keeps_apart_what_the_ids_would_bind() -> None:
    record = person(reported(eas=["d1"]), pins=[Pin("d1", "mdm", "m1", bound=False)])
    assert shown(record.devices["d1"]) == (UNMATCHED, [])
    assert unbound(record) == ["m1"]


def test_keeping_one_claimant_apart_ends_the_conflict() -> None:
    apart = [Pin("d1", "mdm", "m2", bound=False)]
    record = person(reported("m1", eas=["d1"]), reported("m2", eas=["d1"]), pins=apart)
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])


def test_keeping_an_inventory_device_apart_from_one_id_frees_the_other() -> None:
    apart = [Pin("d2", "mdm", "m1", bound=False)]
    record = person(reported(eas=["d1", "d2"]), seen=["d1", "d2"], pins=apart)
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])
    assert shown(record.devices["d2"]) == (UNMATCHED, [])


def test_a_pinned_inventory_device_is_no_second_one_by_its_ids() -> None:
    record = person(reported(eas=["d2"]), seen=["d1", "d2"], pins=[Pin("d1", "mdm", "m1", bound=True)])
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])
    assert shown(record.devices["d2"]) == (CONFLICT, ["m1"])


def test_a_pin_of_one_id_says_nothing_of_another() -> None:
    record = person(reported(eas=["d1"]), seen=["d1", "d2"], pins=[Pin("d2", "mdm", "m1", bound=False)])
    assert shown(record.devices["d1"]) == (BOUND, ["m1"])


# --- What a record carries


def test_everything_the_decision_needs_is_in_the_record() -> None:
    record = person(reported(eas=["d1"]))
    device = record.devices["d1"]
    assert (record.person_id, record.known, record.logins) == (LOGIN, True, (LOGIN, ALIAS))
    assert record.groups == {"sales"}
    assert (device.first_seen_at, device.platform, device.ownership) == (NOW - DAY, Platform.IOS, Ownership.COMPANY)
    (source,) = device.sources
    assert (source.source_id, source.apps, source.max_age) == ("mdm", (MAIL,), DAY)
    assert (source.generated_at, source.full_at) == (NOW - HOUR, NOW - HOUR)
    assert (source.compromised, source.compliant, source.suspicious) == (True, False, True)


def test_a_login_that_stands_for_itself() -> None:
    record = assemble(PersonFacts("new@corp.example", False))
    assert (record.logins, record.known, dict(record.devices)) == (("new@corp.example",), False, {})


def test_tombstones_make_a_device_and_those_without_id_stand_among_the_unbound() -> None:
    stone = Tombstone(TIKTOK, "mdm", NOW)
    facts = PersonFacts(LOGIN, True, tombstones={"d7": (stone,), "": (stone,), "d8": ()})
    record = assemble(facts)
    assert record.devices["d7"] == DeviceEvidence("d7", UNMATCHED, (), (stone,))
    assert record.unbound == (DeviceEvidence("", UNMATCHED, (), (stone,)),)


def test_ids_of_an_inventory_are_canonical_and_what_is_none_is_left_out() -> None:
    keys = (("eas_device_id", "ABC1"), ("eas", "d1"), ("eas_device_id", "no id!"), ("serial", "S"))
    facts = reported()
    inventory = Inventory(
        *("mdm", "m1", Scope.DEVICE, Naming.IDENTIFIER, NOW, NOW, 1, ()),
        device_keys=tuple(DeviceKey(*key) for key in keys),
    )
    assert eas_ids(inventory) == ("abc1", "d1")
    assert eas_ids(facts.inventory) == ()


def test_logins_of_an_inventory_are_canonical_and_what_is_none_is_left_out() -> None:
    keys = (("user", "CORP\\Ann"), ("upn", "ann@corp.example"), ("email", "a@b@c"), ("login", BOB), ("serial", "S"))
    inventory = Inventory(
        *("mdm", "m1", Scope.DEVICE, Naming.IDENTIFIER, NOW, NOW, 1, ()),
        device_keys=tuple(DeviceKey(*key) for key in keys),
    )
    assert claimed_logins(inventory, identity_rules("", {"CORP": "corp.example"})) == (LOGIN, BOB)


# --- Unique both ways

ids = st.sampled_from(["d1", "d2", "applf9fd6k2xfk11"])
claims = st.builds(
    reported,
    st.sampled_from(["m1", "m2"]),
    eas=st.lists(ids, max_size=2, unique=True),
    logins=st.lists(st.sampled_from([LOGIN, ALIAS, BOB]), max_size=2, unique=True),
    serial=st.sampled_from(["", "f9fd6k2xfk11"]),
    source=st.sampled_from(["mdm", "jamf"]),
)
inventories = st.lists(
    claims, max_size=4, unique_by=lambda facts: (facts.inventory.source_id, facts.inventory.source_device)
)
pins = st.builds(Pin, ids, st.sampled_from(["mdm", "jamf"]), st.sampled_from(["m1", "m2"]), st.booleans())


@thorough
@given(inventories, st.lists(ids, unique=True))
def test_what_is_bound_is_bound_once_both_ways(listed: list[InventoryFacts], seen: list[str]) -> None:
    record = person(*listed, seen=seen)
    used: Counter[tuple[str, str]] = Counter()
    for device in record.devices.values():
        if device.binding is BOUND:
            sources = [source.source_id for source in device.sources]
            assert len(set(sources)) == len(sources) > 0
            if device.device_id in seen:
                used.update((source.source_id, source.source_device) for source in device.sources)
    assert all(times == 1 for times in used.values())


@thorough
@given(inventories, st.lists(ids, unique=True), st.lists(pins, max_size=2))
def test_nothing_binds_without_the_user_or_a_pin(
    listed: list[InventoryFacts], seen: list[str], made: list[Pin]
) -> None:
    record = person(*listed, seen=seen, pins=made)
    mine = {
        (each.inventory.source_id, each.inventory.source_device)
        for each in listed
        if {LOGIN, ALIAS} & {key.value for key in each.inventory.device_keys if key.type == "login"}
    }
    for device in record.devices.values():
        pinned = {(pin.source_id, pin.source_device) for pin in made if pin.device_id == device.device_id and pin.bound}
        if device.binding is BOUND:
            assert {(source.source_id, source.source_device) for source in device.sources} <= mine | pinned


@thorough
@given(inventories, st.lists(ids, unique=True), st.lists(pins, max_size=2))
def test_no_inventory_device_of_the_person_is_lost(
    listed: list[InventoryFacts], seen: list[str], made: list[Pin]
) -> None:
    record = person(*listed, seen=seen, pins=made)
    devices = (*record.devices.values(), *record.unbound)
    found = {(source.source_id, source.source_device) for device in devices for source in device.sources}
    for each in listed:
        if {LOGIN, ALIAS} & {key.value for key in each.inventory.device_keys if key.type == "login"}:
            assert (each.inventory.source_id, each.inventory.source_device) in found


@thorough
@given(st.data(), inventories, st.lists(ids, unique=True), st.lists(pins, max_size=2))
def test_the_order_of_inventories_does_not_matter(
    data: st.DataObject, listed: list[InventoryFacts], seen: list[str], made: list[Pin]
) -> None:
    assume(len(listed) > 1)
    one, other = (
        person(*listed, seen=seen, pins=made),
        person(*data.draw(st.permutations(listed)), seen=seen, pins=made),
    )

    def states(record: PersonRecord) -> dict[str, tuple[BindingState, set[str]]]:
        return {
            each.device_id: (each.binding, {source.source_id + source.source_device for source in each.sources})
            for each in record.devices.values()
        }

    assert states(one) == states(other)
    assert sorted(unbound(one)) == sorted(unbound(other))
