"""Freeze hours by the wall clock of their zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.freeze import freeze_span, opens_at

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = freeze_span("fri 16:00 - mon 07:00")
NIGHT = freeze_span("mon 06:00-mon 08:00")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-27T15:59", None),
        ("2026-11-27T16:00", "2026-11-30T08:00"),
        ("2026-11-29T23:59", "2026-11-30T08:00"),
        ("2026-11-30T07:30", "2026-11-30T08:00"),
        ("2026-11-30T08:00", None),
        # The night in which clocks go back is an hour longer.
        ("2026-10-24T12:00", "2026-10-26T08:00"),
    ],
)
def test_a_freeze_ends_when_the_last_of_its_spans_does(moment: str, opens: str | None) -> None:
    assert opens_at((WEEKEND, NIGHT), BERLIN, at(moment)) == (at(opens) if opens else None)


def test_without_spans_nothing_is_frozen() -> None:
    assert opens_at((), BERLIN, at("2026-11-28T12:00")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fri 16:00",
        "friday 16:00 - mon 07:00",
        "fri 24:00 - mon 07:00",
        "fri 16:60 - mon 07:00",
        "fri 16:00 - fri 16:00",
    ],
)
def test_what_is_no_span_is_told_so(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"no span of the week|begins where it ends"):
        freeze_span(text)
