"""The fleet at one sequence of the change log: a view that stays as it is while the index goes on.

Devices and people have dense numbers, given at first sight and never twice in the life of an index. A device without a
DeviceId (an inventory device that no mail device is known for) has a number too: it counts for its user. Everything
here is read by any thread and written by none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Floats, Hashes, Mask, bitmap_of_sorted, mask_of, numbers_of
from gateway.changes.impact.by_source import ListColumns
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.evidence_rows import Mark
from gateway.domain.bans import Ban
from gateway.domain.evidence import DeviceEvidence
from gateway.domain.inventory import Ownership, Platform

NOBODY = -1
UNBOUND = "\0"
"""Begins the name of a device without a DeviceId; no DeviceId has it."""
EMPTY = BitMap()


@dataclass(frozen=True, slots=True)
class DeviceColumns:
    """A number for each device."""

    person: NDArray[np.int32]
    """Whose it is; ``NOBODY``: it is gone."""
    next: NDArray[np.int32]
    """The next device of the same person; ``NOBODY``: there is none."""
    sufficient_until: Floats
    stale_from: Floats
    first_seen_at: Floats
    earlier: NDArray[np.uint16]
    """How many other devices of the person were first seen in the 30 days before it (``domain.grace``)."""
    key: Hashes
    """64 bits that stand for person and device in any process."""
    apps: Hashes
    """The sum of the hashes of its apps, modulo 2^64."""


@dataclass(frozen=True, slots=True)
class PeopleColumns:
    """A number for each person."""

    first: NDArray[np.int32]
    """The first of the person's devices; ``NOBODY``: there is none."""
    hash: Hashes
    """``enforcement.person_hash``."""
    standing: NDArray[np.int8]
    """0: gone; 1: a known person; 2: a login that has devices and belongs to nobody known."""
    seen: NDArray[np.uint16]
    """How many of the person's devices ever asked."""


GONE, KNOWN, STRANGER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that an evaluation needs."""

    incarnation: str
    sequence: int
    catalogue: Catalogue
    device_ids: Sequence[str]
    """By number of the device. Longer than the fleet where the index has grown since."""
    person_ids: Sequence[str]
    logins: Mapping[str, int]
    """Every canonical login of everybody."""
    devices: DeviceColumns
    people: PeopleColumns
    entries: Mapping[int, BitMap]
    """By number of the app: who has it open."""
    marks: Mapping[Mark, BitMap]
    platforms: Mapping[Platform | None, BitMap]
    ownerships: Mapping[Ownership, BitMap]
    sources: Mapping[str, BitMap]
    groups: Mapping[str, BitMap]
    """Devices of the members."""
    members: Mapping[str, BitMap]
    """People."""
    whole: Mapping[int, DeviceEvidence]
    """Devices whose open hits depend on the ban."""
    newest_first_seen_at: float
    """No device was first seen later than this."""
    lists: ListColumns
    """Of the devices that several sources report."""

    def marked(self, mark: Mark) -> BitMap:
        """The devices of which ``mark`` holds."""
        return self.marks.get(mark, EMPTY)

    @property
    def device_count(self) -> int:
        """How many numbers of devices there are, those of devices that are gone included."""
        return len(self.devices.person)

    @property
    def people_count(self) -> int:
        """How many numbers of people there are, those of people who are gone included."""
        return len(self.people.first)

    def owners(self, devices: BitMap) -> NDArray[np.int32]:
        """The person of each device, in the order of the devices."""
        owners: NDArray[np.int32] = self.devices.person[numbers_of(devices)]
        return owners

    def people_of(self, devices: BitMap) -> Mask:
        """Who has one of the devices."""
        mask = np.zeros(self.people_count, np.bool_)
        mask[self.owners(devices)] = True
        return mask

    def devices_of(self, people: NDArray[np.int64]) -> BitMap:
        """All devices of some people."""
        at = self.people.first[people]
        found = []
        while (at := at[at >= 0]).size:
            found.append(at)
            at = self.devices.next[at]
        return bitmap_of_sorted(np.unique(np.concatenate(found)).astype(np.uint32)) if found else BitMap()

    def each_device_of(self, person: int) -> Iterator[int]:
        """The devices of one person."""
        following = self.devices.next
        at = self.people.first.item(person)
        while at != NOBODY:
            yield at
            at = following.item(at)

    def person_of_login(self, login: str) -> int | None:
        """The number of the person of a canonical login."""
        number = self.logins.get(login)
        # The dictionary may be newer than this view.
        return number if number is not None and number < self.people_count else None

    def device(self, login: str, device_id: str) -> int | None:
        """The number of a mail device of that login's person."""
        person = self.person_of_login(login)
        if person is not None and device_id:
            for each in self.each_device_of(person):
                if self.device_ids[each] == device_id:
                    return each
        return None

    def holders(self, bans: Iterable[Ban], hit_by: Mapping[str, BitMap]) -> BitMap:
        """The devices on which one of the bans has an open hit; ``hit_by``: of those kept whole, by name of the ban."""
        maps = []
        for ban in bans:
            for entry in self.catalogue.entries_of(ban):
                bitmap = self.entries.get(entry)
                if bitmap is not None:
                    maps.append(bitmap)
            if ban.name in hit_by:
                maps.append(hit_by[ban.name])
        return BitMap.union(*maps) if maps else BitMap()

    def people_mask(self, people: BitMap) -> Mask:
        """True at each of some people."""
        return mask_of(people, self.people_count)


def first_numbers(bitmap: BitMap, after: int, limit: int) -> list[int]:
    """The first members above ``after``; the others are not looked at."""
    found: list[int] = []
    for number in bitmap.iter_equal_or_larger(max(0, after + 1)):
        if len(found) == limit:
            break
        found.append(number)
    return found
