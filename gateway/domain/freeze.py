"""Freeze hours: spans of the week in which nobody enforces more without a second person.

A span is written like ``fri 16:00 - mon 07:00`` in one time zone, and may run over the end of the week. Several are
strict together: it is open only when none holds. Lessening enforcement is never frozen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from gateway.domain.errors import InvalidValue

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = 7 * 1440
_SPAN = re.compile(r"(\w{3}) (\d\d):(\d\d) ?- ?(\w{3}) (\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FreezeSpan:
    """Minutes of the week, Monday 00:00 being 0; from ``begin`` up to, not including, ``end``."""

    begin: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether that minute of the week lies in the span."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


def freeze_span(text: str) -> FreezeSpan:
    """The span that is written so. Raises ``InvalidValue``."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidValue(f"{text!r} is no span of the week: write it like fri 16:00 - mon 07:00")
    day, hour, minute, *last = found.groups()
    span = FreezeSpan(_minute(text, day, hour, minute), _minute(text, *last))
    if span.begin == span.end:
        raise InvalidValue(f"{text!r} begins where it ends: give two different moments")
    return span


def _minute(text: str, day: str, hour: str, minute: str) -> int:
    if day not in DAYS or int(hour) > 23 or int(minute) > 59:
        raise InvalidValue(f"{text!r} is no span of the week: days are {', '.join(DAYS)}, hours 00:00 to 23:59")
    return DAYS.index(day) * 1440 + int(hour) * 60 + int(minute)


def opens_at(spans: Sequence[FreezeSpan], zone: tzinfo, now: float) -> float | None:
    """When the freeze that holds now ends, in epoch seconds; None when there is none, or none ever ends."""
    if not any(span.holds(_minute_of_week(now, zone)) for span in spans):
        return None
    # By the wall clock of the zone: a change of its offset moves the end with it.
    for ahead in range(1, _WEEK + 1):
        moment = (now // 60 + ahead) * 60
        if not any(span.holds(_minute_of_week(moment, zone)) for span in spans):
            return moment
    return now + timedelta(days=7).total_seconds()


def _minute_of_week(at: float, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(at, UTC).astimezone(zone)
    return local.weekday() * 1440 + local.hour * 60 + local.minute
