"""Who is let through by name at a moment: ``decide._exempted`` for all devices and people at once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Mask
from gateway.changes.impact.fleet import Fleet
from gateway.domain.policy import Exemption


@dataclass(frozen=True, slots=True)
class Exempt:
    """Those an exemption in force is about."""

    devices: BitMap
    """By themselves, or because their person is."""
    people: Mask
    """Where all devices of a person answer: an exemption of one device does not count then."""


def exempt_at(fleet: Fleet, exemptions: Iterable[Exemption], now: float) -> Exempt:
    """Who is exempt at ``now``."""
    devices, people = BitMap(), np.zeros(fleet.people_count, np.bool_)
    by_name: list[int] = []
    for exemption in exemptions:
        if not exemption.starts_at <= now < exemption.ends_at:
            continue
        if not exemption.login:
            devices |= fleet.groups.get(exemption.group, BitMap())
            people |= fleet.people_mask(fleet.members.get(exemption.group, BitMap()))
        elif exemption.device_id:
            device = fleet.device(exemption.login, exemption.device_id)
            devices.update(() if device is None else (device,))
        else:
            person = fleet.person_of_login(exemption.login)
            by_name += () if person is None else (person,)
    if by_name:
        people[by_name] = True
        devices |= fleet.devices_of(by_name)
    return Exempt(devices, people)
