"""The judge beside the traffic: holds each relayed request, and each answer that a phone got, against the model.

What it measures is the time from the acknowledgement that made a refusal due to the last request relayed in spite of
it. Beyond the bound that is a violation, kept with what happened around it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappush, heapreplace

from tests.faults.model import Model

SLACK_SECONDS = 0.25
"""What the harness itself may add: its one event loop serves phones, agents and mail server."""
REMEMBERED = 400
STALEST = 20


@dataclass(slots=True)
class Judge:
    """Looks on."""

    model: Model
    bound_seconds: float = 2.0
    slack_seconds: float = SLACK_SECONDS
    longest_stale: float = 0.0
    crowd_until: float = 0.0
    """Until when everybody comes at once."""
    longest_after_crowd: float = 0.0
    stalest: list[tuple[float, str]] = field(default_factory=list)
    """The longest ones with what they were."""
    violations: list[str] = field(default_factory=list)
    around_first: list[str] = field(default_factory=list)
    """What happened before the first of them."""
    events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    now: Callable[[], float] = time.monotonic
    late: Callable[[], float] = lambda: 0.0
    """Seconds by which the harness itself is late at this moment."""

    def allowed(self) -> float:
        """Seconds after which an old answer is wrong, seen from here and now."""
        return self.bound_seconds + self.late()

    def note(self, text: str) -> None:
        """Something happened: it is printed beside a violation."""
        self.events.append((self.now(), text))

    def relayed(self, device: str, command: str, at: float | None = None) -> None:
        """A request of a device reached the mail server; ``at``: a moment ago, by ``now``'s clock."""
        self._hold(device, f"{command} of {device} was relayed", self.now() if at is None else at)

    def released(self, device: str, command: str) -> None:
        """A phone got an answer of the mail server's."""
        self._hold(device, f"the answer to {command} reached {device}", self.now())

    def _hold(self, device: str, what: str, now: float) -> None:
        due = self.model.refusal_due(device)
        if due is None:
            return
        stale = now - due
        self.longest_stale = max(self.longest_stale, stale)
        if now >= self.crowd_until:
            self.longest_after_crowd = max(self.longest_after_crowd, stale)
        if len(self.stalest) < STALEST or stale > self.stalest[0][0]:
            crowd = f", {now - self.crowd_until:+.1f} s from the end of the crowd" if self.crowd_until else ""
            (heappush if len(self.stalest) < STALEST else heapreplace)(self.stalest, (stale, what + crowd))
        if stale > (allowed := self.allowed()) + self.slack_seconds:
            self.violated(f"{what} {stale:.3f} s after a refusal was due (bound {allowed:.1f} s)")

    def violated(self, text: str) -> None:
        """Something is wrong."""
        self.note(f"VIOLATION: {text}")
        if not self.violations:
            self.around_first = self.around()
        self.violations.append(text)

    def begin(self, bound_seconds: float) -> None:
        """Another repetition."""
        self.bound_seconds, self.longest_stale, self.longest_after_crowd = bound_seconds, 0.0, 0.0
        self.stalest.clear()
        self.violations.clear()
        self.around_first = []

    def around(self, seconds: float = 6.0) -> list[str]:
        """The last events, as lines."""
        newest = self.now()
        return [f"{at - newest:8.3f} s  {text}" for at, text in self.events if at > newest - seconds]
