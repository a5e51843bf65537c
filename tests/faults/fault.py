"""What a fault is, and the list of all of them by name.

``make`` makes the fault on a running site and takes it away again; what must hold during and after it is the same for
all of them, and is in ``repetition``.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.faults.site import Site

Make: TypeAlias = Callable[[Site, random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table."""

    name: str
    make: Make
    ground: str
    """The kind of site that it needs (``grounds``)."""
    bound_seconds: float
    """Longest time from an acknowledged DIRTY to the last relay (design §4)."""
    recovers_seconds: float
    """Healthy again within this, from the moment at which the fault is taken away."""
    loses: bool
    """It takes acknowledged reports away by its nature (an older copy is put in place): they are sent anew after."""
    short: bool
    """One of the selection that every ``make test`` runs."""
    told_by: str
    """Log events of which one must appear, for the operator to know; several divided by blanks, empty: none."""


FAULTS: dict[str, Fault] = {}


def fault(
    ground: str = "plain",
    *,
    bound_seconds: float = 2.0,
    recovers_seconds: float = 20.0,
    loses: bool = False,
    short: bool = False,
    told_by: str = "",
) -> Callable[[Make], Make]:
    """Register a function as the fault of its name."""

    def register(make: Make) -> Make:
        name = make.__name__
        FAULTS[name] = Fault(name, make, ground, bound_seconds, recovers_seconds, loses, short, told_by)
        return make

    return register
