"""Until when the lists of each source suffice, of the devices that several sources report.

Lists of one source may age while those of another do not (``domain.ageing``). Of a device with one source its two
columns say it all; of the few others there is a row here for each of their sources. One thread writes, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.changes.impact.bitmaps import Floats
from gateway.changes.impact.columns import Column

NO_DEVICE = -1
"""Nothing stands in the row."""


@dataclass(frozen=True, slots=True)
class ListColumns:
    """A number for each row."""

    device: NDArray[np.int32]
    """``NO_DEVICE``: the row is free."""
    source: NDArray[np.int32]
    sufficient_until: Floats
    """From this moment on no list of that source suffices; −inf: none ever did."""
    stale_from: Floats
    """From this moment on one of them is stale; inf: none ever will be."""
    numbers: Mapping[str, int]
    """Of the sources, by name. May be newer than the columns."""


class Lists:
    """The rows as they are written."""

    def __init__(self) -> None:
        self.device = Column(np.int32(NO_DEVICE))
        self.source = Column(np.int32(0))
        self.sufficient_until = Column(np.float64(np.inf))
        self.stale_from = Column(np.float64(np.inf))
        self.numbers: dict[str, int] = {}
        self.size = 0
        self._rows: dict[int, list[int]] = {}
        self._free: list[int] = []

    def put(self, device: int, lists: Mapping[str, tuple[float, float]]) -> None:
        """Let a device have these lists: by source, until when they suffice and from when one is stale."""
        rows = self._rows.get(device, [])
        while len(rows) > len(lists):
            row = rows.pop()
            self.device[row] = NO_DEVICE
            self._free.append(row)
        while len(rows) < len(lists):
            row = self._free.pop() if self._free else self.size
            self.size = max(self.size, row + 1)
            self.device[row] = device
            rows.append(row)
        for row, (name, (sufficient_until, stale_from)) in zip(rows, sorted(lists.items()), strict=True):
            for column, value in (
                (self.source, self.numbers.setdefault(name, len(self.numbers))),
                (self.sufficient_until, sufficient_until),
                (self.stale_from, stale_from),
            ):
                # A column of which there is a view is copied when something is written to it.
                if column[row] != value:
                    column[row] = value
        if rows:
            self._rows[device] = rows
        else:
            self._rows.pop(device, None)

    def view(self) -> ListColumns:
        """All of them as they are now."""
        return ListColumns(
            self.device.view(self.size),
            self.source.view(self.size),
            self.sufficient_until.view(self.size),
            self.stale_from.view(self.size),
            self.numbers,
        )

    @classmethod
    def of(cls, columns: ListColumns) -> "Lists":
        """Goes on with columns that nobody else has."""
        lists = cls()
        lists.size, lists.numbers = len(columns.device), dict(columns.numbers)
        lists.device = Column(lists.device.empty, columns.device)
        lists.source = Column(lists.source.empty, columns.source)
        lists.sufficient_until = Column(lists.sufficient_until.empty, columns.sufficient_until)
        lists.stale_from = Column(lists.stale_from.empty, columns.stale_from)
        for row, device in enumerate(columns.device.tolist()):
            if device == NO_DEVICE:
                lists._free.append(row)
            else:
                lists._rows.setdefault(device, []).append(row)
        return lists
