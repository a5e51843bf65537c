"""``python -m tests.faults``: every fault so many times, and the table of what was seen.

``--only`` picks faults by a part of their names, ``--times`` says how often each, ``--jobs`` how many sites run side by
side, ``--seed`` repeats a run as far as other programs allow it. What failed is told with its seed and the events
around it, and its logs are kept.
"""

import argparse
import asyncio
import multiprocessing
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.fault import FAULTS
from tests.faults.kills import kills_of_control
from tests.faults.lots import lots, run_lot
from tests.faults.table import Row, markdown, write


def run_all(given: argparse.Namespace, names: Sequence[str], seed: int, directory: Path) -> list[Row]:
    """Every lot; the rows in the order of the names."""
    rows: list[Row] = []
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(run_lot, lot, given.times, seed, directory): lot for lot in lots(names)}
        for done in as_completed(running):
            try:
                rows += done.result()
            except Exception as error:  # a site that fell: its faults have failed, the others go on
                print(f"{running[done]}: {error!r}", flush=True)
                rows += [Row(name, FAULTS[name].bound_seconds, seed, broken=repr(error)) for name in running[done][1]]
    return sorted(rows, key=lambda row: list(names).index(row.fault))


def main() -> int:
    """The exit code: 1 when anything failed."""
    words = argparse.ArgumentParser(prog="python -m tests.faults")
    words.add_argument("--times", type=int, default=3, help="how often each fault is made")
    words.add_argument("--only", default="", help="parts of names, divided by commas")
    words.add_argument("--jobs", type=int, default=1, help="sites side by side")
    words.add_argument("--seed", type=int, default=0, help="0: chosen")
    words.add_argument("--list", action="store_true", help="the names, and no run")
    words.add_argument("--kills-of-control", type=int, default=0, metavar="REPORTS", help="that instead of the table")
    words.add_argument("--out", type=Path, default=Path("var/faults"), help="where the table is written")
    given = words.parse_args()
    names = [name for name in FAULTS if any(part in name for part in given.only.split(","))]
    if given.list:
        print("\n".join(f"{name:32} {(FAULTS[name].make.__doc__ or '').strip()}" for name in names))
        return 0
    seed = given.seed or random.randrange(1, 10**6)
    directory = Path(tempfile.mkdtemp(prefix="gatepost-faults-"))
    print(f"seed {seed}; logs in {directory}", flush=True)
    if given.kills_of_control:
        found = asyncio.run(kills_of_control(directory / "kills", seed, given.kills_of_control))
        print(found.line())
        return 1 if found.wrong else 0
    rows = run_all(given, names, seed, directory)
    print(markdown(rows))
    write(rows, given.out)
    if failed := any(row.failed for row in rows):
        return int(failed)
    shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
