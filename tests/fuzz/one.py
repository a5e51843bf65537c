"""One target by one engine, in a process of its own: ``python -m tests.fuzz.one NAME ENGINE CASES SEED FOLDER``.

``FOLDER`` has the board and, in ``pool``, further inputs to begin with; the coverage engine writes into ``pool`` the
inputs by which it came to new places. How it went is in the board's results.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.board import Board
from tests.fuzz.names import kept
from tests.fuzz.tally import GROWN, Tally, inputs

MEMORY_BYTES = 3 << 30
_INSTRUMENTED = ["gateway", "h11"]


def main(name: str, engine: str, cases: int, seed: int, folder: Path) -> None:
    """Run."""
    if engine == "coverage":
        _coverage(name, cases, seed, folder)
    else:
        _mutation(name, cases, seed, folder)


def _mutation(name: str, cases: int, seed: int, folder: Path) -> None:
    # What an input makes us ask for beyond this is a MemoryError, and that a finding.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    board, tally, began = Board(folder), Tally(target), time.process_time()
    pool = [*kept(name), *(path.read_bytes() for path in sorted((folder / "pool").glob("*")))]
    for number, octets in enumerate(inputs(target, pool, seed), 1):
        board.begin(number, octets)
        tally.take(octets)
        if number >= cases:
            break
    board.end(_results(tally, began))


def _coverage(name: str, cases: int, seed: int, folder: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.mutation import Mutations

    target = TARGETS[name]
    random = Random(seed)
    pool = [*kept(name), *(target.grow(random) for _ in range(GROWN))]
    for number, octets in enumerate(pool):
        (folder / "pool" / f"begun-{number:05}").write_bytes(octets)
    mutations = Mutations(random, pool, target.words, target.longest)
    board, tally, began = Board(folder), Tally(target), time.process_time()

    def take(octets: bytes) -> None:
        board.begin(tally.cases + 1, octets)
        tally.take(octets)
        if tally.cases >= cases:
            board.end(_results(tally, began))
            os._exit(0)  # libFuzzer would tell more, and has no other end without a finding of its own

    def mutate(octets: bytes, most: int, number: int) -> bytes:
        random.seed(number)
        changed = mutations.changed(octets) if number % 2 else atheris.Mutate(octets, len(octets) or 1)
        return bytes(changed[:most])

    flags = [f"-seed={seed}", f"-max_len={target.longest}", "-rss_limit_mb=3000", "-timeout=300", "-verbosity=0"]
    _run(atheris.Setup, [sys.argv[0], *flags, str(folder / "pool")], take, mutate)
    atheris.Fuzz()


def _run(
    setup: Callable[..., object],
    arguments: list[str],
    take: Callable[[bytes], None],
    mutate: Callable[[bytes, int, int], bytes],
) -> None:
    setup(arguments, take, custom_mutator=mutate)


def _results(tally: Tally, began: float) -> dict[str, object]:
    return {
        "cases": tally.cases,
        "processor_seconds": time.process_time() - began,
        "accepted": tally.accepted,
        "stricter": tally.stricter,
        "findings": [[finding.octets.hex(), finding.what] for finding in tally.findings.values()],
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
