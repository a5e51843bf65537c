"""How many notices leave together: a few first, to see what becomes of them, then more each time."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.notice import NoticeState


@dataclass(frozen=True, slots=True)
class Batches:
    """The sizes, and when the next one is not sent."""

    first: int = 20
    factor: float = 4.0
    largest: int = 5_000
    every_seconds: float = 300.0
    failures_percent: float = 10.0
    """More of the released ones undelivered than this: the mailing stops."""
    failures_at_least: int = 5


def batch_size(batches: Batches, number: int) -> int:
    """How many notices batch ``number`` (0: the first) has."""
    size = float(batches.first)
    for _ in range(number):
        size *= batches.factor
        if size >= batches.largest:
            return batches.largest
    return max(1, int(size))


def tried_of(states: Mapping[NoticeState, int]) -> tuple[int, int]:
    """How many notices have come to an end, and how many of these to a bad one."""
    bad = sum(states.get(state, 0) for state in (NoticeState.FAILED, NoticeState.BOUNCED, NoticeState.UNCERTAIN))
    return bad + states.get(NoticeState.SENT, 0), bad


def why_to_stop(batches: Batches, tried: int, bad: int) -> str:
    """Why no further batch should leave, in words; empty where nothing speaks against it."""
    if bad < batches.failures_at_least or bad * 100 <= batches.failures_percent * tried:
        return ""
    return (
        f"{bad} of {tried} notices were refused, came back or are uncertain (limit: {batches.failures_percent:g} % and "
        f"at least {batches.failures_at_least})"
    )


RETRY_SECONDS = (60.0, 300.0, 900.0, 1_800.0, 3_600.0)
"""After a temporary refusal; the last one again and again. Greylisting yields at the second or third (RFC 6647)."""


def retry_after(attempts: int, jitter: float = 0.0) -> float:
    """Seconds until the next attempt after ``attempts`` of them; ``jitter`` in 0..1 adds up to a tenth."""
    seconds = RETRY_SECONDS[min(max(attempts, 1), len(RETRY_SECONDS)) - 1]
    return seconds * (1 + jitter / 10)
