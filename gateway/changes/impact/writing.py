"""The one writer of the index: takes the records that workers judge by, and touches only what differs.

``view`` gives the fleet of this moment; what is written afterwards does not show in it. Not for several threads: who
holds the index writes and takes views in one of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf, isnan, nan

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.by_source import Lists
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.columns import Column, Shelf
from gateway.changes.impact.evidence_rows import EvidenceRow, Mark, row_of
from gateway.changes.impact.fleet import (
    GONE,
    KNOWN,
    NOBODY,
    STRANGER,
    UNBOUND,
    DeviceColumns,
    Fleet,
    PeopleColumns,
)
from gateway.domain.enforcement import person_hash
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.inventory import Ownership, Platform
from gateway.domain.policy import GRACE_WINDOW_SECONDS
from gateway.domain.question import is_outlook

_ALL_BITS = 0xFFFFFFFFFFFFFFFF
_MOST = 0xFFFF
"""Of what is counted in 16 bits."""
APPS_TO_SPARE = 50_000
"""So many apps that nobody has any more may stay in the catalogue, or as many as somebody has."""


@dataclass(frozen=True, slots=True)
class Update:
    """A record as it is now."""

    record: PersonRecord
    before: PersonRecord | None = None
    """The record as it was, if it is at hand: it saves looking for the device among all apps. It is not trusted."""
    device_types: Mapping[str, str] = field(default_factory=dict)
    """What mail devices say they are, by DeviceId. Of those not named, what was said before counts."""


class Writer:
    """See the module."""

    def __init__(self, incarnation: str, sequence: int = 0) -> None:
        self.incarnation = incarnation
        self.sequence = sequence
        self.catalogue = Catalogue()
        self._apps_most = APPS_TO_SPARE
        """With more in the catalogue than these it is looked how many of them somebody has."""
        self.gone = 0
        """Numbers of devices and people that are nobody's any more."""
        self.device_ids: list[str] = []
        self.person_ids: list[str] = []
        self.logins: dict[str, int] = {}
        self._logins_shared = False
        self.aliases: dict[int, tuple[str, ...]] = {}
        """Of people who have any: all their logins."""
        self.person = Column(np.int32(NOBODY))
        self.next = Column(np.int32(NOBODY))
        self.sufficient_until = Column(np.float64(np.inf))
        self.stale_from = Column(np.float64(np.inf))
        self.first_seen_at = Column(np.float64(nan))
        self.earlier = Column(np.uint16(0))
        self.key = Column(np.uint64(0))
        self.apps = Column(np.uint64(0))
        self.first = Column(np.int32(NOBODY))
        self.hash = Column(np.uint64(0))
        self.standing = Column(np.int8(GONE))
        self.seen = Column(np.uint16(0))
        self.group_count = Column(np.uint16(0))
        self.entries: Shelf[int] = Shelf()
        self.marks: Shelf[Mark] = Shelf()
        self.platforms: Shelf[Platform | None] = Shelf()
        self.ownerships: Shelf[Ownership] = Shelf()
        self.sources: Shelf[str] = Shelf()
        self.groups: Shelf[str] = Shelf()
        self.members: Shelf[str] = Shelf()
        self.whole: dict[int, DeviceEvidence] = {}
        self.lists = Lists()
        self.newest_first_seen_at = -inf

    # --- Reading

    def view(self) -> Fleet:
        """The fleet of this moment."""
        devices, people = len(self.device_ids), len(self.person_ids)
        self._logins_shared = True
        return Fleet(
            self.incarnation,
            self.sequence,
            self.catalogue,
            self.device_ids,
            self.person_ids,
            self.logins,
            DeviceColumns(
                self.person.view(devices),
                self.next.view(devices),
                self.sufficient_until.view(devices),
                self.stale_from.view(devices),
                self.first_seen_at.view(devices),
                self.earlier.view(devices),
                self.key.view(devices),
                self.apps.view(devices),
            ),
            PeopleColumns(
                self.first.view(people), self.hash.view(people), self.standing.view(people), self.seen.view(people)
            ),
            self.entries.view(),
            self.marks.view(),
            self.platforms.view(),
            self.ownerships.view(),
            self.sources.view(),
            self.groups.view(),
            self.members.view(),
            dict(self.whole),
            self.newest_first_seen_at,
            self.lists.view(),
        )

    def people_held(self) -> Iterator[str]:
        """The person id of everybody who is in the index."""
        return (each for number, each in enumerate(self.person_ids) if self.standing[number] != GONE)

    def is_in(self, person_id: str) -> bool:
        """Whether the person of that login is in the index."""
        return person_id in self.logins

    # --- Writing

    def put(self, updates: Iterable[Update]) -> None:
        """Let each person be as the record says; one who is neither known nor has devices is in no fleet."""
        changed: dict[int, frozenset[int]] = {}
        for update in updates:
            self._put(update, changed)
        self._resolve(changed)

    def _put(self, update: Update, changed: dict[int, frozenset[int]]) -> None:
        record = update.record
        for login in record.logins or (record.person_id,):
            # A login that was somebody of its own, and is an alias now.
            other = self.logins.get(login)
            if other is not None and login != record.person_id and self.person_ids[other] == login:
                self._remove(other, changed)
        number = self.logins.get(record.person_id)
        if number is not None and self.person_ids[number] != record.person_id:
            # It was another person's alias; that one's own record will say so.
            number = None
        if not record.known and not record.devices and not record.unbound:
            if number is not None:
                self._remove(number, changed)
            return
        if number is None:
            number = self._new_person(record.person_id)
        self._write_person(number, update, changed)

    def _new_person(self, person_id: str) -> int:
        number = len(self.person_ids)
        self.person_ids.append(person_id)
        self.first[number] = NOBODY
        self.hash[number] = person_hash(person_id)
        return number

    def _write_person(self, number: int, update: Update, changed: dict[int, frozenset[int]]) -> None:
        record = update.record
        self._name(number, record.logins or (record.person_id,))
        self.standing[number] = KNOWN if record.known else STRANGER
        wanted = named_devices(record)
        there = {self.device_ids[row]: row for row in self._rows(number)}
        before = named_devices(update.before) if update.before is not None else {}
        old_groups = self._groups_of(number, record.groups)
        for name in [name for name in there if name not in wanted]:
            self._take_out(number, there.pop(name), before.get(name), changed)
        fresh = [name for name in wanted if name not in there]
        for name in fresh:
            there[name] = self._new_device(number, record.person_id, name)
        self._regroup(number, record.groups, old_groups, there, fresh)
        held = {each.device_id for each in record.credentials}
        for name, device in wanted.items():
            self._write_device(there[name], name, device, update, held, before.get(name), changed)
        self._count_seen(number, record, there)

    def _name(self, number: int, logins: Sequence[str]) -> None:
        old = self.aliases.get(number) or ((self.person_ids[number],) if self.standing[number] != GONE else ())
        if tuple(old) == tuple(logins):
            return
        self._own_logins()
        for login in old:
            if login not in logins and self.logins.get(login) == number:
                del self.logins[login]
        for login in logins:
            self.logins[login] = number
        if len(logins) > 1:
            self.aliases[number] = tuple(logins)
        else:
            self.aliases.pop(number, None)

    def _own_logins(self) -> None:
        if self._logins_shared:
            self.logins, self._logins_shared = dict(self.logins), False

    def _rows(self, number: int) -> Iterator[int]:
        at = int(self.first[number])
        while at != NOBODY:
            following = int(self.next[at])
            yield at
            at = following

    def _new_device(self, number: int, person_id: str, name: str) -> int:
        row = len(self.device_ids)
        self.device_ids.append(name)
        self.person[row] = number
        self.next[row] = int(self.first[number])
        self.first[number] = row
        self.key[row] = device_key(person_id, name)
        self.apps[row] = 0
        return row

    def _take_out(
        self, number: int, row: int, before: DeviceEvidence | None, changed: dict[int, frozenset[int]]
    ) -> None:
        """A device is gone: in no bitmap, and its number is nobody's."""
        self._want_apps(row, frozenset(), before, changed)
        self.marks.take_out(row)
        self.platforms.take_out(row)
        self.ownerships.take_out(row)
        self.sources.take_out(row)
        self.groups.take_out(row)
        self.whole.pop(row, None)
        self.lists.put(row, {})
        self.sufficient_until[row] = np.inf
        self.stale_from[row] = np.inf
        self.first_seen_at[row] = nan
        self.earlier[row] = 0
        following = int(self.next[row])
        if self.first[number] == row:
            self.first[number] = following
        else:
            previous = next(each for each in self._rows(number) if self.next[each] == row)
            self.next[previous] = following
        self.person[row] = NOBODY
        self.next[row] = NOBODY
        self.gone += 1

    def _remove(self, number: int, changed: dict[int, frozenset[int]]) -> None:
        """A person is gone, with all devices."""
        for row in list(self._rows(number)):
            self._take_out(number, row, None, changed)
        self.members.take_out(number)
        self.group_count[number] = 0
        self.seen[number] = 0
        self._name(number, ())
        self.standing[number] = GONE
        self.gone += 1

    def _groups_of(self, number: int, likely: frozenset[str]) -> frozenset[str]:
        if self.group_count[number] == len(likely) and all(self.members.holds(group, number) for group in likely):
            return likely
        return frozenset(self.members.names_with(number))

    def _regroup(
        self, number: int, groups: frozenset[str], old: frozenset[str], there: Mapping[str, int], fresh: Iterable[str]
    ) -> None:
        for group in groups ^ old:
            self.members.put(group, number, group in groups)
            for row in there.values():
                self.groups.put(group, row, group in groups)
        for name in fresh:
            for group in groups:
                self.groups.put(group, there[name])
        self.group_count[number] = min(len(groups), _MOST)

    def _write_device(
        self,
        row: int,
        name: str,
        device: DeviceEvidence,
        update: Update,
        held: set[str],
        before: DeviceEvidence | None,
        changed: dict[int, frozenset[int]],
    ) -> None:
        kept = row_of(device)
        for mark in Mark:
            self.marks.put(mark, row, self._holds(mark, row, name, kept, update, held))
        for platform in (*Platform, None):
            self.platforms.put(platform, row, platform is kept.platform)
        for ownership in Ownership:
            self.ownerships.put(ownership, row, ownership is kept.ownership)
        for source in kept.sources.union(self.sources.names_with(row)):
            self.sources.put(source, row, source in kept.sources)
        for column, value in (
            (self.sufficient_until, kept.sufficient_until),
            (self.stale_from, kept.stale_from),
            (self.first_seen_at, kept.first_seen_at),
        ):
            if column[row] != value and not (isnan(value) and isnan(column[row])):
                column[row] = value
        self.lists.put(row, kept.lists)
        if kept.first_seen_at > self.newest_first_seen_at:
            self.newest_first_seen_at = kept.first_seen_at
        if kept.whole is not None:
            self.whole[row] = kept.whole
        else:
            self.whole.pop(row, None)
        self._want_apps(row, frozenset(map(self.catalogue.number, kept.apps)), before, changed)

    def _holds(self, mark: Mark, row: int, name: str, kept: EvidenceRow, update: Update, held: set[str]) -> bool:
        if mark is Mark.CREDENTIAL:
            return name in held
        if mark is Mark.STRANGER:
            return not update.record.known
        if mark is Mark.OUTLOOK:
            said = update.device_types.get(name)
            return self.marks.holds(mark, row) if said is None else is_outlook(said)
        return mark in kept.marks

    def _count_seen(self, number: int, record: PersonRecord, there: Mapping[str, int]) -> None:
        seen = [(each.device_id, at) for each in record.devices.values() if (at := each.first_seen_at) is not None]
        if self.seen[number] != len(seen):
            self.seen[number] = min(len(seen), _MOST)
        earlier = {
            device_id: sum(1 for other, at in seen if other != device_id and at <= first < at + GRACE_WINDOW_SECONDS)
            for device_id, first in seen
        }
        for name, row in there.items():
            if self.earlier[row] != earlier.get(name, 0):
                self.earlier[row] = min(earlier.get(name, 0), _MOST)

    # --- Apps

    def apps_to_keep(self) -> Sequence[int] | None:
        """The numbers of the apps that somebody has, if most of the catalogue are others; else None.

        Each version of an app is one of its own, so a fleet leaves many behind.
        """
        if len(self.catalogue) <= self._apps_most:
            return None
        kept = list(self.entries.inhabited())
        self._apps_most = len(kept) + max(APPS_TO_SPARE, len(kept))
        return kept if len(self.catalogue) > self._apps_most else None

    def use_catalogue(self, catalogue: Catalogue, kept: Sequence[int]) -> None:
        """Go on with another catalogue, whose first apps are those that have the numbers ``kept`` in the present one.

        Views stay with theirs.
        """
        before, numbers = self.catalogue, {old: new for new, old in enumerate(kept)}
        inhabited = self.entries.inhabited()
        self.catalogue = catalogue
        for old in inhabited:
            if old not in numbers:
                # Somebody has it since.
                numbers[old] = catalogue.number(before.app(old))
        self.entries = Shelf({numbers[old]: bitmap for old, bitmap in inhabited.items()})

    def _want_apps(
        self, row: int, wanted: frozenset[int], before: DeviceEvidence | None, changed: dict[int, frozenset[int]]
    ) -> None:
        """Note which apps a device has open; which it had is found out for all changed devices together."""
        total = self._sum(wanted)
        known = int(self.apps[row])
        if known == total and row not in changed:
            return
        self.apps[row] = total
        if known == 0 and row not in changed:
            for entry in wanted:
                self.entries.put(entry, row)
            return
        if before is not None and row not in changed:
            old = frozenset(map(self.catalogue.number, row_of(before).apps))
            if self._sum(old) == known:
                for entry in old ^ wanted:
                    self.entries.put(entry, row, entry in wanted)
                return
        changed[row] = wanted

    def _sum(self, entries: Iterable[int]) -> int:
        return sum(map(self.catalogue.hash_of, entries)) & _ALL_BITS

    def _resolve(self, changed: Mapping[int, frozenset[int]]) -> None:
        if not changed:
            return
        for entry, rows in self.entries.meeting(BitMap(changed)):
            for row in rows:
                self.entries.put(entry, row, entry in changed[row])
        for row, wanted in changed.items():
            for entry in wanted:
                self.entries.put(entry, row)


def device_key(person_id: str, name: str) -> int:
    """64 bits that stand for a device of a person in any process."""
    return int.from_bytes(blake2b(f"{person_id}\0{name}".encode(), digest_size=8).digest(), "big")


def named_devices(record: PersonRecord) -> dict[str, DeviceEvidence]:
    """Each device under a name that stays: its DeviceId, or the inventory device that it is."""
    named = dict(record.devices)
    for device in record.unbound:
        # Names are saved one to a line.
        origin = "\0".join(f"{each.source_id}\0{each.source_device}" for each in device.sources).replace("\n", " ")
        name, again = UNBOUND + origin, 0
        while name in named:
            again += 1
            name = f"{UNBOUND}{origin}\0{again}"
        named[name] = device
    return named
