"""What of a device's evidence the index keeps, so that no later question needs the evidence itself.

A hit is open until newer evidence that does not hold an app *of the same ban* clears it (``domain.posture``), so which
hits are open depends on the ban. For nearly every device it can be said without it: where clearing is transitive, a
ban has an open hit exactly if it matches an app of a source that no other clears, or of a tombstone that none clears.
(A hit that a source clears which holds an app of the ban itself leaves that one open, and so on up to a source that
none clears.) The few devices where it is not transitive are kept whole and judged by ``open_hits``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf, nan

from gateway.domain.credential import DEVICE_PREFIX
from gateway.domain.evidence import BindingState, DeviceEvidence, SourceEvidence
from gateway.domain.inventory import App, Naming, Ownership, Platform, Scope
from gateway.domain.posture import clears, expires_at


class Mark(IntEnum):
    """What holds of a device or does not; a bitmap each."""

    MAIL = 0
    """It has a DeviceId, so it may ask for mail; else it is an inventory device that counts for its user only."""
    BY_CREDENTIAL = 1
    """Its id is that of a device credential: ActiveSync never names it."""
    CREDENTIAL = 2
    """A device credential that is good now stands for it: every protocol can name it."""
    UNMATCHED = 3
    CONFLICT = 4
    MISSING = 5
    """Some of its evidence rests on no full list, or there is none. Counts while the evidence does not suffice."""
    SCOPE = 6
    """Some of its evidence sees too little. Counts while the evidence does not suffice."""
    COMPROMISED = 7
    NOT_COMPLIANT = 8
    EVIDENCE = 9
    """It has sources or tombstones."""
    OUTLOOK = 10
    """It says that it is Outlook for iOS or Android (domain.question)."""
    STRANGER = 11
    """Its user is no known person."""
    WHOLE = 12
    """Its evidence is kept whole: see above."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One device."""

    marks: frozenset[Mark]
    apps: frozenset[App]
    """Whoever bans one of these has an open hit; empty for those kept whole."""
    sufficient_until: float
    """From this moment on the evidence does not suffice; −inf: it never did."""
    stale_from: float
    """From this moment on some of the evidence is stale; inf: none ever will be."""
    first_seen_at: float
    """nan: it never asked."""
    platform: Platform | None
    ownership: Ownership
    sources: frozenset[str]
    lists: Mapping[str, tuple[float, float]]
    """The two moments above by source, where there are several; else empty."""
    whole: DeviceEvidence | None = None


def row_of(device: DeviceEvidence) -> EvidenceRow:
    """What is kept of a device's evidence."""
    marks = set(_plain_marks(device))
    sufficient_until, stale_from = _times(device)
    if device.binding is not BindingState.UNMATCHED:
        marks |= _shortfalls(device)
    apps = _open_apps(device)
    if apps is None:
        marks.add(Mark.WHOLE)
    return EvidenceRow(
        frozenset(marks),
        apps or frozenset(),
        sufficient_until,
        stale_from,
        nan if device.first_seen_at is None or not device.device_id else device.first_seen_at,
        device.platform,
        device.ownership,
        frozenset(source.source_id for source in device.sources),
        _times_by_source(device),
        device if apps is None else None,
    )


def _plain_marks(device: DeviceEvidence) -> Iterable[Mark]:
    if device.device_id:
        yield Mark.MAIL
    if device.device_id.startswith(DEVICE_PREFIX):
        yield Mark.BY_CREDENTIAL
    if device.binding is BindingState.UNMATCHED:
        yield Mark.UNMATCHED
    if device.binding is BindingState.CONFLICT:
        yield Mark.CONFLICT
    if any(source.compromised for source in device.sources):
        yield Mark.COMPROMISED
    if any(source.compliant is False for source in device.sources):
        yield Mark.NOT_COMPLIANT
    if device.sources or device.tombstones:
        yield Mark.EVIDENCE


def _is_missing(source: SourceEvidence) -> bool:
    return source.full_at is None or source.suspicious


def _sees_too_little(source: SourceEvidence) -> bool:
    return source.scope is not Scope.DEVICE or source.naming is not Naming.IDENTIFIER


def _shortfalls(device: DeviceEvidence) -> set[Mark]:
    """What time does not change of ``posture.sufficiency``."""
    marks = set()
    if any(map(_is_missing, device.sources)):
        marks.add(Mark.MISSING)
    if any(map(_sees_too_little, device.sources)):
        marks.add(Mark.SCOPE)
    if not device.sources and device.binding is BindingState.BOUND:
        marks.add(Mark.MISSING)
    return marks


def _times(device: DeviceEvidence) -> tuple[float, float]:
    if device.binding is BindingState.UNMATCHED:
        return -inf, inf
    return _times_of(device, device.sources)


def _times_by_source(device: DeviceEvidence) -> Mapping[str, tuple[float, float]]:
    names = {source.source_id for source in device.sources}
    if len(names) < 2 or device.binding is BindingState.UNMATCHED:
        return {}
    return {name: _times_of(device, [each for each in device.sources if each.source_id == name]) for name in names}


def _times_of(device: DeviceEvidence, sources: Sequence[SourceEvidence]) -> tuple[float, float]:
    stale_from = min(map(expires_at, sources), default=inf)
    if device.binding is BindingState.CONFLICT:
        return -inf, stale_from
    good = (expires_at(each) for each in sources if not _is_missing(each) and not _sees_too_little(each))
    return max(good, default=-inf), stale_from


def _open_apps(device: DeviceEvidence) -> frozenset[App] | None:
    """The apps whose ban has an open hit; None where that depends on the ban."""
    sources, stones = device.sources, device.tombstones
    if device.binding is not BindingState.BOUND or (len(sources) <= 1 and not stones):
        # Nothing clears anything here.
        return frozenset((*(app for source in sources for app in source.apps), *(stone.app for stone in stones)))
    sightings = [
        *((source.source_id, source.generated_at, source.scope) for source in sources),
        *((stone.source_id, stone.seen_at, stone.scope) for stone in stones),
    ]
    clearing = [
        frozenset(by for by, source in enumerate(sources) if by != seen and clears(source, *sighting))
        for seen, sighting in enumerate(sightings)
    ]
    if not _transitive(clearing):
        return None
    found = [app for source, by in zip(sources, clearing, strict=False) if not by for app in source.apps]
    found += [stone.app for stone, by in zip(stones, clearing[len(sources) :], strict=True) if not by]
    return frozenset(found)


def _transitive(clearing: list[frozenset[int]]) -> bool:
    """Whether everybody who clears a source also clears what that source clears (so no circle either)."""
    return all(clearing[by] <= cleared for cleared in clearing for by in cleared)
