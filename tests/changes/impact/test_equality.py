"""The index says what ``decide`` says: every device, every protocol, every person; now, later, and after changes.

Random fleets by the hundred; ``python -m tests.support.impact_equality`` does it by the hundred thousand.
"""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import GRACE_WINDOW_SECONDS, NewDeviceGrace, PolicyVersion, policy_of
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import NOW, thorough, unmatched
from tests.support.impact_equality import compare, compare_impact, round_of, written
from tests.support.random_fleets import Drawn

SEEDS = 120
"""Some 40,000 decisions."""


@pytest.mark.parametrize("tenth", range(10))
def test_random_fleets_under_random_policies(tenth: int) -> None:
    found: Counter[str] = Counter()
    for seed in range(tenth * SEEDS // 10, (tenth + 1) * SEEDS // 10):
        round_of(seed, found)
    assert found["denials"] > 100
    assert found["devices"] - found["denials"] > 100


@st.composite
def fleets(draw: st.DrawFn) -> list[Drawn]:
    """The first of the people is the one that the drawn exemptions name."""
    records = draw(st.lists(drawn.records(), min_size=1, max_size=3))
    others = [_other(record, number) for number, record in enumerate(records[1:])]
    kinds = st.sampled_from(["", "iPhone", "Outlook"])
    return [Drawn(each, {device: draw(kinds) for device in each.devices}) for each in (records[0], *others)]


def _other(record: PersonRecord, number: int) -> PersonRecord:
    login = f"other{number}@corp.example"
    return replace(record, person_id=login, logins=(login,))


@thorough
@given(fleets(), drawn.policies(), drawn.policies())
def test_any_fleet_under_any_policy(people: list[Drawn], one: PolicyVersion, other: PolicyVersion) -> None:
    fleet, found = written(people).view(), Counter[str]()
    before, after = policy_of(one), policy_of(other)
    compare(fleet, people, before, NOW, found)
    compare(fleet, people, after, NOW, found)
    compare_impact(fleet, people, before, after, found)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("asked", [True, False], ids=["asked before", "never asked"])
def test_the_days_in_which_new_devices_are_counted(seconds: float, asked: bool) -> None:
    """One other device, first seen thirty days before this one; a person has a grace for one."""
    first = NOW - GRACE_WINDOW_SECONDS + seconds
    devices = {
        "d1": unmatched("d1", first_seen_at=NOW if asked else None),
        "d2": unmatched("d2", first_seen_at=first),
    }
    record = PersonRecord("ann@corp.example", True, ("ann@corp.example",), frozenset(), devices)
    version = PolicyVersion(
        1, NOW, "root", unknowns=drawn.denying("unmatched"), grace=NewDeviceGrace(40 * drawn.DAY, 1)
    )
    found = Counter[str]()
    compare(written([Drawn(record, {})]).view(), [Drawn(record, {})], policy_of(version), NOW, found)
    # Only ActiveSync notes a device that never asked before.
    assert found["denials"] == (5 if seconds > 0 else 0 if asked else 4)
