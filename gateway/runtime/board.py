"""What the control process knows of the workers: who lives, how each is, and which policy version it judges by.

Fed with the supervisor's ``worker`` messages. ``wait`` is how an edit of the policy learns that it is in force.
Counters of a worker that died are kept, so that sums over all workers never go back.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.changes.apply import InForceResult
from gateway.observability.health import liveness, readiness
from gateway.observability.metrics import Metrics, merged

SILENT_AFTER_SECONDS = 5.0
"""Workers tell their status each second; one that did not for so long hangs, or the machine does."""


@dataclass(slots=True)
class _Worker:
    name: str
    alive: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    heard_at: float = 0.0

    @property
    def policy_version(self) -> int:
        """0 for one that does not live or has not said."""
        return int(self.status.get("policy_version", 0)) if self.alive else 0


class WorkerBoard:
    """The workers of this machine. ``monotonic`` in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._workers: dict[str, _Worker] = {}
        self._past: list[dict[str, object]] = []
        self._waiting: set[asyncio.Future[None]] = set()

    def take(self, message: Mapping[str, Any]) -> None:
        """Note a message of the supervisor; others than ``worker`` are somebody else's."""
        if message.get("type") != "worker":
            return
        worker = self._workers.setdefault(str(message["name"]), _Worker(str(message["name"])))
        alive, status = bool(message["alive"]), message.get("status") or {}
        if not (alive and status):
            # It ended, or begins anew: what its last life counted is kept.
            self._keep_counters(worker)
        worker.alive, worker.status, worker.heard_at = alive, status, self._monotonic()
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, version: int, timeout_seconds: float) -> InForceResult:
        """Wait until all workers judge by ``version`` or a newer one, at most so long. Never raises.

        A worker that is being restarted counts as silent until it has said what it judges by.
        """
        began = self._monotonic()
        while silent := self._behind(version):
            left = began + timeout_seconds - self._monotonic()
            if left <= 0 or not await self._news(left):
                break
        silent = self._behind(version)
        workers = len(self._workers)
        return InForceResult(workers, workers - len(silent), self._monotonic() - began, silent)

    def _behind(self, version: int) -> tuple[str, ...]:
        return tuple(sorted(each.name for each in self._workers.values() if each.policy_version < version))

    async def _news(self, within_seconds: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait_for(future, within_seconds)
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting.discard(future)

    def status(self) -> dict[str, object]:
        """For ``status`` and health: a row per worker, JSON-able."""
        return {"workers": [self._row(each) for _, each in sorted(self._workers.items())]}

    def _row(self, worker: _Worker) -> dict[str, object]:
        age = self._monotonic() - worker.heard_at
        told = {name: value for name, value in worker.status.items() if name not in ("type", "metrics")}
        silent = worker.alive and age > SILENT_AFTER_SECONDS
        return {
            "name": worker.name,
            "alive": worker.alive,
            "silent": silent,
            "status_age": round(age, 3),
            "policy_version": worker.policy_version,
            **{name: value for name, value in told.items() if name != "policy_version"},
        }

    def alive(self) -> tuple[bool, dict[str, object]]:
        """Whether a restart would not help: ``observability.health.liveness`` of ``status``."""
        return liveness(self.status())

    def ready(self, troubles: Mapping[str, str] | None = None) -> tuple[bool, dict[str, object]]:
        """Whether mail is served here, and what was looked at: ``observability.health.readiness`` of ``status``.

        The supervisor tells of every worker before it is started; where none is ever told of (the control process by
        itself, which takes reports and edits) there is nothing to wait for but what troubles it.
        """
        if not self._workers:
            return not troubles, {name: {"ok": False, "found": text} for name, text in (troubles or {}).items()}
        return readiness(self.status(), troubles)

    def metrics(self) -> Metrics:
        """The sums over all workers, those that died included."""
        living = [each.status.get("metrics", []) for each in self._workers.values()]
        total = merged([self._past, *living])
        up = total.gauge("gatepost_workers_up", "Workers that live and tell their status")
        rows = self._workers.values()
        fresh = self._monotonic() - SILENT_AFTER_SECONDS
        up.set(sum(1 for each in rows if each.alive and each.status and each.heard_at >= fresh))
        total.gauge("gatepost_workers", "Workers that should run").set(len(self._workers))
        return total

    def _keep_counters(self, worker: _Worker) -> None:
        counted = [row for row in worker.status.get("metrics", []) if row["kind"] == "counter"]
        if counted:
            self._past = merged([self._past, counted]).snapshot()
        worker.status = {}
