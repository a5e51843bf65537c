"""Who is connected at this moment, as far as it concerns a preview: which sessions a change would end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.bitmaps import mask_of
from gateway.changes.impact.fleet import Fleet
from gateway.domain.access import Protocol

Places = NDArray[np.int64]


class LiveKey(NamedTuple):
    """One session. ``device_id`` is canonical; empty: all devices of the user answer for it."""

    login: str
    device_id: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Live:
    """Sessions by the numbers of a fleet; a device with three sessions stands there three times."""

    devices: Mapping[Protocol, Places]
    people: Mapping[Protocol, Places]
    not_placed: int
    """Sessions of people or devices that the fleet does not know (yet)."""


@dataclass(frozen=True, slots=True)
class SessionsEnded:
    """What a change does to those who are connected."""

    by_protocol: dict[Protocol, int] = field(default_factory=dict)
    not_placed: int = 0

    @property
    def total(self) -> int:
        """All that would end."""
        return sum(self.by_protocol.values())


def live_on(fleet: Fleet, sessions: Iterable[LiveKey]) -> Live:
    """The sessions by the numbers of ``fleet``; about a microsecond each."""
    devices: dict[Protocol, list[int]] = {}
    people: dict[Protocol, list[int]] = {}
    not_placed = 0
    for login, device_id, protocol in sessions:
        place = fleet.device(login, device_id) if device_id else fleet.person_of_login(login)
        if place is None:
            not_placed += 1
        else:
            (devices if device_id else people).setdefault(protocol, []).append(place)
    return Live(_arrays(devices), _arrays(people), not_placed)


def _arrays(places: Mapping[Protocol, list[int]]) -> dict[Protocol, Places]:
    return {protocol: np.array(each, np.int64) for protocol, each in places.items()}


def ended(live: Live, before: Evaluation, after: Evaluation) -> SessionsEnded:
    """The sessions that are let on ``before`` and refused ``after``."""
    found: Counter[Protocol] = Counter()
    fleet = after.fleet
    for protocol, places in live.devices.items():
        turned = mask_of(after.refused(protocol) - before.refused(protocol), fleet.device_count)
        found[protocol] += int(turned[places].sum())
    for protocol, places in live.people.items():
        turned = after.refused_people(protocol) & ~before.refused_people(protocol)
        found[protocol] += int(turned[places].sum())
    return SessionsEnded({protocol: number for protocol, number in found.items() if number}, live.not_placed)
