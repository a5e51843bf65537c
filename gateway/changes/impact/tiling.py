"""The index of a fleet that consists of like parts: what one part has, again and again under other names.

For fleets that are written in bulk (the demo's million devices). The part is written by the one writer, from records;
what does not depend on names is then repeated, and what does is computed anew. It is for parts without aliases and
without devices that are kept whole, in which nobody is gone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import bitmap_of_sorted, numbers_of
from gateway.changes.impact.by_source import ListColumns, Lists
from gateway.changes.impact.columns import Column, Shelf
from gateway.changes.impact.fleet import KNOWN, NOBODY
from gateway.changes.impact.writing import Writer, device_key
from gateway.domain.enforcement import person_hash

_OF_DEVICES = ("sufficient_until", "stale_from", "first_seen_at", "earlier", "apps")
_OF_PEOPLE = ("standing", "seen", "group_count")
_SHELVES_OF_DEVICES = ("entries", "marks", "platforms", "ownerships", "sources", "groups")

Rename = Callable[[str, int], str]
"""The name in part number so and so of what has that name in part 0."""


def tiled(part: Writer, times: int, rename: Rename) -> Writer:
    """The index of ``times`` parts. Raises ``ValueError`` for a part that cannot be repeated."""
    people, devices = len(part.person_ids), len(part.device_ids)
    if part.aliases or part.whole or (part.standing.view(people) != KNOWN).any():
        raise ValueError("a part with aliases, strangers, people who are gone or devices kept whole is not repeated")
    writer = Writer(part.incarnation, part.sequence)
    writer.catalogue = part.catalogue
    writer.newest_first_seen_at = part.newest_first_seen_at
    _name(writer, part, times, rename)
    for name in (*_OF_DEVICES, *_OF_PEOPLE):
        column: Column[Any] = getattr(part, name)
        values = column.view(devices if name in _OF_DEVICES else people)
        setattr(writer, name, Column(column.empty, np.tile(values, times)))
    writer.person = Column(np.int32(NOBODY), _shifted(part.person.view(devices), people, times))
    writer.next = Column(np.int32(NOBODY), _shifted(part.next.view(devices), devices, times))
    writer.first = Column(np.int32(NOBODY), _shifted(part.first.view(people), devices, times))
    _hash(writer)
    for name in _SHELVES_OF_DEVICES:
        setattr(writer, name, _repeated(getattr(part, name), devices, times))
    writer.members = _repeated(part.members, people, times)
    writer.lists = _listed(part.lists.view(), devices, times)
    return writer


def _name(writer: Writer, part: Writer, times: int, rename: Rename) -> None:
    writer.person_ids = [rename(name, tile) for tile in range(times) for name in part.person_ids]
    writer.device_ids = [rename(name, tile) for tile in range(times) for name in part.device_ids]
    writer.logins = {login: number for number, login in enumerate(writer.person_ids)}


def _hash(writer: Writer) -> None:
    """What stands for people and devices in any process."""
    hashes = np.fromiter(map(person_hash, writer.person_ids), np.uint64, len(writer.person_ids))
    owners = writer.person.view(len(writer.device_ids)).tolist()
    keys = (device_key(writer.person_ids[owner], name) for owner, name in zip(owners, writer.device_ids, strict=True))
    writer.hash = Column(np.uint64(0), hashes)
    writer.key = Column(np.uint64(0), np.fromiter(keys, np.uint64, len(writer.device_ids)))


def _shifted(numbers: NDArray[np.int32], step: int, times: int) -> NDArray[np.int32]:
    """Numbers of people or devices, of whom each part has ``step``."""
    repeated = np.tile(numbers, times)
    shift = np.repeat(np.arange(times, dtype=np.int32) * np.int32(step), len(numbers))
    return np.where(repeated == NOBODY, np.int32(NOBODY), repeated + shift).astype(np.int32)


def _listed(lists: ListColumns, step: int, times: int) -> Lists:
    return Lists.of(
        ListColumns(
            _shifted(lists.device, step, times),
            np.tile(lists.source, times),
            np.tile(lists.sufficient_until, times),
            np.tile(lists.stale_from, times),
            lists.numbers,
        )
    )


def _repeated(shelf: Shelf[Any], size: int, times: int) -> Shelf[Any]:
    """The same bitmaps over ``times`` parts of ``size`` numbers each."""
    starts = np.arange(times, dtype=np.uint32)[:, None] * np.uint32(size)

    def repeated(bitmap: BitMap) -> BitMap:
        return bitmap_of_sorted((starts + numbers_of(bitmap)[None, :]).ravel())

    return Shelf({name: repeated(bitmap) for name, bitmap in shelf.view().items()})
