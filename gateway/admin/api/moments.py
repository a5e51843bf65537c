"""Moments at the edge: RFC 3339 in UTC outside, epoch seconds inside."""

import math
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

FIRST_YEAR = 1971


def shown(at: float | None) -> datetime | None:
    """A moment for an answer; None for never, too."""
    if at is None or not math.isfinite(at) or not 0 <= at < 253_402_300_800:
        return None
    return datetime.fromtimestamp(at, UTC)


def surely_shown(at: float) -> datetime:
    """A moment that is there; the beginning of time where it makes no sense."""
    return shown(at) or datetime.fromtimestamp(0, UTC)


def epoch(at: datetime | None) -> float | None:
    """A moment from a request."""
    return None if at is None else at.timestamp()


def _in_utc(at: datetime) -> datetime:
    try:
        if at.year >= FIRST_YEAR:
            return at.astimezone(UTC)
    except OverflowError:
        # At its end the calendar has no other zone.
        pass
    raise ValueError(f"a moment lies in the years {FIRST_YEAR} to 9999")


GivenMoment = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    Field(examples=["2026-01-31T08:00:00Z"], description="RFC 3339, with a time zone"),
]
