"""What a preview says, in numbers; the sets behind them stay at hand for pages of names."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyroaring import BitMap

from gateway.changes.impact.ahead import Later
from gateway.changes.impact.fleet import UNBOUND, Fleet, first_numbers
from gateway.changes.impact.live import SessionsEnded
from gateway.domain.access import Protocol
from gateway.domain.verdict import Cause, Reason

LARGEST_GROUPS = 10


@dataclass(frozen=True, slots=True)
class Tally:
    """Devices of one group, platform, source or ownership. A device in two groups is counted in both."""

    name: str
    """Empty: no platform is known."""
    devices: int
    cut: int
    admitted: int
    unjudged: int
    """Let through although nobody can judge them."""


@dataclass(frozen=True, slots=True)
class ProtocolTally:
    """What changes by one protocol."""

    cut: int
    """Devices that the protocol can name."""
    admitted: int
    people_cut: int
    """People, where all of their devices answer."""
    people_admitted: int


@dataclass(frozen=True, slots=True)
class NamedSet:
    """People whom an operator wants to see by themselves: a group of VIPs, the operators, the author."""

    name: str
    logins: tuple[str, ...] = ()
    """Canonical."""
    group: str = ""


@dataclass(frozen=True, slots=True)
class NamedCut:
    """What becomes of a named set."""

    name: str
    people: int
    """Those of them whom the fleet knows."""
    cut: tuple[str, ...]
    """The first of those with a device that is newly cut, by person id."""
    people_cut: int


@dataclass(frozen=True, slots=True)
class Sets:
    """The devices behind the numbers, on the fleet that they were counted on."""

    fleet: Fleet
    cut: BitMap
    admitted: BitMap
    unjudged: BitMap
    refused: BitMap
    """All that have no mail by some protocol afterwards."""


@dataclass(frozen=True, slots=True)
class Impact:
    """What putting one policy version in the place of another does to the whole fleet, at one moment."""

    incarnation: str
    sequence: int
    """Of the change log: the fleet that was looked at."""
    at: float
    """Epoch seconds."""
    digest: str
    """What an approval is for (``digest``)."""
    devices: int
    """Mail devices that some protocol can name."""
    people: int
    cut: int
    """Devices that lose mail by some protocol."""
    admitted: int
    unchanged: int
    refused_before: int
    refused_after: int
    exempt: int
    """Let through afterwards by an exemption or the global switch only."""
    dirty: int
    """With a banned app afterwards, whatever its flag."""
    unjudged: int
    """Let through afterwards although nobody can judge them."""
    unjudged_by_cause: Mapping[Cause, int]
    people_cut: int
    """With a device that is newly cut."""
    people_cut_off: int
    """Those of them whose last device it is: none has mail any more."""
    people_admitted: int
    by_protocol: Mapping[Protocol, ProtocolTally]
    by_reason: Mapping[Reason, int]
    """Newly cut devices by the reason they will be told."""
    by_ban: Mapping[str, int]
    """Newly cut devices by each ban that is enforced for them; one may stand under several."""
    groups: tuple[Tally, ...]
    """Most cut first; those in which nothing changes are left out."""
    platforms: tuple[Tally, ...]
    ownerships: tuple[Tally, ...]
    sources: tuple[Tally, ...]
    later: tuple[Later, ...]
    sessions: SessionsEnded
    named: tuple[NamedCut, ...]
    sets: Sets
    cut_by_name: int = 0
    """People of whom no device is newly cut, and who lose mail where all their devices answer for a login."""
    admitted_by_name: int = 0

    @property
    def share_cut(self) -> float:
        """Of all devices, 0 to 1."""
        return self.cut / self.devices if self.devices else 0.0

    @property
    def largest_groups(self) -> tuple[Tally, ...]:
        """The ten with most devices cut."""
        return tuple(each for each in self.groups[:LARGEST_GROUPS] if each.cut)


@dataclass(frozen=True, slots=True)
class NamedDevice:
    """One device of a page."""

    number: int
    person_id: str
    device_id: str
    """Empty: an inventory device without a mail device."""


def page_of(fleet: Fleet, devices: BitMap, after: int = -1, limit: int = 50) -> tuple[NamedDevice, ...]:
    """The first devices above the number ``after``, in the order in which the fleet came to know them.

    Names are personal: whoever shows them asks for a role and a reason first.
    """
    return tuple(
        NamedDevice(number, fleet.person_ids[fleet.devices.person[number]], _shown(fleet.device_ids[number]))
        for number in first_numbers(devices, after, limit)
    )


def _shown(name: str) -> str:
    return "" if name.startswith(UNBOUND) else name
