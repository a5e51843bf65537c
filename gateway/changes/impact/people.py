"""Whose devices they are that a preview found: from their keys back to people, for a whole fleet at once."""

from collections.abc import Collection

import numpy as np

from gateway.changes.impact.fleet import NOBODY, Fleet


def people_with(fleet: Fleet, keys: Collection[int]) -> list[str]:
    """The ids of everybody who has a device with one of these keys, ascending; keys of devices that are gone are not.

    It only reads the fleet and takes some tens of milliseconds for a million devices.
    """
    wanted = np.fromiter(keys, np.uint64, len(keys))
    owners = fleet.devices.person[np.isin(fleet.devices.key, wanted)]
    return sorted(fleet.person_ids[number] for number in np.unique(owners[owners != NOBODY]).tolist())
