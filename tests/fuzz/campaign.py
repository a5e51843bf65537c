"""Runs engines on targets as processes, watches them, and gathers what they say.

A process that is ended by a signal, or whose case in hand does not end, is a finding with that case's input.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.fuzz.board import Board
from tests.fuzz.names import FINDINGS, HERE
from tests.fuzz.tally import Finding, save

HANG_SECONDS = 120.0
"""For one case, however busy the machine is."""
POLL_SECONDS = 0.25
POOL_MOST = 4000
"""Inputs that the coverage engine hands on to the mutations, the shortest of them."""
COVERAGE_SHARE = 0.2
"""Of the cases, where both engines run."""
ENGINES = ("coverage", "mutation")
Seen = Callable[[str, int], None]


@dataclass(slots=True)
class Outcome:
    """What all engines together did with one target."""

    target: str
    cases: int = 0
    seconds: float = 0.0
    """By the clock on the wall, starts included."""
    processor_seconds: float = 0.0
    """For the cases alone; what counts on a machine that others use too."""
    accepted: int = 0
    stricter: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[Path, str]] = field(default_factory=list)
    reached: list[bytes] = field(default_factory=list)
    """Inputs by which the coverage engine came to new places."""


def has_coverage() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def run(target: str, engines: tuple[str, ...], cases: int, seed: int, seen: Seen) -> Outcome:
    """Run the engines one after the other; ``seen`` hears how many cases are through."""
    outcome = Outcome(target)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        pool = Path(folder) / "pool"
        pool.mkdir()
        for engine in engines:
            share = _share(engine, engines, cases)
            _one(outcome, engine, share, seed, Path(folder), partial(_seen, seen, target, outcome.cases))
            _shortest(pool)
        outcome.reached = [path.read_bytes() for path in sorted(pool.iterdir())]
    return outcome


def _seen(seen: Seen, target: str, before: int, done: int) -> None:
    seen(target, before + done)


def _share(engine: str, engines: tuple[str, ...], cases: int) -> int:
    if len(engines) == 1:
        return cases
    coverage = int(cases * COVERAGE_SHARE)
    return coverage if engine == "coverage" else cases - coverage


def _shortest(pool: Path) -> None:
    for path in sorted(pool.iterdir(), key=lambda each: (each.stat().st_size, each.name))[POOL_MOST:]:
        path.unlink()


def _one(outcome: Outcome, engine: str, cases: int, seed: int, folder: Path, seen: Callable[[int], None]) -> None:
    board, began = Board(folder), time.monotonic()
    (folder / "results.json").unlink(missing_ok=True)
    board.begin(0, b"")
    arguments = command(outcome.target, engine, cases, seed, folder)
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(arguments, stdout=said, stderr=said, cwd=HERE.parents[1])
        try:
            hung = _watch(process, board, seen)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        words = said.read().decode("utf-8", "replace")[-2000:]
    outcome.seconds += time.monotonic() - began
    results = board.results()
    if results is None:
        why = f"a case takes more than {HANG_SECONDS:.0f} s" if hung else f"the process ended ({process.returncode})"
        outcome.cases += board.number
        _found(outcome, Finding(board.octets, f"{why}, with this input in hand\n{words}"))
        return
    outcome.cases += results["cases"]
    outcome.processor_seconds += results["processor_seconds"]
    outcome.accepted += results["accepted"]
    outcome.stricter.update(results["stricter"])
    for octets, what in results["findings"]:
        _found(outcome, Finding(bytes.fromhex(octets), what))


def command(target: str, engine: str, cases: int, seed: int, folder: Path) -> tuple[str, ...]:
    """What runs one engine on one target."""
    return sys.executable, "-m", "tests.fuzz.one", target, engine, str(cases), str(seed), str(folder)


def _watch(process: subprocess.Popen[bytes], board: Board, seen: Callable[[int], None]) -> bool:
    """Wait for the end of the process; True: it hangs."""
    last, quiet = 0, 0.0
    while True:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            number = board.number
            seen(number)
            # Not by the clock: all of us may have been stopped for an hour.
            last, quiet = number, 0.0 if number != last else quiet + POLL_SECONDS
            if quiet > HANG_SECONDS:
                return True
        else:
            seen(board.number)
            return False


def _found(outcome: Outcome, finding: Finding) -> None:
    outcome.findings.append((save(finding, outcome.target, FINDINGS), finding.what))
