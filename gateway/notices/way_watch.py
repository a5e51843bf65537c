"""Whether the mail server takes notices at all: since when it is tried in vain, and an alarm when that is long.

A server that hangs, is away, or puts everything off looks the same to readers: nothing arrives. No notice alone would
say so, since each merely waits for its next attempt.
"""

from collections.abc import Callable

import structlog

from gateway.ports.notices import Attempt, Outcome

log = structlog.get_logger()

AGAIN_SECONDS = 3_600.0
"""Between two alarms of the same trouble."""


class WayWatch:
    """One beside each outbox. Times in seconds."""

    def __init__(self, now: Callable[[], float], alarm_seconds: float) -> None:
        self._now = now
        self._alarm_seconds = alarm_seconds
        self._since: float | None = None
        self._alarm_at = 0.0
        self._words = ""

    @property
    def in_vain(self) -> bool:
        """Whether something has been tried since a notice was taken for the last time."""
        return self._since is not None

    @property
    def in_vain_seconds(self) -> float:
        """For how long attempts are made and none is taken; 0: the last one was, or nothing is to be sent."""
        return 0.0 if self._since is None else max(0.0, self._now() - self._since)

    @property
    def trouble(self) -> str:
        """A sentence once it is long; else empty."""
        if self._since is None or self.in_vain_seconds < self._alarm_seconds:
            return ""
        minutes = int(self.in_vain_seconds // 60)
        return (
            f"the mail server has taken no notice for {minutes} minutes, though it is tried: "
            f"{self._words or 'it does not answer'}; gatepost check tries the way"
        )

    def begun(self) -> None:
        """An attempt begins."""
        if self._since is None:
            self._since = self._now()
            self._alarm_at = self._since + self._alarm_seconds
            self._words = ""

    def ended(self, attempt: Attempt) -> None:
        """And ends. A recipient who is refused for good shows that the server works, as a notice that is taken does."""
        if attempt.outcome in (Outcome.ACCEPTED, Outcome.REFUSED):
            self._over()
        elif attempt.outcome is not Outcome.NOT_SENT:
            self._words = attempt.public

    def nothing_waits(self) -> None:
        """Everything was taken back, or its time is over: there is nothing to wait for."""
        self._over()

    def look(self) -> None:
        """Alarm where it is time."""
        if self._since is not None and self._now() >= self._alarm_at:
            self._alarm_at = self._now() + AGAIN_SECONDS
            log.error("notices_in_vain", seconds=round(self.in_vain_seconds), reason=self._words or "no answer")

    def _over(self) -> None:
        if self.trouble:
            log.info("notices_go_on", seconds=round(self.in_vain_seconds))
        self._since = None
