"""What the command line of the benchmarks sets, for all parts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """``--quick`` makes everything small: it shows that a part works, its figures mean nothing."""

    quick: bool = False
    targets: tuple[str, ...] = ()
    rounds: int = 4
    seconds: float = 2.0
    people: int = 100_000
    schemes: tuple[str, ...] = ()
    connections: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    misses: tuple[int, ...] = ()
    parked: int = 8_000
    workers: tuple[int, ...] = (1, 2, 3, 4)
    devices: int = 1_000_000
    reports: int = 3_000
    postgresql: str = ""
    """URL of an empty database."""
