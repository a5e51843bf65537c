"""Posture: what the evidence says about a device, before any flag or setting.

DIRTY while a ban matches an app of the evidence and nothing newer clears it: age alone never does. CLEAN needs a
full, whole-device, fresh list. Everything else is UNKNOWN, with its causes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain.ageing import AGEING, Ageing
from gateway.domain.bans import Ban
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Scope, sees_at_least
from gateway.domain.matching import BanIndex
from gateway.domain.verdict import FOREVER, Cause

OTHER_SOURCE_NEWER_BY_SECONDS = 600.0
"""A hit of one source is closed by another only when its full list is this much newer: two clocks."""

TOMBSTONES_OF_ONE_SOURCE = 200
"""On one mail device; beyond them the last one of each ban stays."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A ban that matches an app of the evidence."""

    ban: Ban
    app: App
    source_id: str
    at: float
    """generated_at of the evidence that holds the app."""
    scope: Scope


def open_hits(device: DeviceEvidence, index: BanIndex) -> tuple[Hit, ...]:
    """The hits that nothing newer has closed, tombstones included."""
    caught = _caught(device, index)
    if not caught and not device.tombstones:
        return ()
    holding = _holding(caught)
    found = [hit for hit, _ in _still_open(caught, device, holding)]
    for stone in device.tombstones:
        for ban in index.bans_of(stone.app):
            hit = Hit(ban, stone.app, stone.source_id, stone.seen_at, stone.scope)
            if device.binding is not BindingState.BOUND or not _cleared(hit, device, holding):
                found.append(hit)
    return tuple(found)


def _live_hits(device: DeviceEvidence, index: BanIndex) -> list[tuple[Hit, SourceEvidence]]:
    """The open hits of the evidence at hand, each with the evidence that holds the app."""
    caught = _caught(device, index)
    return _still_open(caught, device, _holding(caught))


def _caught(device: DeviceEvidence, index: BanIndex) -> list[tuple[Hit, SourceEvidence]]:
    """All hits of the evidence at hand, each with the evidence that holds the app. The one look at every app."""
    return [
        (Hit(ban, app, source.source_id, source.generated_at, source.scope), source)
        for source in device.sources
        for app, bans in index.caught_of(source.apps)
        for ban in bans
    ]


def _still_open(
    caught: list[tuple[Hit, SourceEvidence]], device: DeviceEvidence, holding: set[tuple[str, str, str]]
) -> list[tuple[Hit, SourceEvidence]]:
    return [
        (hit, source)
        for hit, source in caught
        # In a conflict nobody's list may clear another claimant's hit.
        if device.binding is not BindingState.BOUND or not _cleared(hit, device, holding, live_in=source)
    ]


def _holding(caught: list[tuple[Hit, SourceEvidence]]) -> set[tuple[str, str, str]]:
    """Which inventory devices hold an app of which ban."""
    return {(source.source_id, source.source_device, hit.ban.name) for hit, source in caught}


def _cleared(
    hit: Hit,
    device: DeviceEvidence,
    holding: set[tuple[str, str, str]],
    live_in: SourceEvidence | None = None,
) -> bool:
    return any(
        clears(source, hit.source_id, hit.at, hit.scope)
        for source in device.sources
        if source is not live_in and (source.source_id, source.source_device, hit.ban.name) not in holding
    )


def clears(source: SourceEvidence, source_id: str, seen_at: float, scope: Scope) -> bool:
    """Whether evidence that does not hold an app is good enough to say that it is gone.

    The app was seen by ``source_id`` at ``seen_at``, looking at ``scope``. The same source may clear it by anything
    newer that sees as much; another one only by a whole-device list under identifiers, newer by ten minutes.
    """
    if source.full_at is None or source.suspicious:
        return False
    if source.source_id == source_id:
        return source.generated_at > seen_at and sees_at_least(source.scope, scope)
    return (
        source.scope is Scope.DEVICE
        and source.naming is Naming.IDENTIFIER
        and source.full_at > seen_at + OTHER_SOURCE_NEWER_BY_SECONDS
    )


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """Whether the evidence could prove CLEAN, and until when that answer holds."""

    causes: tuple[Cause, ...]
    """Why not; empty when it could."""
    valid_until: float = FOREVER
    held: tuple[Cause, ...] = ()
    """Further causes, which do not count because the lists of a source do not age now."""


def sufficiency(device: DeviceEvidence, now: float, ageing: Ageing = AGEING) -> Sufficiency:
    """Whether the evidence of a device suffices to call it CLEAN.

    Every source that falls short adds its causes, so that a further doubtful source never hides a cause; one that
    suffices outweighs them, except in a conflict. A list is stale once ``ageing`` has reached its end as well.
    """
    shortfalls = [_shortfall(source, now) for source in device.sources]
    turns = [at if at > now else FOREVER for at in map(expires_at, device.sources)]
    by_age = _sufficient(device, shortfalls, turns)
    if not by_age.causes or (not ageing.held and now <= ageing.until):
        return by_age
    held = False
    for place, source in enumerate(device.sources):
        if ageing.moment(source.source_id, now) < expires_at(source) <= now:
            held = True
            shortfalls[place] -= {Cause.STALE}
            turns[place] = ageing.again_at(source.source_id, now)
    if not held:
        return by_age
    counted = _sufficient(device, shortfalls, turns)
    return replace(counted, held=tuple(cause for cause in by_age.causes if cause not in counted.causes))


