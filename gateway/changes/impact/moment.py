"""The gaps in the evidence of a fleet at one moment: who is not provably clean, and for which causes.

Mirrors ``posture.sufficiency``. Each set is made when somebody asks for it first; a policy under which a gap does not
matter costs nothing.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import bitmap_of_mask, bitmap_of_sorted, numbers_of
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import Fleet
from gateway.domain.policy import GRACE_WINDOW_SECONDS
from gateway.domain.verdict import Cause


class Moment:
    """A fleet at a time (epoch seconds); ``aged_to``: lists are as old as at that time, where it is another one."""

    def __init__(self, fleet: Fleet, now: float, aged_to: float | None = None) -> None:
        self.fleet = fleet
        self.now = now
        self._aged_to = now if aged_to is None else aged_to

    @cached_property
    def insufficient(self) -> BitMap:
        """The devices that nobody can call clean."""
        return bitmap_of_mask(self._aged_to >= self.fleet.devices.sufficient_until)

    @cached_property
    def stale(self) -> BitMap:
        """Those of them of which some evidence is too old."""
        numbers = numbers_of(self.insufficient)
        return bitmap_of_sorted(numbers[self._aged_to >= self.fleet.devices.stale_from[numbers]])

    def short_for(self, cause: Cause) -> BitMap:
        """The devices that a cause keeps from being judged."""
        fleet = self.fleet
        match cause:
            case Cause.UNMATCHED:
                return fleet.marked(Mark.UNMATCHED)
            case Cause.CONFLICT:
                return fleet.marked(Mark.CONFLICT)
            case Cause.MISSING:
                return fleet.marked(Mark.MISSING) & self.insufficient
            case Cause.SCOPE:
                return fleet.marked(Mark.SCOPE) & self.insufficient
            case Cause.STALE:
                return self.stale

    @cached_property
    def seen_lately(self) -> NDArray[np.intp]:
        """How many devices of each person were first seen in the 30 days up to now."""
        first = self.fleet.devices.first_seen_at
        lately = (first <= self.now) & (self.now < first + GRACE_WINDOW_SECONDS)
        owners = self.fleet.devices.person[lately]
        return np.bincount(owners[owners >= 0], minlength=self.fleet.people_count)
