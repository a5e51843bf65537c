"""The states of an exchange that is judged."""

from enum import Enum, auto


class State(Enum):
    """Where an exchange stands."""

    HELD = auto()
    """Not forwarded: the verdict, the body's first octets or a connection is missing."""
    FORWARDED = auto()
    """At the mail server; no octet of the answer has reached the client."""
    RESPONDING = auto()
    REFUSING = auto()
    ENDED = auto()
