"""``python -m tests.faults``: every fault so many times, and the table of what was seen.

``--only`` picks faults by a part of their names, ``--times`` says how often each, ``--seed`` repeats a run as far as
other programs allow it. What failed is told with its seed and the events around it, and its logs are kept.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import cache_faults, clock_faults, process_faults, store_faults, upstream_faults
from tests.faults.fault import FAULTS, Fault
from tests.faults.grounds import GROUNDS, missing
from tests.faults.repetition import repeat
from tests.faults.site import Site
from tests.faults.table import Row, markdown, write

KINDS = (process_faults, cache_faults, store_faults, upstream_faults, clock_faults)
"""Imported for the faults they register."""


async def run_ground(ground: str, faults: list[Fault], times: int, seed: int, directory: Path) -> list[Row]:
    """All faults of one kind of site, on one site."""
    rows = []
    async with GROUNDS[ground](directory, seed) as site:
        for fault in faults:
            rows.append(await run_fault(site, fault, times, seed))
            print(rows[-1].line(), flush=True)
    return rows


async def run_fault(site: Site, fault: Fault, times: int, seed: int) -> Row:
    """One fault so many times."""
    row = Row(fault.name, fault.bound_seconds, seed)
    await site.rest()
    before = site.gateway.use()
    began = time.monotonic()
    for number in range(times):
        outcome = await repeat(site, fault, random.Random(f"{seed} {fault.name} {number}"))
        row.outcomes.append(outcome)
        if outcome.wrong:
            print(f"  {fault.name} #{number}, seed {seed}: " + "\n    ".join(outcome.wrong[:12]), flush=True)
            print(
                "    events:\n      " + "\n      ".join((site.judge.around_first or site.judge.around())[-60:]),
                flush=True,
            )
    row.seconds = time.monotonic() - began
    row.before, row.after = before, site.gateway.use()
    row.outcomes[-1].wrong += row.grown()
    return row


def main() -> int:
    """The exit code: 1 when anything failed."""
    words = argparse.ArgumentParser(prog="python -m tests.faults")
    words.add_argument("--times", type=int, default=3, help="how often each fault is made")
    words.add_argument("--only", default="", help="parts of names, divided by commas")
    words.add_argument("--seed", type=int, default=0, help="0: chosen")
    words.add_argument("--list", action="store_true", help="the names, and no run")
    words.add_argument("--out", type=Path, default=Path("var/faults"), help="where the table is written")
    given = words.parse_args()
    chosen = [each for each in FAULTS.values() if any(part in each.name for part in given.only.split(","))]
    if given.list:
        print("\n".join(f"{each.name:32} {(each.make.__doc__ or '').strip()}" for each in chosen))
        return 0
    seed = given.seed or random.randrange(1, 10**6)
    directory = Path(tempfile.mkdtemp(prefix="gatepost-faults-"))
    print(f"seed {seed}; logs in {directory}", flush=True)
    rows: list[Row] = []
    for ground in dict.fromkeys(each.ground for each in chosen):
        if reason := missing(ground):
            print(f"left out, for want of {ground}: {reason}", flush=True)
            continue
        faults = [each for each in chosen if each.ground == ground]
        rows += asyncio.run(run_ground(ground, faults, given.times, seed, directory / ground))
    print(markdown(rows))
    write(rows, given.out)
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
