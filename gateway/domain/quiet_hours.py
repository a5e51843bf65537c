"""Quiet hours: when a reader is not to be woken by a notice.

The moment is turned into the reader's zone when the notice is released, and the morning of that zone back into UTC;
hours are never added to a local time, which would be wrong in the nights when clocks are changed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Daytime:
    """When notices may arrive, by the reader's clock."""

    begins: time = time(8)
    ends: time = time(20)
    """Later than ``begins``; from this moment on it is quiet."""


def release_at(now: float, zone: tzinfo, daytime: Daytime = Daytime()) -> float:
    """``now`` where it is day for the reader, else the next morning; epoch seconds."""
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if daytime.begins <= local.time() < daytime.ends:
        return now
    day = local.date() if local.time() < daytime.begins else local.date() + timedelta(days=1)
    return max(now, datetime.combine(day, daytime.begins, tzinfo=zone).timestamp())
