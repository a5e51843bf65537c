"""How far evidence may age: up to what moment each source's lists are judged by their age.

Time alone makes lists stale, and so it can refuse a whole fleet when a source stops or a clock jumps. It may do so only
as far as somebody has looked ahead (``until``), and the lists of a held source stay as old as they were (``held``).
Without either a list's age is its age.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.verdict import FOREVER

AGAIN_AFTER_SECONDS = 60.0
"""When to look again at a list that waits only for somebody to have looked ahead."""


@dataclass(frozen=True, slots=True)
class Ageing:
    """A value of the policy as it is in force; moments are epoch seconds."""

    until: float = FOREVER
    held: Mapping[str, float] = field(default_factory=dict)
    """By source: the moment at which its lists stopped ageing."""

    def moment(self, source_id: str, now: float) -> float:
        """The moment at which a list of that source is judged; never later than ``now``."""
        at = min(now, self.until)
        return min(at, self.held[source_id]) if source_id in self.held else at

    def again_at(self, source_id: str, now: float) -> float:
        """When a list of that source, overdue at ``now`` and not judged so, may be judged otherwise by itself."""
        return FOREVER if source_id in self.held else now + AGAIN_AFTER_SECONDS


AGEING = Ageing()
"""Nothing is held."""
