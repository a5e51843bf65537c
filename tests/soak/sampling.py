"""One line each few seconds: what every process of the gateway uses, what its metrics say, what clients have seen."""

import asyncio
import csv
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import httpx

from tests.soak.mail_process import MailProcess
from tests.soak.tally import Tally
from tests.support.running import Running
from tests.system.processes import PROC, children_of

FAULTS = frozenset(
    {
        *("worker_task_failed", "control_task_failed", "supervisor_task_failed"),
        *("supervisor_broken", "api_failed", "receiver_failed"),
        *("child_ended", "child_killed", "child_failed"),
        *("child_speaks_nonsense", "not_json", "link_message_too_long"),
        *("slow_start", "record_load_failed", "commit_failed"),
        *("report_not_stored", "feed_unavailable", "state_lost"),
        *("change_log_unreadable", "upstream_unavailable", "certificate_not_reloaded"),
    }
)
"""Log lines that nothing in a soak gives cause for."""
KINDS = ("supervisor", "control", "worker", "cache")
METRICS = (
    *("gatepost_sessions", "gatepost_cached_people", "gatepost_feed_age_seconds_sum", "gatepost_feed_stale"),
    *("gatepost_state_lost", "gatepost_workers_up", "gatepost_record_loads_total", "gatepost_requests_total"),
    *("gatepost_bad_requests_total", "gatepost_closed_path_total", "gatepost_connections_refused_total"),
    "gatepost_sightings_dropped_total",
)
_TICKS = os.sysconf("SC_CLK_TCK")


class Sampler:
    """Writes the lines, and keeps them."""

    def __init__(self, gateway: Running, server: MailProcess, tally: Tally, file: TextIO) -> None:
        self.rows: list[dict[str, float]] = []
        self.events: Counter[str] = Counter()
        """Log lines by their event."""
        self.faults: list[dict[str, object]] = []
        self._gateway = gateway
        self._server = server
        self._tally = tally
        self._file = file
        self._writer: csv.DictWriter[str] | None = None
        self._began = time.monotonic()
        self._before: dict[str, float] = {}
        self.pids = self._pids()

    def _pids(self) -> dict[str, list[int]]:
        pid = self._gateway.process.pid
        return {"supervisor": [pid], **{kind: sorted(pids) for kind, pids in children_of(pid).items()}}

    async def keep_sampling(self, every_seconds: float) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.sample()

    async def sample(self, phase: float = 0.0) -> dict[str, float]:
        """One line; ``phase`` 1 marks a moment of rest."""
        self._read_log()
        row = {"seconds": round(time.monotonic() - self._began, 1), "rest": phase}
        row |= await asyncio.to_thread(self._processes)
        row |= await self._metrics()
        row |= self._seen()
        row |= {f"{what}_pressure": pressure(what) for what in ("cpu", "io")}
        self.rows.append(row)
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()
        return row

    def _processes(self) -> dict[str, float]:
        present = self._pids()
        if present != self.pids:
            self.faults.append({"event": "other processes than before", "before": self.pids, "now": present})
            self.pids = present
        row: dict[str, float] = {}
        for kind in KINDS:
            uses = [use_of(pid) for pid in present.get(kind, [])]
            for name in ("pss_mb", "rss_mb", "fds", "threads"):
                row[f"{kind}_{name}"] = round(sum(use[name] for use in uses), 2)
            row[f"{kind}_cpu"] = self._rate(f"{kind}_cpu", sum(use["cpu"] for use in uses))
        return row

    def _rate(self, name: str, total: float) -> float:
        """Of a sum that grows: per second since the last line."""
        now = time.monotonic()
        before, at = self._before.get(name, total), self._before.get(f"{name} at", now)
        self._before[name], self._before[f"{name} at"] = total, now
        return round((total - before) / (now - at), 4) if now > at else 0.0

    async def _metrics(self) -> dict[str, float]:
        try:
            async with httpx.AsyncClient(timeout=10) as client:
                text = (await client.get(f"{self._gateway.admin}/metrics")).text
        except httpx.HTTPError as error:
            self._tally.error(f"/metrics: {error!r}")
            text = ""
        sums: Counter[str] = Counter()
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                sums[name.partition("{")[0]] += float(value)  # type: ignore[assignment]
        return {name: float(sums[name]) for name in METRICS}

    def _seen(self) -> dict[str, float]:
        tally = self._tally
        latencies = sorted(tally.latencies)
        tally.latencies.clear()

        def at(share: float) -> float:
            return (
                round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2) if latencies else 0.0
            )

        return {
            "requests_per_second": self._rate("answers", float(tally.answers.total())),
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "longest_ms": at(1.0),
            "parked": float(len(self._server.parked)),
            "upstream_connections": float(self._server.connections),
            "own_lag_ms": round(tally.lag * 1000, 1),
            "errors": float(tally.errors),
            "wrong": float(tally.wrong),
        }

    def _read_log(self) -> None:
        lines = list(self._gateway.log)
        self._gateway.log.clear()
        for line in lines:
            self.events[str(line.get("event"))] += 1
            if _is_fault(line) and len(self.faults) < 50:
                self.faults.append(line)


def _is_fault(line: Mapping[str, object]) -> bool:
    if line.get("event") == "brake_alarm" and line.get("trouble") == "hits":
        # The agents find a banned app on so large a part of the fleet in ten minutes that somebody must be told.
        return False
    return line.get("event") in FAULTS or line.get("level") == "error"


def pressure(what: str) -> float:
    """Per cent of the last ten seconds in which something of this machine waited for it; 0 where it is not told."""
    try:
        line = (PROC / "pressure" / what).read_text().splitlines()[0]
    except OSError:
        return 0.0
    return float(line.partition("avg10=")[2].split()[0])


def use_of(pid: int) -> Mapping[str, float]:
    """What a process uses: memory in MB, open files, threads, CPU time in seconds. Zeros for one that has gone."""
    place = PROC / str(pid)
    try:
        rollup = _kilobytes(place / "smaps_rollup")
        status = _kilobytes(place / "status")
        stat = (place / "stat").read_text().rpartition(")")[2].split()
        return {
            "pss_mb": rollup["Pss"] / 1024,
            "rss_mb": rollup["Rss"] / 1024,
            "fds": len(os.listdir(place / "fd")),
            "threads": status["Threads"],
            "cpu": (int(stat[11]) + int(stat[12])) / _TICKS,
        }
    except (OSError, KeyError):
        return dict.fromkeys(("pss_mb", "rss_mb", "fds", "threads", "cpu"), 0.0)


def _kilobytes(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        number = value.split()[0] if value.split() else ""
        if number.isdigit():
            found[name] = int(number)
    return found
