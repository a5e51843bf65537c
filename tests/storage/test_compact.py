"""A compact record is equal to the record it was made from, in less memory."""

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, holds_any
from gateway.domain.inventory import Naming, Scope
from gateway.storage import compact as compact_module
from gateway.storage.compact import AppTable, PackedDevices, compact
from gateway.storage.records import decode_record, encode_record
from tests.storage.test_codecs import RECORDS
from tests.support.stored_values import app


def record(*numbers: int) -> PersonRecord:
    apps = tuple(app(number) for number in numbers)
    source = SourceEvidence("mdm", "d", Scope.DEVICE, Naming.IDENTIFIER, 1.5, 86400.0, apps, 1.5)
    return PersonRecord("ann", True, ("ann",), frozenset(), {"x": DeviceEvidence("x", BindingState.BOUND, (source,))})


@given(RECORDS)
@settings(max_examples=60)
def test_a_compact_record_is_equal(given_record: PersonRecord) -> None:
    small = compact(given_record)
    assert small == given_record
    assert given_record == small
    assert compact(small) == given_record
    assert encode_record(small) == encode_record(given_record)
    assert list(small.devices) == list(given_record.devices)
    assert dict(small.devices) == dict(given_record.devices)
    assert list(small.devices.values()) == list(given_record.devices.values())
    assert len(small.devices) == len(given_record.devices)
    # Not of the whole record: equal sets may be shown in any order.
    assert repr(small.devices) == repr(dict(given_record.devices))


def test_devices_are_looked_up_by_their_id() -> None:
    small = compact(record(1, 2))
    assert small.devices["x"] == record(1, 2).devices["x"]
    assert small.devices.get("y") is None
    assert "x" in small.devices
    with pytest.raises(KeyError):
        small.devices["y"]


def test_apps_are_the_same_objects_at_every_look() -> None:
    small, other = compact(decode_record(encode_record(record(1, 2)))), compact(record(2))
    (first,) = small.devices["x"].sources
    (second,) = other.devices["x"].sources
    assert first.apps[1] is second.apps[0]


def test_a_full_table_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_module, "NUMBERS", 3)
    monkeypatch.setattr(compact_module, "_tables", compact_module._Tables())
    records = [record(number, number + 1, number + 2) for number in range(20)]
    small = [compact(each) for each in records]
    assert small == records
    tables = {id(each.devices._table) for each in small if isinstance(each.devices, PackedDevices)}
    assert len(tables) > 5


def test_sixty_apps_take_few_bytes() -> None:
    table = AppTable()
    devices = record(*range(60)).devices
    PackedDevices({"y": replace(devices["x"], device_id="y")}, table)
    assert sys.getsizeof(PackedDevices(devices, table)._content) < 300


@given(RECORDS, st.data())
@settings(max_examples=60)
def test_apps_are_found_without_making_objects_of_them(given_record: PersonRecord, data: st.DataObject) -> None:
    devices = (*given_record.devices.values(), *given_record.unbound)
    there = {each.id for device in devices for source in device.sources for each in source.apps}
    there |= {stone.app.id for device in devices for stone in device.tombstones}
    small = compact(given_record)
    for _ in range(3):
        ids = frozenset(data.draw(st.sets(st.sampled_from(sorted({*there, "com.example.none"})))))
        assert holds_any(small, ids) == holds_any(given_record, ids) == bool(ids & there)


def test_an_app_that_came_after_the_question_is_found_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_module._tables, "_current", AppTable())
    ids = frozenset({app(7).id})
    assert not holds_any(compact(record(1, 2)), ids)
    assert holds_any(compact(record(1, 7)), ids)
    assert not holds_any(compact(record(2)), ids)
    assert not holds_any(compact(record(1, 7)), frozenset({app(2).id}))
