"""No notice arrives at night by the reader's clock, in the nights when clocks are changed too."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.quiet_hours import release_at


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "now", "released"),
    [
        ("Europe/Berlin", "2026-03-10T11:00", "2026-03-10T11:00"),
        ("Europe/Berlin", "2026-03-10T18:59", "2026-03-10T18:59"),
        ("Europe/Berlin", "2026-03-10T19:00", "2026-03-11T07:00"),
        # 23:30; in this night clocks go forward.
        ("Europe/Berlin", "2026-03-28T22:30", "2026-03-29T06:00"),
        # 01:30 for the second time.
        ("America/New_York", "2026-11-01T06:30", "2026-11-01T13:00"),
        ("Asia/Kolkata", "2026-06-01T00:00", "2026-06-01T02:30"),
        ("Pacific/Apia", "2026-06-01T10:00", "2026-06-01T19:00"),
    ],
)
def test_the_morning_of_the_reader(zone: str, now: str, released: str) -> None:
    assert release_at(at(now), ZoneInfo(zone)) == at(released)
