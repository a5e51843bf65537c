"""Whom time alone will refuse within ten minutes, and which sources' lists must stop ageing for it.

Pure: fleet, policy, brake and moment are arguments; it takes some tens of milliseconds for a million devices, so it
runs in a thread. Counted are devices that have mail as their lists are judged now and would have none ten minutes on,
if nothing more were reported. Too many of them, and the sources that they depend on are held, the largest first, as of
the moment up to which lists were judged so far: nobody is refused before anybody has looked. A source of which nothing
at all has come for half the time that its lists hold is silent; its devices count together, however slowly they go
stale.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.bitmaps import numbers_of
from gateway.changes.impact.fleet import EMPTY, Fleet
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.reach import Reach
from gateway.domain.brake import WINDOW_SECONDS, Brake, Hold, Limits, Trouble
from gateway.domain.policy import Policy, PolicyVersion, Setting
from gateway.domain.verdict import FOREVER

SHORTEST_SECONDS = 20.0
"""Where lists hold for minutes only, a quarter of that is looked ahead, and so much at least."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a look ahead has found."""

    brake: Brake
    """As it should be from now on; lists may age up to ten minutes from now."""
    fleet: int
    """Devices that can ask for mail."""
    begun: tuple[Hold, ...] = ()
    ended: tuple[Hold, ...] = ()


def refuses_the_stale(version: PolicyVersion) -> bool:
    """Whether the age of a list can refuse anybody at all."""
    stale = version.unknowns.stale
    return version.enforcement_on and (
        stale.default is Setting.DENY or any(rule.setting is Setting.DENY for rule in stale.rules)
    )


def look_ahead(
    fleet: Fleet, policy: Policy, brake: Brake, now: float, limits: Limits, lasting: Mapping[str, float]
) -> Ahead:
    """Look ahead from ``now`` (epoch seconds). ``lasting``: by source, how long its lists hold, in seconds."""
    look = _Look(fleet, policy, brake, now, limits, lasting)
    others = tuple(each for each in brake.holds if each.trouble is not Trouble.STALE)
    kept, ended = look.kept()
    begun = look.begun(kept)
    return Ahead(replace(brake, looked_until=look.end, holds=(*others, *kept, *begun)), look.size, begun, ended)


class _Look:
    """The sets of one look; each is made once."""

    def __init__(
        self, fleet: Fleet, policy: Policy, brake: Brake, now: float, limits: Limits, lasting: Mapping[str, float]
    ) -> None:
        self._fleet, self._policy, self._brake, self._now = fleet, policy, brake, now
        self._limits, self._lasting = limits, lasting
        self._hits, self._reach = Hits(fleet), Reach(fleet)
        self._served: dict[float, BitMap] = {}
        shortest = min(lasting.values(), default=FOREVER)
        self.end = now + min(WINDOW_SECONDS, max(SHORTEST_SECONDS, shortest / 4))
        self.base = now if brake.looked_until is None else min(now, brake.looked_until)
        self.size = len(self._reach.all)

    def kept(self) -> tuple[tuple[Hold, ...], tuple[Hold, ...]]:
        """The holds that stay, with how many they hold now; and those that end, for so few are left."""
        holds = [each for each in self._brake.holds if each.trouble is Trouble.STALE]
        held = {each.source_id: self._lost(each.since, each.source_id) for each in holds}
        counted = {each.source_id: self._lost(self._counted_from(each), each.source_id) for each in holds}
        # All together: one after the other they would let go as many as one source may not.
        few = not self._exceeded(BitMap.union(*counted.values())) if counted else True
        kept, ended = [], []
        for each in holds:
            if few or not counted[each.source_id]:
                ended.append(each)
            else:
                kept.append(replace(each, devices=len(held[each.source_id])))
        return tuple(kept), tuple(ended)

    def begun(self, kept: tuple[Hold, ...]) -> tuple[Hold, ...]:
        """The holds that are needed besides."""
        left = self._lost(self.base)
        for each in kept:
            left = left - self._of(each.source_id)
        open_to = []
        for source in self._fleet.sources:
            if self._brake.is_released((source, Trouble.STALE, ""), self._now):
                left = left - self._of(source)
            elif not any(each.source_id == source for each in kept):
                open_to.append(source)
        found: dict[str, Hold] = {}
        for source in sorted(open_to, key=lambda each: left.intersection_cardinality(self._of(each)), reverse=True):
            if self._exceeded(left) or self._falls_silent(source):
                found[source] = Hold(source, Trouble.STALE, self.base, len(self._lost(self.base, source)))
                left = left - self._of(source)
        return tuple(each for each in found.values() if each.devices)

    def _falls_silent(self, source: str) -> bool:
        silent_since = self._silent_since(source)
        return silent_since is not None and self._exceeded(self._lost(silent_since, source))

    def _counted_from(self, hold: Hold) -> float:
        """A silent source does not end its hold by having few devices at a time."""
        silent_since = self._silent_since(hold.source_id)
        return hold.since if silent_since is None else min(hold.since, silent_since)

    def _silent_since(self, source: str) -> float | None:
        """When the newest list of a silent source was made; None: it is not silent, or that is not known."""
        lasts = self._lasting.get(source)
        ends = self._fleet.devices.stale_from[numbers_of(self._of(source))]
        ends = ends[np.isfinite(ends)]
        if lasts is None or not ends.size:
            return None
        newest = float(ends.max()) - lasts
        return newest if newest < min(self.base, self._now - lasts / 2) else None

    def _exceeded(self, devices: BitMap) -> bool:
        return self._limits.exceeded(len(devices), self.size)

    def _lost(self, since: float, source: str | None = None) -> BitMap:
        """Who has mail while lists are as old as at ``since``, and will have none."""
        lost = self._served_at(since) - self._served_at(self.end)
        return lost if source is None else lost & self._of(source)

    def _served_at(self, aged_to: float) -> BitMap:
        found = self._served.get(aged_to)
        if found is None:
            evaluation = Evaluation(Moment(self._fleet, self._now, aged_to), self._policy, self._hits)
            found = self._served[aged_to] = self._reach.served(evaluation)
        return found

    def _of(self, source: str) -> BitMap:
        return self._fleet.sources.get(source, EMPTY)
