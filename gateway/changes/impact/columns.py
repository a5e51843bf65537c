"""What one writer changes while readers look at what it was: columns of numbers, and shelves of bitmaps.

``view`` gives a reader all of it in one moment and for good; whatever the writer touches afterwards it copies first,
once. So a view costs microseconds, and a write after it a copy of what it touches. Only the writer calls anything here;
a reader has its view.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

K = TypeVar("K", bound=Hashable)
N = TypeVar("N", bound=np.generic)

_FIRST_CAPACITY = 1024


class Column(Generic[N]):
    """A number for each device, or for each person."""

    __slots__ = ("_empty", "_shared", "_values")

    def __init__(self, empty: N, values: NDArray[N] | None = None) -> None:
        """``empty`` stands where nothing was written yet; ``values`` are taken over."""
        self._empty = empty
        self._values = values if values is not None else self._blank(_FIRST_CAPACITY)
        self._shared = False

    @property
    def empty(self) -> N:
        """What stands where nothing was written yet."""
        return self._empty

    def _blank(self, size: int) -> NDArray[N]:
        return np.full(size, self._empty, self._empty.dtype)

    def __getitem__(self, place: int) -> N:
        if place >= len(self._values):
            return self._empty
        value: N = self._values[place]
        return value

    def __setitem__(self, place: int, value: float) -> None:
        if place >= len(self._values):
            grown = self._blank(max(place + 1, len(self._values) * 2))
            grown[: len(self._values)] = self._values
            self._values, self._shared = grown, False
        elif self._shared:
            self._values, self._shared = self._values.copy(), False
        self._values[place] = value

    def view(self, size: int) -> NDArray[N]:
        """The first ``size`` of them as they are now."""
        if size > len(self._values):
            self[size - 1] = self._empty.item()
        self._shared = True
        return self._values[:size]


class Shelf(Generic[K]):
    """Bitmaps by name."""

    __slots__ = ("_maps", "_own")

    def __init__(self, maps: dict[K, BitMap] | None = None) -> None:
        self._maps = maps if maps is not None else {}
        self._own: set[K] = set()
        """Those that no view has: they may be written to."""

    def put(self, name: K, member: int, present: bool = True) -> None:
        """Let ``member`` be in the bitmap of that name, or not."""
        there = self._maps.get(name)
        if there is None:
            if present:
                self._maps[name] = BitMap((member,))
                self._own.add(name)
            return
        if (member in there) is present:
            return
        if name not in self._own:
            there = self._maps[name] = there.copy()
            self._own.add(name)
        if present:
            there.add(member)
        else:
            there.discard(member)

    def take_out(self, member: int) -> None:
        """Let ``member`` be in none of them; looks at each."""
        for name in self.names_with(member):
            self.put(name, member, False)

    def names_with(self, member: int) -> list[K]:
        """The names of the bitmaps that hold ``member``; looks at each."""
        return [name for name, bitmap in self._maps.items() if member in bitmap]

    def holds(self, name: K, member: int) -> bool:
        """Whether the bitmap of that name holds ``member``."""
        bitmap = self._maps.get(name)
        return bitmap is not None and member in bitmap

    def meeting(self, members: BitMap) -> list[tuple[K, BitMap]]:
        """The names of the bitmaps that hold any of ``members``, each with which ones; looks at each once."""
        if len(members) == 1:
            return [(name, members) for name in self.names_with(members[0])]
        # Asking is much cheaper than making a set, and few meet any.
        return [(name, bitmap & members) for name, bitmap in self._maps.items() if bitmap.intersect(members)]

    def inhabited(self) -> dict[K, BitMap]:
        """Those that hold anybody; not to be written to."""
        return {name: bitmap for name, bitmap in self._maps.items() if bitmap}

    def view(self) -> dict[K, BitMap]:
        """All of them as they are now; not to be written to."""
        self._own.clear()
        return self._maps.copy()
