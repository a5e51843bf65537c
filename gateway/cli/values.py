"""Values as people write them on a command line: lengths of time and moments."""

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds_of(text: str) -> float:
    """``90s``, ``30m``, ``12h``, ``2d``, ``1w`` in seconds."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])", text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no length of time: write 30m, 12h, 2d or 1w")
    return float(found[1]) * _UNITS[found[2]]


def moment_of(text: str) -> str:
    """A date or a time in RFC 3339 with its zone; without a zone the machine's own is meant."""
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment: write 2026-01-31 or 2026-01-31T08:00+01:00") from None
    return given.astimezone(UTC).isoformat()


def moment_in(text: str) -> str:
    """The moment that lies a length of time ahead."""
    return (datetime.now(UTC) + timedelta(seconds=seconds_of(text))).isoformat()
