"""Steps backwards: each state of an inventory device comes back as it was, the order of its apps included."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Ownership, Platform, Scope
from gateway.domain.past import GONE, Step, Undo, state_before, undo_of, undone

APPS = tuple(App(Platform.ANDROID, f"com.example.app{number}", version="1") for number in range(6))
KEYS = (DeviceKey("serial", "S1"), DeviceKey("user", "ann"), DeviceKey("login", "ann@corp.example"))
FIRST = Inventory("mdm", "d1", Scope.DEVICE, Naming.IDENTIFIER, 1.0, 2.0, 1, APPS[:3], full_at=1.0, device_keys=KEYS)

states = st.builds(
    Inventory,
    source_id=st.just("mdm"),
    source_device=st.just("d1"),
    scope=st.sampled_from(Scope),
    naming=st.sampled_from(Naming),
    generated_at=st.floats(0, 1e9),
    received_at=st.floats(0, 1e9),
    sequence=st.integers(0, 9),
    apps=st.lists(st.sampled_from(APPS), unique=True).map(tuple),
    full_at=st.one_of(st.none(), st.floats(0, 1e9)),
    boot_id=st.sampled_from(["", "b1"]),
    device_keys=st.lists(st.sampled_from(KEYS), unique=True).map(tuple),
    ownership=st.sampled_from(Ownership),
    compromised=st.sampled_from([None, True, False]),
    compliant=st.sampled_from([None, True, False]),
    os_version=st.sampled_from(["", "15"]),
    platform=st.sampled_from([None, Platform.ANDROID]),
    suspicious=st.booleans(),
    suspicious_at=st.one_of(st.none(), st.floats(0, 1e9)),
)


@given(st.lists(st.one_of(st.none(), states), min_size=1, max_size=6))
def test_every_state_comes_back(history: list[Inventory | None]) -> None:
    """Whatever followed it, a device that was forgotten and came again included."""
    steps = [
        Step(float(place), undo_of(before, after) if before is not None else None)
        for place, (before, after) in enumerate(pairwise(history), start=1)
    ]
    for place, state in enumerate(history):
        later = [step for step in reversed(steps) if step.at > place]
        assert state_before(history[-1], later, "mdm", "d1") == state


def test_a_report_that_changes_nothing_is_a_few_numbers() -> None:
    after = replace(FIRST, generated_at=5.0, received_at=6.0, sequence=2, full_at=5.0)
    undo = undo_of(FIRST, after)
    assert undo == Undo({"generated_at": 1.0, "received_at": 2.0, "sequence": 1, "full_at": 1.0})


def test_only_the_apps_that_went_are_kept_whole() -> None:
    after = replace(FIRST, apps=(APPS[2], APPS[5], APPS[0]))
    undo = undo_of(FIRST, after)
    assert (undo.removed, undo.places) == ((APPS[1],), (2, GONE, 0))
    assert undone(after, undo) == FIRST


@pytest.mark.parametrize("undo", [Undo({}, (), (7,)), Undo({}, (), (GONE,))])
def test_a_step_that_belongs_to_another_state_is_told(undo: Undo) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        undone(FIRST, undo)
