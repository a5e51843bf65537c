"""Who is in the middle of reading the audit log: a page behind one that was told of is no other reading.

Everything else is: whoever names a number to begin behind, from wherever, reads as well, and the log says so. Forgotten
with the process, and then a reader who goes on is told of once more.
"""

from collections import OrderedDict

REMEMBERED = 1_000

Reading = tuple[object, ...]
"""By whose token, and what is asked for."""


class Readings:
    """Where the last page of each reading ended."""

    def __init__(self) -> None:
        self._ends: OrderedDict[Reading, int] = OrderedDict()

    def goes_on(self, reading: Reading, after: int) -> bool:
        """Whether ``after`` is where its last page ended."""
        return self._ends.get(reading) == after

    def ended(self, reading: Reading, at: int) -> None:
        """A page of it ended there."""
        self._ends.pop(reading, None)
        self._ends[reading] = at
        if len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)
