"""A fleet for the impact index, made by numpy in seconds: 1,000,000 devices of 840,000 people, 60 apps each of 20,000.

Made app by app straight into an index, with the flaws that fleets have; ``record_of`` gives the evidence of any person
as the store would have it, so that the index can be held against ``decide``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Mask, bitmap_of_mask, bitmap_of_sorted
from gateway.changes.impact.by_source import ListColumns, Lists
from gateway.changes.impact.columns import Column, Shelf
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import KNOWN
from gateway.changes.impact.writing import Writer, device_key
from gateway.domain.enforcement import person_hash
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, AppOrigin, Naming, Ownership, Platform, Scope

NOW = 1_800_000_000.0
DAY = 86_400.0
MAX_AGE = 7 * DAY
APPS, INSTALLED, GROUPS = 20_000, 60, 300
TIKTOK, TIKTOK_SHARE = 40, 0.12
"""Which rank it has, and on how many devices it is."""
PLATFORMS = (Platform.ANDROID, Platform.IOS, Platform.WINDOWS, Platform.MACOS)
SOURCES = ("intune", "jamf", "mobileiron", "workspace-one", "agent", "nanomdm")
SECOND = "compliance"
OWNERSHIPS = (Ownership.COMPANY, Ownership.PERSONAL, Ownership.UNKNOWN)


@dataclass(slots=True)
class BenchFleet:
    """The index, and what it was made from."""

    writer: Writer
    devices: int
    people: int
    groups_of: list[NDArray[Any]]
    """Of each group the people in it."""
    draws: dict[str, NDArray[Any]] = field(default_factory=dict)
    marks: dict[Mark, Mask] = field(default_factory=dict)

    def record_of(self, person: int) -> PersonRecord:
        """What the store would have of a person."""
        writer = self.writer
        devices, each = {}, int(writer.first[person])
        while each >= 0:
            devices[writer.device_ids[each]] = self._evidence(each)
            each = int(writer.next[each])
        groups, login = frozenset(writer.members.names_with(person)), writer.person_ids[person]
        return PersonRecord(login, True, (login,), groups, devices)

    def _evidence(self, device: int) -> DeviceEvidence:
        drawn = {name: values[device] for name, values in self.draws.items()}
        marked = {mark for mark, mask in self.marks.items() if mask[device]}
        platform, ownership = PLATFORMS[drawn["platform"]], OWNERSHIPS[drawn["ownership"]]
        device_id = self.writer.device_ids[device]
        if Mark.UNMATCHED in marked:
            unmatched = BindingState.UNMATCHED
            return DeviceEvidence(device_id, unmatched, (), (), drawn["first"], platform, ownership)
        at = float(drawn["full_at"])
        source = SourceEvidence(
            SOURCES[drawn["source"]],
            f"m{device}",
            Scope.WORK_PROFILE if drawn["narrow"] else Scope.DEVICE,
            Naming.IDENTIFIER,
            at,
            MAX_AGE,
            self._apps(device),
            full_at=None if Mark.MISSING in marked else at,
            compromised=True if Mark.COMPROMISED in marked else None,
        )
        sources = [source]
        if drawn["second"]:
            sources.append(
                SourceEvidence(SECOND, f"s{device}", Scope.MANAGED_ONLY, Naming.IDENTIFIER, NOW, DAY * 400, (), NOW)
            )
        binding = BindingState.CONFLICT if Mark.CONFLICT in marked else BindingState.BOUND
        return DeviceEvidence(device_id, binding, tuple(sources), (), drawn["first"], platform, ownership)

    def _apps(self, device: int) -> tuple[App, ...]:
        catalogue = self.writer.catalogue
        return tuple(catalogue.app(each) for each in self.writer.entries.names_with(device))


def app(rank: int, version: int = 0) -> App:
    """The app of that rank, the most frequent first."""
    origin = AppOrigin.STORE
    return App(
        Platform.ANDROID, f"com.v{rank % 700}.p{rank}", f"Product {rank}", f"{version}.1", version, origin=origin
    )


def shares() -> NDArray[np.float64]:
    """On which share of the devices each app is: Zipf, at most 90 %, 60 apps on a device."""
    weights = 1.0 / np.arange(1, APPS + 1) ** 0.9
    low, high = 0.0, 1000.0
    for _ in range(60):
        scale = (low + high) / 2
        low, high = (scale, high) if np.minimum(0.9, weights * scale).sum() < INSTALLED else (low, scale)
    found: NDArray[np.float64] = np.minimum(0.9, weights * low)
    found[TIKTOK] = TIKTOK_SHARE
    return found


def make(devices: int, versions: int = 1, seed: int = 1) -> BenchFleet:
    """A fleet of that many devices."""
    generator = np.random.default_rng(seed)
    people = devices * 84 // 100
    fleet = BenchFleet(Writer("bench", 1), devices, people, [])
    _draw(fleet, generator)
    _people(fleet, generator)
    _marks(fleet)
    _columns(fleet)
    _lists(fleet)
    _groups(fleet, generator)
    _apps(fleet, generator, versions)
    return fleet


def _draw(fleet: BenchFleet, generator: np.random.Generator) -> None:
    size, draws = fleet.devices, fleet.draws
    draws["platform"] = generator.choice(4, size, p=(0.5, 0.35, 0.1, 0.05)).astype(np.uint8)
    draws["ownership"] = generator.choice(3, size, p=(0.65, 0.3, 0.05)).astype(np.uint8)
    draws["source"] = generator.choice(6, size, p=(0.4, 0.2, 0.15, 0.1, 0.1, 0.05)).astype(np.uint8)
    draws["second"] = generator.random(size) < 0.08
    late = generator.random(size) < 0.03
    draws["full_at"] = NOW - np.where(late, MAX_AGE, 0.0) - generator.random(size) * MAX_AGE * 0.99
    draws["first"] = NOW - generator.random(size) * 900 * DAY
    personal = draws["ownership"] == 1
    draws["narrow"] = generator.random(size) < np.where(personal, 0.22, 0.02)
    chance = generator.random(size)
    fleet.marks[Mark.UNMATCHED] = chance < 0.015
    fleet.marks[Mark.CONFLICT] = (chance >= 0.015) & (chance < 0.016)
    fleet.marks[Mark.MISSING] = (chance >= 0.016) & (chance < 0.036)
    fleet.marks[Mark.COMPROMISED] = (generator.random(size) < 0.002) & ~fleet.marks[Mark.UNMATCHED]


def _people(fleet: BenchFleet, generator: np.random.Generator) -> None:
    """Most people have one device, some two, one in forty none."""
    without = fleet.people // 40
    owners = np.arange(fleet.people - without, dtype=np.int32)
    seconds = generator.permutation(len(owners))[: fleet.devices - len(owners)].astype(np.int32)
    person = np.concatenate((owners, seconds))
    following = np.full(fleet.devices, -1, np.int32)
    first = np.full(fleet.people, -1, np.int32)
    first[owners] = owners
    second_devices = np.arange(len(owners), fleet.devices, dtype=np.int32)
    following[second_devices] = first[seconds]
    first[seconds] = second_devices
    writer = fleet.writer
    writer.person_ids = [f"user{number:06}@corp.example" for number in range(fleet.people)]
    writer.device_ids = [f"phone{number:027}" for number in range(fleet.devices)]
    writer.logins = {login: number for number, login in enumerate(writer.person_ids)}
    writer.person, writer.next, writer.first = _column(person), _column(following), _column(first)
    writer.hash = _column(np.array([person_hash(login) for login in writer.person_ids], np.uint64))
    writer.standing = _column(np.full(fleet.people, KNOWN, np.int8))
    writer.seen = _column(np.bincount(person, minlength=fleet.people).astype(np.uint16))
    keys = (device_key(writer.person_ids[owner], name) for owner, name in zip(person, writer.device_ids, strict=True))
    writer.key = _column(np.fromiter(keys, np.uint64, fleet.devices))


def _column(values: NDArray[Any]) -> Column[Any]:
    return Column(values.dtype.type(0), values)


def _marks(fleet: BenchFleet) -> None:
    marks, draws = fleet.marks, fleet.draws
    unmatched = marks[Mark.UNMATCHED]
    shelf = {
        Mark.MAIL: np.ones(fleet.devices, np.bool_),
        Mark.EVIDENCE: ~unmatched,
        Mark.SCOPE: (draws["narrow"] | draws["second"]) & ~unmatched,
        **marks,
    }
    writer = fleet.writer
    writer.marks = Shelf({mark: bitmap_of_mask(mask) for mark, mask in shelf.items()})
    writer.platforms = Shelf({p: bitmap_of_mask(draws["platform"] == n) for n, p in enumerate(PLATFORMS)})
    writer.ownerships = Shelf({o: bitmap_of_mask(draws["ownership"] == n) for n, o in enumerate(OWNERSHIPS)})
    sources = {name: bitmap_of_mask((draws["source"] == n) & ~unmatched) for n, name in enumerate(SOURCES)}
    writer.sources = Shelf({**sources, SECOND: bitmap_of_mask(draws["second"] & ~unmatched)})


def _columns(fleet: BenchFleet) -> None:
    marks, draws = fleet.marks, fleet.draws
    stale = draws["full_at"] + MAX_AGE
    good = ~(marks[Mark.UNMATCHED] | marks[Mark.CONFLICT] | marks[Mark.MISSING] | draws["narrow"])
    never = marks[Mark.UNMATCHED] | marks[Mark.MISSING]
    second = np.where(draws["second"] & ~marks[Mark.UNMATCHED], NOW + 400 * DAY, np.inf)
    writer = fleet.writer
    writer.sufficient_until = _column(np.where(good, stale, -np.inf))
    writer.stale_from = _column(np.minimum(np.where(never, np.inf, stale), second))
    writer.first_seen_at = _column(draws["first"])
    writer.newest_first_seen_at = float(draws["first"].max())
    writer.earlier = _column(_earlier(fleet))


def _lists(fleet: BenchFleet) -> None:
    """Both sources of the devices that have two."""
    writer, several = fleet.writer, np.flatnonzero(fleet.draws["second"] & ~fleet.marks[Mark.UNMATCHED])
    first, second = fleet.draws["source"][several].astype(np.int32), np.full(len(several), len(SOURCES), np.int32)
    stale = fleet.draws["full_at"][several] + MAX_AGE
    never, later = np.full(len(several), -np.inf), np.full(len(several), NOW + 400 * DAY)
    missing = fleet.marks[Mark.MISSING][several]
    columns = ListColumns(
        np.tile(several.astype(np.int32), 2),
        np.concatenate((first, second)),
        np.concatenate((writer.sufficient_until.view(fleet.devices)[several], never)),
        np.concatenate((np.where(missing, np.inf, stale), later)),
        {name: number for number, name in enumerate((*SOURCES, SECOND))},
    )
    writer.lists = Lists.of(columns)


def _earlier(fleet: BenchFleet) -> NDArray[np.uint16]:
    """Of two devices of a person, whether the other one was first seen in the 30 days before."""
    found, first, following = (
        np.zeros(fleet.devices, np.uint16),
        fleet.draws["first"],
        fleet.writer.next.view(fleet.devices),
    )
    one = np.flatnonzero(following >= 0)
    other = following[one]
    gap = first[one] - first[other]
    found[one[(gap >= 0) & (gap < 30 * DAY)]] = 1
    found[other[(gap <= 0) & (gap > -30 * DAY)]] = 1
    return found


def _groups(fleet: BenchFleet, generator: np.random.Generator) -> None:
    weights = 1.0 / np.arange(1, GROUPS + 1) ** 0.7
    count = generator.integers(1, 6, fleet.people)
    person = np.repeat(np.arange(fleet.people), count)
    group = generator.choice(GROUPS, len(person), p=weights / weights.sum())
    owners = fleet.writer.person.view(fleet.devices)
    members, devices = {}, {}
    for number in range(GROUPS):
        inside = np.zeros(fleet.people, np.bool_)
        inside[person[group == number]] = True
        members[f"group{number:03}"] = bitmap_of_mask(inside)
        devices[f"group{number:03}"] = bitmap_of_mask(inside[owners])
        fleet.groups_of.append(np.flatnonzero(inside))
    counts = np.zeros(fleet.people, np.uint16)
    for people in fleet.groups_of:
        counts[people] += 1
    fleet.writer.members, fleet.writer.groups = Shelf(members), Shelf(devices)
    fleet.writer.group_count = _column(counts)


def _apps(fleet: BenchFleet, generator: np.random.Generator, versions: int) -> None:
    entries: dict[int, BitMap] = {}
    totals = np.zeros(fleet.devices, np.uint64)
    matched = ~fleet.marks[Mark.UNMATCHED]
    catalogue = fleet.writer.catalogue
    for rank, holders in _holders(fleet.devices, generator):
        holders = holders[matched[holders]]
        version = generator.integers(0, versions, len(holders)) if versions > 1 else None
        for each in range(versions):
            having = holders if version is None else holders[version == each]
            number = catalogue.number(app(rank, each))
            entries[number] = bitmap_of_sorted(having.astype(np.uint32))
            totals[having] += np.uint64(catalogue.hash_of(number))
    fleet.writer.entries, fleet.writer.apps = Shelf(entries), _column(totals)


def _holders(devices: int, generator: np.random.Generator) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Of each app who has it, in ascending order."""
    for rank, share in enumerate(shares()):
        if share > 0.03:
            yield rank, np.flatnonzero(generator.random(devices, np.float32) < share)
        else:
            yield rank, np.unique(generator.integers(0, devices, generator.binomial(devices, share)))
