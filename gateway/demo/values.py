"""What the story is made of: steps as they are told, and the one way in which it ends badly."""

from dataclasses import dataclass
from enum import StrEnum

DOMAIN = "demo.example"
"""Of everybody in the demo."""


class Who(StrEnum):
    """Who does what a step tells."""

    GATEWAY = "gateway"
    MAILBOX = "mailbox"
    PHONE = "phone"
    AGENT = "agent"
    """The inventory agent: a source that reports which apps are installed."""
    ADMIN = "admin"
    SECOND = "second"
    """The second person, who approves what another one proposes."""
    FLEET = "fleet"
    """The whole company: its people and their devices."""
    POST = "post"
    """The mail server that takes notices."""


class Tone(StrEnum):
    """What a step means for the person who waits for mail."""

    PLAIN = "plain"
    GOOD = "good"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has happened, as it was measured."""

    at: float
    """Seconds since the demo began."""
    who: Who
    name: str
    """Stable, for programs."""
    text: str
    seconds: float | None = None
    """What was measured, where the step is about a length of time."""
    tone: Tone = Tone.PLAIN


class DemoFailed(Exception):  # noqa: N818
    """Something did not come out as told; the text says what, in one sentence."""


def length(seconds: float) -> str:
    """A length of time for people, as exact as it is short."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
