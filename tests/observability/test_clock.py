"""A wall clock that is set does not age what is judged by its age."""

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from gateway.observability.clock import HOLD_SECONDS, JUMP_SECONDS, SteadyClock

DAY = 86_400.0


@dataclass(slots=True)
class Clocks:
    """Both clocks of a machine."""

    wall: float = 1_700_000_000.0
    monotonic: float = 50.0

    def steady(self) -> SteadyClock:
        """A clock that looks at them."""
        return SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def pass_time(self, seconds: float) -> None:
        """As it does."""
        self.wall += seconds
        self.monotonic += seconds


def test_it_goes_with_the_wall_clock() -> None:
    clocks = Clocks()
    clock = clocks.steady()
    clocks.pass_time(3600)
    clock.look()
    assert clock.now() == clocks.wall
    clocks.wall += JUMP_SECONDS - 1
    clock.look()
    assert clock.now() == pytest.approx(clocks.wall)
    assert clock.jumped_by == 0


@pytest.mark.parametrize("jump", [DAY, -DAY, JUMP_SECONDS + 1, -JUMP_SECONDS - 1])
def test_a_jump_is_told_and_not_followed(jump: float) -> None:
    clocks = Clocks()
    clock = clocks.steady()
    clocks.wall += jump
    # Not even before it is noticed.
    assert clock.now() == pytest.approx(clocks.wall - jump)
    with capture_logs() as log:
        for _ in range(3):
            clock.look()
            clocks.pass_time(10)
    assert clock.now() == pytest.approx(clocks.wall - jump)
    assert clock.jumped_by == pytest.approx(jump)
    assert [entry["event"] for entry in log] == ["clock_jumped"]


def test_a_clock_that_is_set_right_again_is_followed_again() -> None:
    clocks = Clocks()
    clock = clocks.steady()
    clocks.wall += DAY
    clock.look()
    clocks.pass_time(60)
    clocks.wall -= DAY
    with capture_logs() as log:
        clock.look()
    assert clock.jumped_by == 0
    assert clock.now() == pytest.approx(clocks.wall)
    assert [entry["event"] for entry in log] == ["clock_back"]


def test_a_time_that_stays_is_believed_in_the_end() -> None:
    clocks = Clocks()
    clock = clocks.steady()
    clocks.wall += DAY
    clock.look()
    clocks.pass_time(HOLD_SECONDS - 1)
    clock.look()
    assert clock.now() == pytest.approx(clocks.wall - DAY)
    clocks.pass_time(1)
    clock.look()
    assert clock.now() == pytest.approx(clocks.wall)
    assert clock.jumped_by == 0


def test_a_clock_that_jumps_about_is_not_believed() -> None:
    clocks = Clocks()
    clock = clocks.steady()
    for _ in range(4):
        clocks.wall += DAY
        clock.look()
        clocks.pass_time(HOLD_SECONDS - 1)
        clock.look()
    assert clock.now() == pytest.approx(clocks.wall - 4 * DAY)
