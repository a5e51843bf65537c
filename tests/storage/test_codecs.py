"""Whatever is encoded reads back as the same value; damaged and newer bytes are refused, never half read."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.credential import DeviceCredential
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, AppOrigin, DeviceKey, Inventory, Naming, Ownership, Platform, Scope
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    Unknowns,
    UnknownSetting,
    first_policy,
)
from gateway.storage.inventories import (
    decode_apps,
    decode_inventory,
    decode_tombstones,
    encode_apps,
    encode_inventory,
    encode_tombstones,
)
from gateway.storage.policies import decode_policy, encode_policy
from gateway.storage.records import decode_record, encode_record
from gateway.storage.rows import Unreadable
from tests.support.stored_values import app, inventory

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MOMENTS = st.floats(min_value=0, max_value=4e9) | st.integers(0, 2**33).map(float)
MAYBE = st.none() | st.booleans()

APPS = st.builds(
    App,
    platform=st.sampled_from(Platform),
    id=TEXT,
    name=TEXT,
    version=TEXT,
    version_code=st.none() | st.integers(0, 2**40),
    publisher=TEXT,
    team_id=TEXT,
    signers=st.lists(TEXT, max_size=2).map(tuple),
    installer=TEXT,
    origin=st.sampled_from(AppOrigin),
    system=st.booleans(),
)
APP_LISTS = st.lists(APPS, max_size=5).map(tuple)
INVENTORIES = st.builds(
    Inventory,
    source_id=TEXT,
    source_device=TEXT,
    scope=st.sampled_from(Scope),
    naming=st.sampled_from(Naming),
    generated_at=MOMENTS,
    received_at=MOMENTS,
    sequence=st.integers(0, 2**60),
    apps=APP_LISTS,
    full_at=st.none() | MOMENTS,
    boot_id=TEXT,
    device_keys=st.lists(st.builds(DeviceKey, TEXT, TEXT), max_size=3).map(tuple),
    ownership=st.sampled_from(Ownership),
    compromised=MAYBE,
    compliant=MAYBE,
    os_version=TEXT,
    platform=st.none() | st.sampled_from(Platform),
    suspicious=st.booleans(),
    suspicious_at=st.none() | MOMENTS,
)
TOMBSTONES = st.lists(st.builds(Tombstone, APPS, TEXT, MOMENTS, st.sampled_from(Scope)), max_size=3).map(tuple)
SOURCES = st.builds(
    SourceEvidence,
    source_id=TEXT,
    source_device=TEXT,
    scope=st.sampled_from(Scope),
    naming=st.sampled_from(Naming),
    generated_at=MOMENTS,
    max_age=MOMENTS,
    apps=APP_LISTS,
    full_at=st.none() | MOMENTS,
    compromised=MAYBE,
    compliant=MAYBE,
    suspicious=st.booleans(),
    keys=st.lists(st.sampled_from(["serial:f9fxj0", "mdm_id:7"]), max_size=2, unique=True).map(tuple),
)
DEVICES = st.builds(
    DeviceEvidence,
    device_id=TEXT,
    binding=st.sampled_from(BindingState),
    sources=st.lists(SOURCES, max_size=2).map(tuple),
    tombstones=TOMBSTONES,
    first_seen_at=st.none() | MOMENTS,
    platform=st.none() | st.sampled_from(Platform),
    ownership=st.sampled_from(Ownership),
)
RECORDS = st.builds(
    PersonRecord,
    person_id=TEXT,
    known=st.booleans(),
    logins=st.lists(TEXT, max_size=3).map(tuple),
    groups=st.frozensets(TEXT, max_size=3),
    devices=st.lists(DEVICES, max_size=2, unique_by=lambda each: each.device_id).map(
        lambda found: {each.device_id: each for each in found}
    ),
    unbound=st.lists(DEVICES, max_size=1).map(tuple),
    sequence=st.integers(0, 2**53),
    credentials=st.lists(st.builds(DeviceCredential, TEXT, TEXT, TEXT), max_size=2).map(tuple),
)
PROTOCOLS = st.none() | st.sampled_from(Protocol)
PLATFORMS = st.none() | st.sampled_from(Platform)
MATCHERS = st.lists(
    st.builds(Matcher, st.sampled_from(MatcherKind), TEXT, PLATFORMS, TEXT, TEXT), min_size=1, max_size=2
).map(tuple)
RULES = st.builds(FlagRule, st.sampled_from(Flag), PROTOCOLS, TEXT, st.none() | st.floats(0, 100))
BANS = st.builds(
    Ban,
    name=TEXT,
    matchers=MATCHERS,
    exceptions=MATCHERS,
    flag=st.sampled_from(Flag),
    rules=st.lists(RULES, max_size=2).map(tuple),
    groups=st.frozensets(TEXT, max_size=3),
    starts_at=st.none() | MOMENTS,
    ends_at=st.none() | MOMENTS,
    seed=st.integers(0, 2**63),
    text=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=2),
)
UNKNOWN_SETTINGS = st.builds(
    UnknownSetting,
    st.sampled_from(Setting),
    st.lists(st.builds(SettingRule, st.sampled_from(Setting), PROTOCOLS, PLATFORMS), max_size=2).map(tuple),
)
POLICIES = st.builds(
    PolicyVersion,
    number=st.integers(1, 2**31),
    created_at=MOMENTS,
    author=TEXT,
    summary=TEXT,
    enforcement_on=st.booleans(),
    bans=st.lists(BANS, max_size=2).map(tuple),
    exemptions=st.lists(st.builds(Exemption, TEXT, TEXT, TEXT, MOMENTS, MOMENTS, TEXT, TEXT, TEXT), max_size=2).map(
        tuple
    ),
    unknowns=st.builds(Unknowns, *[UNKNOWN_SETTINGS] * 7),
    grace=st.builds(NewDeviceGrace, MOMENTS, st.integers(0, 99)),
    outlook_mobile=st.sampled_from(OutlookMobile),
    unavailable=st.sampled_from(Unavailable),
)


@given(RECORDS)
@settings(max_examples=60)
def test_records_round_trip(record: PersonRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_record_without_credentials_is_as_the_version_before_wrote_it() -> None:
    content = encode_record(PersonRecord("ann", True, ("ann",)))
    assert len(msgspec.msgpack.decode(content)) == 8
    assert decode_record(content).credentials == ()


@given(INVENTORIES)
@settings(max_examples=60)
def test_inventories_round_trip(value: Inventory) -> None:
    assert decode_inventory(encode_inventory(value)) == value


@given(APP_LISTS)
def test_apps_round_trip(apps: tuple[App, ...]) -> None:
    assert decode_apps(encode_apps(apps)) == apps


@given(TOMBSTONES)
def test_tombstones_round_trip(stones: tuple[Tombstone, ...]) -> None:
    assert decode_tombstones(encode_tombstones(stones)) == stones


@given(POLICIES)
@settings(max_examples=60)
def test_policies_round_trip(version: PolicyVersion) -> None:
    assert decode_policy(encode_policy(version)) == version


def test_equal_apps_become_one_object() -> None:
    first = decode_inventory(encode_inventory(inventory("d1")))
    other = decode_inventory(encode_inventory(inventory("d2")))
    assert all(one is same for one, same in zip(first.apps, other.apps, strict=True))


@given(RECORDS, st.data())
@settings(max_examples=60)
def test_damaged_records_are_refused_or_still_well_formed(record: PersonRecord, data: st.DataObject) -> None:
    content = bytearray(encode_record(record))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with suppress(Unreadable):
        assert isinstance(decode_record(bytes(content)), PersonRecord)


@pytest.mark.parametrize("content", [b"", b"\x90", b"\x93\x01\xa1x\xc3", b"\xc1", msgspec.msgpack.encode([2] * 8)])
def test_other_bytes_are_refused(content: bytes) -> None:
    for decode in (decode_record, decode_inventory):
        with pytest.raises(Unreadable):
            decode(content)


def test_a_record_of_the_next_version_with_more_fields_is_read() -> None:
    content = msgspec.msgpack.decode(encode_inventory(inventory()))
    assert decode_inventory(msgspec.msgpack.encode([*content, "a later field"])) == inventory()


def test_a_record_of_another_format_is_refused() -> None:
    content = msgspec.msgpack.decode(encode_record(PersonRecord("ann", True)))
    with pytest.raises(Unreadable, match="format 2"):
        decode_record(msgspec.msgpack.encode([2, *content[1:]]))


def _policy_document(**changed: Any) -> str:
    document = json.loads(encode_policy(first_policy(1.0)))
    document["policy"].update(changed)
    return json.dumps(document)


@pytest.mark.parametrize(
    "changed",
    [
        {"new_field": 1},
        {"number": "1"},
        {"bans": [{"name": "x", "matchers": [], "louder": True}]},
        {"bans": [{"name": "x", "matchers": [{"kind": "smell", "value": "x"}]}]},
        {"unavailable": "perhaps"},
        {"created_at": None},
    ],
)
def test_a_policy_that_is_not_understood_in_full_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        decode_policy(_policy_document(**changed))


def test_a_policy_written_before_a_field_was_added_is_read() -> None:
    document = json.loads(encode_policy(first_policy(1.0)))
    del document["policy"]["grace"]
    assert decode_policy(json.dumps(document)) == first_policy(1.0)


def test_a_policy_that_would_not_read_back_is_not_stored() -> None:
    with pytest.raises(ValueError, match="policy version 1"):
        encode_policy(first_policy(float("nan")))


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_apps((App(Platform.IOS, "\ud800"),))


def test_an_app_takes_few_bytes() -> None:
    assert len(encode_apps((App(Platform.IOS, "com.example.mail"),))) < 30
    assert len(encode_apps((app(),))) < 140
