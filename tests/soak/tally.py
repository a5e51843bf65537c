"""What the clients of a soak have seen: latencies since the last sample, answers by kind, what should not have been."""

from collections import Counter
from dataclasses import dataclass, field

KEPT = 50


@dataclass(slots=True)
class Tally:
    """Of all clients together."""

    latencies: list[float] = field(default_factory=list)
    """Seconds of short requests that were answered since the last sample."""
    answers: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    wrong: int = 0
    lag: float = 0.0
    """Seconds that the clients' own event loop was late at most, in the last ten."""
    texts: list[str] = field(default_factory=list)
    """The first of both, in words."""

    def answered(self, kind: str, seconds: float | None = None) -> None:
        """An answer as it should be; ``seconds`` for those whose time counts."""
        self.answers[kind] += 1
        if seconds is not None:
            self.latencies.append(seconds)

    def error(self, text: str) -> None:
        """Something broke that should not."""
        self.errors += 1
        self._keep(f"error: {text}")

    def wrong_answer(self, text: str) -> None:
        """A phone had what it must not have, or had not what it must."""
        self.wrong += 1
        self._keep(f"wrong: {text}")

    def _keep(self, text: str) -> None:
        if len(self.texts) < KEPT:
            self.texts.append(text)