def _sufficient(device: DeviceEvidence, shortfalls: list[frozenset[Cause]], turns: list[float]) -> Sufficiency:
    """From what each source lacks, and the moment at which that changes by itself."""
    if device.binding is BindingState.UNMATCHED:
        return Sufficiency((Cause.UNMATCHED,), FOREVER)
    until = min(turns, default=FOREVER)
    if device.binding is BindingState.CONFLICT:
        return Sufficiency(_ordered({Cause.CONFLICT, *_all(shortfalls)}), until)
    sufficient = [turn for turn, causes in zip(turns, shortfalls, strict=True) if not causes]
    if sufficient:
        return Sufficiency((), max(sufficient))
    return Sufficiency(_ordered({*_all(shortfalls)} or {Cause.MISSING}), until)


def expires_at(source: SourceEvidence) -> float:
    """When the full list that evidence rests on goes stale; never, where there is none."""
    return FOREVER if source.full_at is None else source.full_at + source.max_age


def _shortfall(source: SourceEvidence, now: float) -> frozenset[Cause]:
    causes = set()
    if source.full_at is None or source.suspicious:
        # Beside the others, not instead: an unbelievable list must not hide that the one before it is stale.
        causes.add(Cause.MISSING)
    if source.scope is not Scope.DEVICE or source.naming is not Naming.IDENTIFIER:
        causes.add(Cause.SCOPE)
    if now >= expires_at(source):
        causes.add(Cause.STALE)
    return frozenset(causes)


def _all(shortfalls: Iterable[frozenset[Cause]]) -> set[Cause]:
    return set().union(*shortfalls)


def _ordered(causes: set[Cause]) -> tuple[Cause, ...]:
    return tuple(cause for cause in Cause if cause in causes)


def surviving_hits(before: PersonRecord, after: PersonRecord, index: BanIndex) -> Mapping[str, tuple[Tombstone, ...]]:
    """The tombstones a person's devices need, where evidence left them without newer evidence in its place.

    Maps a canonical DeviceId (empty: inventory devices without one) to all tombstones it should have from now on;
    devices whose tombstones stay as they are do not appear. An inventory device that gets a DeviceId takes its hits
    along; one that loses its DeviceId leaves them there as well.
    """
    needed = {}
    for device_id in {*before.devices, *after.devices, ""}:
        old, new = _devices(before, device_id), _devices(after, device_id)
        following = new if device_id else (*after.unbound, *after.devices.values())
        stones = {stone for device in new for stone in device.tombstones}
        # Without a DeviceId nobody knows which phone a tombstone was about, so no list can answer it.
        kept = {stone for stone in stones if not device_id or not _answered(stone, new)}
        lost = {
            stone
            for device in old
            for hit, source in _live_hits(device, index)
            if not _answered(stone := Tombstone(hit.app, hit.source_id, hit.at, hit.scope), new if device_id else ())
            and not _continued(stone, source, following)
        }
        remaining = _bounded(kept | lost, index)
        if set(remaining) != stones:
            needed[device_id] = remaining
    return needed


def _bounded(stones: set[Tombstone], index: BanIndex) -> tuple[Tombstone, ...]:
    """In order of time, of each source so many: none takes away what another one has left.

    Whatever answers the last sight of an app answers the earlier ones. Of more than may stay, the last one of every ban
    does all the same: else many hits of a ban that is not enforced would push out the one that refuses the phone.
    """
    known: set[tuple[str, Scope, str]] = set()
    stay: list[Tombstone] = []
    more: list[Tombstone] = []
    for stone in sorted(_last_sights(stones), key=_by_time, reverse=True):
        speaks_for = {(stone.source_id, stone.scope, ban.name) for ban in index.bans_of(stone.app)}
        (more if speaks_for <= known else stay).append(stone)
        known |= speaks_for
    left = Counter(stone.source_id for stone in stay)
    for stone in more:
        if left[stone.source_id] < TOMBSTONES_OF_ONE_SOURCE:
            left[stone.source_id] += 1
            stay.append(stone)
    return tuple(sorted(stay, key=_by_time))


def _by_time(stone: Tombstone) -> tuple[float, str]:
    return stone.seen_at, stone.app.id


def _last_sights(stones: Iterable[Tombstone]) -> Iterable[Tombstone]:
    """Of each app the last one, by source and by what that saw."""
    last = {(stone.app, stone.source_id, stone.scope): stone for stone in sorted(stones, key=_by_time)}
    return last.values()


def _answered(stone: Tombstone, devices: tuple[DeviceEvidence, ...]) -> bool:
    """Whether the evidence bound to a device says that the app is gone.

    Another source that still shows it is no answer: it may see less or be older, and must not end the hit by itself.
    """
    return any(
        clears(source, stone.source_id, stone.seen_at, stone.scope)
        for device in devices
        if device.binding is BindingState.BOUND
        for source in device.sources
    )


def _continued(stone: Tombstone, origin: SourceEvidence, devices: tuple[DeviceEvidence, ...]) -> bool:
    """Whether the same inventory device is still there, bound or not, sees as much, and speaks for itself."""
    return any(
        clears(source, stone.source_id, stone.seen_at, stone.scope)
        or (stone.app in source.apps and sees_at_least(source.scope, stone.scope))
        for device in devices
        for source in device.sources
        if (source.source_id, source.source_device) == (origin.source_id, origin.source_device)
    )


def _devices(record: PersonRecord, device_id: str) -> tuple[DeviceEvidence, ...]:
    if not device_id:
        return record.unbound
    device = record.devices.get(device_id)
    return (device,) if device else ()
