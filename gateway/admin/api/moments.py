"""Moments at the edge: RFC 3339 in UTC outside, epoch seconds inside."""

import math
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field


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
    return at.astimezone(UTC)


GivenMoment = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    Field(examples=["2026-01-31T08:00:00Z"], description="RFC 3339, with a time zone"),
]
