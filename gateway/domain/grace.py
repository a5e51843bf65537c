"""The grace of new devices: how long an unmatched or unreported one may go on.

Per user at most N new devices in 30 days have it, and none while any device of that user has an open hit under
enforcement; else inventing a DeviceId a day would be a way in.
"""

from gateway.domain.access import Protocol
from gateway.domain.bans import Flag
from gateway.domain.enforcement import flag_in_force
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.matching import BanIndex
from gateway.domain.policy import GRACE_WINDOW_SECONDS, PolicyVersion
from gateway.domain.posture import open_hits


def grace_until(
    device: DeviceEvidence,
    protocol: Protocol,
    record: PersonRecord,
    index: BanIndex,
    version: PolicyVersion,
    now: float,
) -> float:
    """When the device's grace ends; 0.0 where it has none."""
    grace = version.grace
    if grace.seconds <= 0 or not device.device_id:
        return 0.0
    first_seen_at = now if device.first_seen_at is None else device.first_seen_at
    earlier = sum(
        1
        for other in record.devices.values()
        if other.device_id != device.device_id
        and other.first_seen_at is not None
        and first_seen_at - GRACE_WINDOW_SECONDS < other.first_seen_at <= first_seen_at
    )
    if earlier >= grace.devices or _has_enforced_hit(record, protocol, index, now):
        return 0.0
    return first_seen_at + grace.seconds


def _has_enforced_hit(record: PersonRecord, protocol: Protocol, index: BanIndex, now: float) -> bool:
    return any(
        flag_in_force(hit.ban, record.person_id, record.groups, protocol, now).flag is Flag.ENFORCE
        for device in (*record.devices.values(), *record.unbound)
        for hit in open_hits(device, index)
    )
