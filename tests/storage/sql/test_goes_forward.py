"""What is written to a server, and when: by its name, by what this process has committed, and by what others told."""

import pytest

from gateway.storage.sql import goes_forward
from gateway.storage.sql.goes_forward import HELD_SECONDS, NOT_KNOWN, WENT_BACK, GoesForward
from tests.support.still_clock import StillClock, in_place_of_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StillClock:
    return in_place_of_time(goes_forward, monkeypatch)


class Held:
    """One that has written up to 5 on the server "one", and a cache."""

    def __init__(self) -> None:
        self.told: int | None = None
        self.asked = 0
        self.forward = GoesForward()
        self.forward.told = self._newest_told
        self.heard: list[tuple[int, int]] = []
        self.forward.went_back = lambda *numbers: self.heard.append(numbers)

    async def begun(self) -> "Held":
        """It has."""
        assert not await self.forward.objection(0, "one")
        self.forward.reached, self.asked = 5, 0
        return self

    async def _newest_told(self) -> int | None:
        self.asked += 1
        return self.told


@pytest.fixture
async def held(clock: StillClock) -> Held:
    return await Held().begun()


async def test_the_same_server_is_asked_about_once_and_not_waited_for(held: Held) -> None:
    for _ in range(3):
        assert not await held.forward.objection(5, "one")
        assert not await held.forward.objection(5, "")
    assert held.asked == 3


async def test_another_server_is_waited_for(held: Held, clock: StillClock) -> None:
    assert await held.forward.objection(5, "two") == NOT_KNOWN
    held.told = 5
    assert not await held.forward.objection(5, "")
    held.told = None
    # It was found to have all.
    assert not await held.forward.objection(5, "two")
    assert await held.forward.objection(5, "one") == NOT_KNOWN


async def test_a_server_whose_connections_break_is_waited_for_no_longer(held: Held, clock: StillClock) -> None:
    for _ in range(4):
        assert await held.forward.objection(5, "two") == NOT_KNOWN
        clock.at += HELD_SECONDS / 4
    assert not await held.forward.objection(5, "two")


async def test_what_was_told_once_counts_on_each_server(held: Held, clock: StillClock) -> None:
    held.told = 7
    assert await held.forward.objection(5, "two") == WENT_BACK
    held.told = None
    assert await held.forward.objection(6, "two") == WENT_BACK
    clock.at += HELD_SECONDS
    assert await held.forward.objection(6, "three") == NOT_KNOWN
    clock.at += HELD_SECONDS
    assert await held.forward.objection(6, "") == WENT_BACK
    assert not await held.forward.objection(7, "")
    assert held.heard == [(7, 5), (7, 6), (7, 6)]


async def test_what_this_process_has_committed_counts_by_itself(held: Held) -> None:
    assert await held.forward.objection(4, "one") == WENT_BACK
    assert await held.forward.objection(4, "") == WENT_BACK
    assert held.heard == [(5, 4)] * 2
