"""Who has an enforced ban's app (``enforcement.flag_in_force`` for all devices at once), and who is exempt.

What was found for one policy or moment serves the next, as far as they have the same bans and exemptions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Floats, Hashes, bitmap_of_sorted, numbers_of
from gateway.changes.impact.exempt import Exemptions
from gateway.changes.impact.fleet import EMPTY, Fleet
from gateway.changes.impact.terms import BanTerms
from gateway.domain.bans import Ban
from gateway.domain.enforcement import LAST_PLACE, mixed
from gateway.domain.policy import Policy
from gateway.domain.posture import open_hits


class Hits:
    """Of some policies on one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._holders: dict[tuple[int, ...], BitMap] = {}
        self._enforced: dict[tuple[BanTerms, tuple[int, ...]], BitMap] = {}
        self._whole: dict[int, Mapping[str, BitMap]] = {}
        self._exemptions: dict[int, Exemptions] = {}
        self._kept: list[object] = []
        """What the numbers above are the addresses of: as long as it is here, they stand for nothing else."""

    def of_bans(self, bans: Sequence[Ban], policy: Policy) -> BitMap:
        """The devices on which one of the policy's bans has an open hit, whatever its flag."""
        key = tuple(map(id, bans))
        found = self._holders.get(key)
        if found is None:
            self._kept += bans
            found = self._holders[key] = self._fleet.holders(bans, self._of_whole(policy))
        return found

    def enforced(self, terms: BanTerms, bans: Sequence[Ban], policy: Policy) -> BitMap:
        """The devices for which one of the bans, all of these terms, is enforced."""
        key = terms, tuple(map(id, bans))
        found = self._enforced.get(key)
        if found is None:
            found = self._enforced[key] = self._select(terms, self.of_bans(bans, policy))
        return found

    def exemptions(self, policy: Policy) -> Exemptions:
        """The policy's exemptions on the fleet."""
        listed = policy.version.exemptions
        found = self._exemptions.get(id(listed))
        if found is None:
            self._kept.append(listed)
            found = self._exemptions[id(listed)] = Exemptions(self._fleet, listed)
        return found

    def _of_whole(self, policy: Policy) -> Mapping[str, BitMap]:
        """Devices kept whole, by the names of the bans that have an open hit on them."""
        found = self._whole.get(id(policy))
        if found is None:
            self._kept.append(policy)
            by_ban: dict[str, BitMap] = {}
            for device, evidence in self._fleet.whole.items():
                for hit in open_hits(evidence, policy.index):
                    by_ban.setdefault(hit.ban.name, BitMap()).add(device)
            found = self._whole[id(policy)] = by_ban
        return found

    def _select(self, terms: BanTerms, holders: BitMap) -> BitMap:
        left = holders
        if terms.groups:
            left = holders & BitMap.union(*(self._fleet.groups.get(group, EMPTY) for group in terms.groups))
        if not terms.steps:
            return left
        enforced = BitMap()
        for step in terms.steps:
            chosen = left & self._fleet.groups.get(step.group, EMPTY) if step.group else left
            if step.percent is not None:
                chosen = self._share(chosen, terms.seed, step.percent)
            if step.enforces:
                enforced |= chosen
            left = left - chosen
        return enforced | left if terms.others else enforced

    def _share(self, devices: BitMap, seed: int, percent: float) -> BitMap:
        numbers = numbers_of(devices)
        places = places_of(self._fleet.people.hash[self._fleet.devices.person[numbers]], seed)
        return bitmap_of_sorted(numbers[places < percent])


_ALL_BITS = 0xFFFFFFFFFFFFFFFF


def places_of(hashes: Hashes, seed: int) -> Floats:
    """``enforcement.share_of`` for many people, by their ``person_hash``."""
    bits = (hashes ^ np.uint64(mixed(seed & _ALL_BITS))) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    places: Floats = np.minimum(bits.astype(np.float64) / 2.0**64 * 100.0, LAST_PLACE)
    return places
