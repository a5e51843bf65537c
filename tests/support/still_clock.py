"""A clock in the place of a module's ``time``, that stands still until a test moves it."""

from types import ModuleType

import pytest


class StillClock:
    """Has ``monotonic``, and nothing else of ``time``."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        """Now."""
        return self.at


def in_place_of_time(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> StillClock:
    """The clock by which a module goes from now on."""
    clock = StillClock()
    monkeypatch.setattr(module, "time", clock)
    return clock
