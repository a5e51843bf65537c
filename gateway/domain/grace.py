"""The grace of new devices: how long an unmatched or unreported one may go on.

Per user at most N new devices in 30 days have it, and none while any device of that user has an open hit under
enforcement; else inventing a DeviceId a day would be a way in.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.domain.access import Protocol
from gateway.domain.bans import Flag
from gateway.domain.certificate import UNKNOWN_PREFIX
from gateway.domain.credential import DEVICE_PREFIX
from gateway.domain.enforcement import FlagInForce, flag_in_force
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.matching import BanIndex
from gateway.domain.policy import GRACE_WINDOW_SECONDS, PolicyVersion
from gateway.domain.posture import open_hits
from gateway.domain.verdict import FOREVER

DEVICES_NOTED = 200
"""Mail devices of one person that are written down; a person with more invents them."""


@dataclass(frozen=True, slots=True)
class Grace:
    """Whether a device has its grace now, and until when that answer holds."""

    granted: bool
    valid_until: float = FOREVER


def grace_of(
    device: DeviceEvidence,
    protocol: Protocol,
    record: PersonRecord,
    index: BanIndex,
    version: PolicyVersion,
    now: float,
) -> Grace:
    """Whether ``device`` may go on for being new; one that never asked before is new from ``now`` on."""
    grace = version.grace
    if not device.device_id or (device.first_seen_at is None and not _is_noted(device.device_id, protocol)):
        return Grace(False)
    first_seen_at = now if device.first_seen_at is None else device.first_seen_at
    ends_at = first_seen_at + grace.seconds
    if ends_at <= now:
        return Grace(False)
    others = [each for each in _first_seen(record) if each[0] != device.device_id]
    if device.first_seen_at is None and len(others) >= DEVICES_NOTED:
        # It will not be written down, and would be new at each request.
        return Grace(False)
    earlier = sum(1 for _, at in others if at <= first_seen_at < at + GRACE_WINDOW_SECONDS)
    flags = list(_flags_of_hits(record, protocol, index, now))
    granted = earlier < grace.devices and not any(each.flag is Flag.ENFORCE for each in flags)
    turns = [ends_at, *(each.valid_until for each in flags)]
    if device.first_seen_at is None:
        turns += (turn for _, at in others for turn in (at, at + GRACE_WINDOW_SECONDS))
    return Grace(granted, min(turn for turn in turns if turn > now))


def _is_noted(device_id: str, protocol: Protocol) -> bool:
    """Whether a device that asks is written down; one that never is would be new at each request."""
    return protocol is Protocol.ACTIVESYNC and not device_id.startswith((DEVICE_PREFIX, UNKNOWN_PREFIX))


def _first_seen(record: PersonRecord) -> Iterator[tuple[str, float]]:
    for device in record.devices.values():
        if device.first_seen_at is not None:
            yield device.device_id, device.first_seen_at


def _flags_of_hits(record: PersonRecord, protocol: Protocol, index: BanIndex, now: float) -> Iterator[FlagInForce]:
    for device in (*record.devices.values(), *record.unbound):
        for hit in open_hits(device, index):
            yield flag_in_force(hit.ban, record.person_id, record.groups, protocol, now)
