"""The gaps in the evidence of a fleet at one moment: who is not provably clean, and for which causes.

Mirrors ``posture.sufficiency``. Each set is made when somebody asks for it first; a policy under which a gap does not
matter costs nothing.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Floats, Mask, bitmap_of_mask, bitmap_of_sorted, numbers_of
from gateway.changes.impact.by_source import NO_DEVICE
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import Fleet
from gateway.domain.ageing import Ageing
from gateway.domain.policy import GRACE_WINDOW_SECONDS
from gateway.domain.verdict import Cause


class Moment:
    """A fleet at a time (epoch seconds).

    ``aged_to``: lists are as old as at that time, where it is another one; ``held``: those of some sources as at times
    of their own, if these are earlier.
    """

    def __init__(
        self, fleet: Fleet, now: float, aged_to: float | None = None, held: Mapping[str, float] | None = None
    ) -> None:
        self.fleet = fleet
        self.now = now
        self._aged_to = now if aged_to is None else aged_to
        held = {source: at for source, at in (held or {}).items() if at < self._aged_to}
        self._held = {source: at for source, at in held.items() if fleet.sources.get(source)}

    @classmethod
    def under(cls, fleet: Fleet, now: float, ageing: Ageing) -> "Moment":
        """With lists as old as ``decide`` takes them to be at ``now``."""
        held = {source: ageing.moment(source, now) for source in ageing.held}
        return cls(fleet, now, min(now, ageing.until), held)

    @property
    def by_age(self) -> "Moment":
        """With every list as old as it is: a device that is held has mail, and nobody can call it clean."""
        # Where this one is it, it must not keep itself: all its sets would wait for somebody to collect garbage.
        return self if not self._held and self._aged_to == self.now else self._by_age

    @cached_property
    def _by_age(self) -> "Moment":
        return Moment(self.fleet, self.now)

    @cached_property
    def insufficient(self) -> BitMap:
        """The devices whose evidence does not count as good enough to call them clean."""
        mask = self._past(self.fleet.devices.sufficient_until)
        devices, past = self._of_several_sources(self.fleet.lists.sufficient_until)
        mask[devices] = True
        mask[devices[~past]] = False
        return bitmap_of_mask(mask)

    @cached_property
    def stale(self) -> BitMap:
        """Those of them of which some evidence is too old."""
        if self._held:
            mask = self._past(self.fleet.devices.stale_from)
            devices, past = self._of_several_sources(self.fleet.lists.stale_from)
            mask[devices] = False
            mask[devices[past]] = True
            return bitmap_of_mask(mask) & self.insufficient
        numbers = numbers_of(self.insufficient)
        return bitmap_of_sorted(numbers[self._aged_to >= self.fleet.devices.stale_from[numbers]])

    def _past(self, ends: Floats) -> Mask:
        """Of each device whether that moment has come for its lists, if they are all of one source."""
        mask: Mask = self._aged_to >= ends
        past = bitmap_of_mask(mask) if self._held else BitMap()
        for source, at in self._held.items():
            # Lists that are held are younger: nothing has come for them that would not have come else.
            numbers = numbers_of(self.fleet.sources[source] & past)
            mask[numbers] = at >= ends[numbers]
        return mask

    def _of_several_sources(self, ends: Floats) -> tuple[NDArray[np.int32], Mask]:
        """The devices of ``fleet.lists``, and whether that moment has come; nobody where all lists age alike."""
        lists = self.fleet.lists
        if not self._held:
            return lists.device[:0], np.zeros(0, np.bool_)
        aged_to = np.full(len(lists.numbers), self._aged_to)
        for source, at in self._held.items():
            if source in lists.numbers:
                aged_to[lists.numbers[source]] = at
        taken = lists.device != NO_DEVICE
        return lists.device[taken], aged_to[lists.source[taken]] >= ends[taken]

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
