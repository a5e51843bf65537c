"""The fleet brake as a value: what is too many, and what holding and letting go leave."""

from dataclasses import replace

import pytest

from gateway.domain.ageing import Ageing
from gateway.domain.brake import NO_BRAKE, Brake, Hold, Limits, Release, Trouble
from gateway.domain.verdict import FOREVER

NOW = 1_000_000.0
STALE = Hold("agents", Trouble.STALE, NOW - 60, 500)
HITS = Hold("intune", Trouble.HITS, NOW, 40, "TikTok")


@pytest.mark.parametrize(
    ("devices", "fleet", "too_many"),
    [
        (20, 1_000, True),
        (20, 2_000, False),
        (21, 2_000, True),
        (19, 50, False),
        (20, 50, True),
        (10_000, 1_000_000, False),
        (10_001, 1_000_000, True),
    ],
)
def test_more_than_a_share_and_at_least_so_many(devices: int, fleet: int, too_many: bool) -> None:
    assert Limits(1.0, 20).exceeded(devices, fleet) is too_many


def test_only_stale_holds_stop_ageing() -> None:
    assert NO_BRAKE.ageing == Ageing()
    assert Brake(NOW, (STALE, HITS)).ageing == Ageing(NOW, {"agents": NOW - 60})
    assert Brake(None, (HITS,)).ageing == Ageing(FOREVER, {})


def test_a_hold_takes_the_place_of_its_like() -> None:
    more = replace(STALE, devices=700)
    assert Brake(NOW, (STALE, HITS)).with_holds([more]).holds == (more, HITS)
    assert Brake(NOW, (STALE, HITS)).without([STALE.name]).holds == (HITS,)


def test_what_is_let_go_is_remembered_until_its_end() -> None:
    released = Brake(NOW, (STALE, HITS)).released(Release("agents", Trouble.STALE, "ann", NOW + 60), NOW)
    assert released.holds == (HITS,)
    assert released.is_released(STALE.name, NOW + 59)
    assert not released.is_released(STALE.name, NOW + 60)
    assert not released.is_released(HITS.name, NOW)
    later = released.released(Release("intune", Trouble.HITS, "ann", NOW + 200, "TikTok"), NOW + 100)
    assert [each.source_id for each in later.releases] == ["intune"]
