"""The faults in lots that one site takes, each run in a process of its own, so that several may run side by side."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from tests.faults import every_fault
from tests.faults.fault import FAULTS
from tests.faults.grounds import GROUNDS, missing
from tests.faults.repetition import run_fault
from tests.faults.table import Row

FAULTS_PER_SITE = 8
Lot: TypeAlias = tuple[str, tuple[str, ...]]
"""A ground, and the faults that are made on one site of it."""


def lots(names: Sequence[str]) -> Iterator[Lot]:
    """The faults in portions that one site takes."""
    for ground in dict.fromkeys(FAULTS[name].ground for name in names):
        if reason := missing(ground):
            print(f"left out, for want of {ground}: {reason}", flush=True)
            continue
        here = [name for name in names if FAULTS[name].ground == ground]
        for start in range(0, len(here), FAULTS_PER_SITE):
            yield ground, tuple(here[start : start + FAULTS_PER_SITE])


def run_lot(lot: Lot, times: int, seed: int, directory: Path) -> list[Row]:
    """All faults of a lot on one site, in a process of its own."""
    assert every_fault.KINDS
    ground, names = lot
    return asyncio.run(_run_lot(ground, names, times, seed, directory / f"{ground}-{names[0]}"))


async def _run_lot(ground: str, names: Sequence[str], times: int, seed: int, directory: Path) -> list[Row]:
    rows = []
    async with GROUNDS[ground](directory, seed) as site:
        for name in names:
            rows.append(await run_fault(site, FAULTS[name], times, seed))
            print(rows[-1].line(), flush=True)
    return rows
