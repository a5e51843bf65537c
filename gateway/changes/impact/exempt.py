"""Who is let through by name at a moment: ``decide._exempted`` for all devices and people at once.

Names become numbers once for a fleet; each moment is then a comparison of two columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Floats, Mask, bitmap_of_sorted
from gateway.changes.impact.fleet import EMPTY, Fleet
from gateway.domain.policy import Exemption


@dataclass(frozen=True, slots=True)
class Exempt:
    """Those an exemption in force is about."""

    devices: BitMap
    """By themselves, or because their person is."""
    people: Mask
    """Where all devices of a person answer: an exemption of one device does not count then."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """Numbers of people or devices, each with the time for which it is exempt."""

    numbers: NDArray[np.int64]
    starts_at: Floats
    ends_at: Floats

    @classmethod
    def of(cls, places: Sequence[tuple[int, Exemption]]) -> "_Placed":
        return cls(
            np.array([number for number, _ in places], np.int64),
            np.array([exemption.starts_at for _, exemption in places], np.float64),
            np.array([exemption.ends_at for _, exemption in places], np.float64),
        )

    def at(self, now: float) -> NDArray[np.int64]:
        """Those of the numbers that are exempt at ``now``."""
        found: NDArray[np.int64] = self.numbers[(self.starts_at <= now) & (now < self.ends_at)]
        return found


class Exemptions:
    """The exemptions of a policy version on a fleet."""

    def __init__(self, fleet: Fleet, exemptions: Iterable[Exemption]) -> None:
        self._fleet = fleet
        people, devices = [], []
        # The dictionary may be newer than the fleet: who came later is in no column of it.
        number_of, known = fleet.logins.get, fleet.people_count
        self._groups = []
        for exemption in exemptions:
            if not exemption.login:
                self._groups.append(exemption)
            elif exemption.device_id:
                device = fleet.device(exemption.login, exemption.device_id)
                devices += [] if device is None else [(device, exemption)]
            elif (person := number_of(exemption.login, known)) < known:
                people.append((person, exemption))
        self._people, self._devices = _Placed.of(people), _Placed.of(devices)

    def at(self, now: float) -> Exempt:
        """Who is exempt at ``now``."""
        fleet = self._fleet
        by_name = self._people.at(now)
        people = np.zeros(fleet.people_count, np.bool_)
        people[by_name] = True
        devices = fleet.devices_of(by_name)
        devices |= bitmap_of_sorted(np.unique(self._devices.at(now)).astype(np.uint32))
        for group in {each.group for each in self._groups if each.starts_at <= now < each.ends_at}:
            devices |= fleet.groups.get(group, EMPTY)
            people |= fleet.people_mask(fleet.members.get(group, EMPTY))
        return Exempt(devices, people)
