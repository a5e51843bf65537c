"""What an asker's octets come to: one question with the way to write its answer, whatever protocol it came by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict

T = TypeVar("T", covariant=True)


class Whereabouts(NamedTuple):
    """By which names an asker knows whom it asks about, so that it can be told to end the session."""

    user: str = ""
    """The user's name as the asker spells it."""
    connection: str = ""
    """The client's address and port at the asker."""
    key: str = ""
    """Of the asker's own map."""


NOWHERE: Final = Whereabouts()


@dataclass(frozen=True, slots=True)
class Judged(Generic[T]):
    """The decision point is to be asked."""

    request: AccessRequest
    answer: Callable[[Verdict], T]
    where: Whereabouts = NOWHERE


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """The answer is known without a verdict."""

    answer: T
    outcome: str
    """A name for the metrics."""
    complaint: str = ""
    """What is wrong with the asker's configuration, with the remedy; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question of a connection."""

    asker: str
    """The kind of asker."""
    found: Judged[bytes] | Settled[bytes]
    last: bool = False
    """Whether the connection ends with the answer."""
    unread: bool = False
    """Whether octets of the question are still to come that nobody wants to read."""


class Speech(Protocol):
    """What is spoken on one connection."""

    @property
    def waiting(self) -> int:
        """Octets received and not understood yet."""
        ...

    def receive(self, octets: bytes) -> None:
        """More octets."""
        ...

    def next(self) -> Inquiry | None:
        """The next question; None: more octets are needed. Never raises. Nothing is asked for after a last one."""
        ...
