"""Values as people write them on a command line: lengths of time and moments."""

from datetime import UTC, datetime, timedelta

import typer

from gateway.changes import lengths
from gateway.domain.errors import InvalidValue


def seconds_of(text: str) -> float:
    """``90s``, ``30m``, ``12h``, ``2d``, ``1w`` in seconds."""
    try:
        return lengths.seconds_of(text)
    except InvalidValue as error:
        raise typer.BadParameter(str(error)) from None


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
