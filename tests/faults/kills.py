"""Thousands of acknowledged reports while the control process is killed at random moments: none lost, none twice."""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.site import Site, site
from tests.system.processes import kill

PAUSE_SECONDS = 0.01
STUCK_SECONDS = 120.0
HEALTHY_SECONDS = 90.0


@dataclass(slots=True)
class Kills:
    """What was seen."""

    kills: int = 0
    acknowledged: int = 0
    attempts: int = 0
    repeated: int = 0
    """Reports whose first acknowledgement was lost on its way, and that were known when they came again."""
    seconds: float = 0.0
    longest_stale: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For the terminal."""
        return (
            f"{self.acknowledged} reports acknowledged in {self.attempts} attempts ({self.repeated} known already), "
            f"control killed {self.kills} times in {self.seconds:.0f} s; longest stale {self.longest_stale:.2f} s; "
            f"{'none lost, none applied twice' if not self.wrong else self.wrong}"
        )


async def kills_of_control(directory: Path, seed: int, reports: int) -> Kills:
    """Until so many reports have been acknowledged."""
    rng = random.Random(seed)
    async with site(directory, seed) as running:
        await running.rest()
        found = Kills(acknowledged=-sum(each.total for each in running.reporters))
        running.judge.begin(2.0)
        running.begin_to_report(pause_seconds=PAUSE_SECONDS)
        began = time.monotonic()
        while (total := sum(each.total for each in running.reporters)) + found.acknowledged < reports:
            await _one_life(running, rng, total)
            found.kills += 1
        await running.until_healthy(HEALTHY_SECONDS)
        await running.rest()
        found.seconds = time.monotonic() - began
        found.acknowledged += sum(each.total for each in running.reporters)
        found.attempts = sum(each.attempts for each in running.reporters)
        found.repeated = sum(each.repeated for each in running.reporters)
        found.longest_stale = running.judge.longest_stale
        found.wrong = [*running.judge.violations, *await running.lost(), *twice(running)]
    return found


async def _one_life(running: Site, rng: random.Random, before: int) -> None:
    """Let the control process acknowledge something, and kill it a few hundred milliseconds later."""
    async with asyncio.timeout(STUCK_SECONDS):
        while sum(each.total for each in running.reporters) == before:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.005)
    await asyncio.sleep(rng.uniform(0.0, 0.6))
    for pid in running.gateway.pids("control"):
        kill(pid)


def twice(running: Site) -> list[str]:
    """Devices for which the store has not just one event per acknowledged report; each of these turned its device."""
    database = running.gateway.data_dir / "gatepost.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT source_device, count(*) FROM inventory_events GROUP BY source_device").fetchall()
    events = {str(device).rpartition("/")[2]: count for device, count in rows}
    acknowledged = {name: known.count for each in running.reporters for name, known in each.acknowledged.items()}
    return [
        f"{device}: {count} reports acknowledged, {events.get(device, 0)} applied"
        for device, count in acknowledged.items()
        if events.get(device, 0) != count
    ]
