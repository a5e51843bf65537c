"""Which devices go on for being new: ``grace.grace_of`` for all devices at once."""

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Mask, Numbers, bitmap_of_sorted, numbers_of
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.moment import Moment
from gateway.domain.grace import DEVICES_NOTED
from gateway.domain.policy import NewDeviceGrace


def graced(moment: Moment, asking: BitMap, grace: NewDeviceGrace, enforced: BitMap, *, noted: bool) -> BitMap:
    """Those of the devices ``asking`` that have their grace.

    ``enforced``: the devices with an enforced ban's app; nobody who has one of them has a grace. ``noted``: a device
    that never asked before will be noted when it does, so it is new from now on.
    """
    fleet = moment.fleet
    if not noted and fleet.newest_first_seen_at + grace.seconds <= moment.now:
        return BitMap()
    numbers = numbers_of(asking & fleet.marked(Mark.MAIL))
    if not numbers.size:
        return BitMap()
    owners = fleet.devices.person[numbers]
    first = fleet.devices.first_seen_at[numbers]
    seen = ~np.isnan(first)
    granted = seen & (first + grace.seconds > moment.now) & (fleet.devices.earlier[numbers] < grace.devices)
    if noted and not seen.all():
        granted |= ~seen & _new_from_now_on(moment, numbers, owners, grace)
    if granted.any():
        granted &= ~fleet.people_of(enforced)[owners]
    return bitmap_of_sorted(numbers[granted])


def _new_from_now_on(moment: Moment, numbers: Numbers, owners: NDArray[np.int32], grace: NewDeviceGrace) -> Mask:
    fleet = moment.fleet
    few = fleet.people.seen[owners] < DEVICES_NOTED
    lately = moment.seen_lately[owners] < grace.devices
    by_credential = np.isin(numbers, numbers_of(fleet.marked(Mark.BY_CREDENTIAL)))
    allowed: Mask = few & lately & ~by_credential
    return allowed
