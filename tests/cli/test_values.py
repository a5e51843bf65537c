"""Lengths of time and moments as people write them."""

from datetime import UTC, datetime

import pytest
import typer

from gateway.cli.values import moment_in, moment_of, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), (" 2d ", 172800), ("1w", 604800), ("1.5h", 5400)]
)
def test_lengths(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "d", "-2d", "2 days", "1e9d", "2d3h", "9999999d", "²d"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 30m"):
        seconds_of(text)


def test_a_length_from_now() -> None:
    ahead = datetime.fromisoformat(moment_in("2h")) - datetime.now(UTC)
    assert 7100 < ahead.total_seconds() <= 7200


def test_moments() -> None:
    assert moment_of("2026-01-31T08:00+01:00") == "2026-01-31T07:00:00+00:00"
    local = datetime.fromisoformat("2026-01-31T00:00").astimezone(UTC).isoformat()
    assert moment_of("2026-01-31") == local


@pytest.mark.parametrize("text", ["", "tomorrow", "31.1.2026", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-01-31"):
        moment_of(text)
