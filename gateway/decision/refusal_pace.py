"""How often one device is refused, and how often that is written down.

A refused phone may come back many times a second. Beyond a burst its answers are held back, so that it costs little;
one line a minute says in the log how many there were. Bounded: invented devices push out the oldest entries only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

BURST = 20.0
PER_SECOND = 2.0
HELD_BACK_MOST_SECONDS = 10.0
LOG_EVERY_SECONDS = 60.0
REMEMBERED_MOST = 50_000


@dataclass(slots=True)
class _Pace:
    tokens: float
    at: float
    logged_at: float = float("-inf")
    unlogged: int = 0
    reason: str = ""


class RefusalPace:
    """Token buckets by (login, DeviceId); one per process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._paces: dict[tuple[str, str], _Pace] = {}

    def delay(self, login: str, device_id: str) -> float:
        """Seconds to hold the answer back; 0 within the burst."""
        pace, now = self._pace(login, device_id), self._now()
        pace.tokens = min(BURST, pace.tokens + (now - pace.at) * PER_SECOND) - 1.0
        pace.at = now
        return 0.0 if pace.tokens >= 0 else min(HELD_BACK_MOST_SECONDS, -pace.tokens / PER_SECOND)

    def lines_due(self, login: str, device_id: str, reason: str) -> int:
        """How many refusals a log line written now stands for; 0: none is due."""
        pace, now = self._pace(login, device_id), self._now()
        pace.unlogged += 1
        if reason == pace.reason and now - pace.logged_at < LOG_EVERY_SECONDS:
            return 0
        count, pace.unlogged, pace.logged_at, pace.reason = pace.unlogged, 0, now, reason
        return count

    def _pace(self, login: str, device_id: str) -> _Pace:
        key = (login, device_id)
        pace = self._paces.get(key)
        if pace is None:
            if len(self._paces) >= REMEMBERED_MOST:
                del self._paces[next(iter(self._paces))]
            pace = self._paces[key] = _Pace(BURST, self._now())
        return pace
