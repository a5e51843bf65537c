"""What the control process knows of the workers: who lives, how each is, and which policy version it judges by.

Fed with the supervisor's ``worker`` messages, and by ``elsewhere`` of those of other supervisors. ``wait`` is how an
edit of the policy learns that it is in force. Counters of a worker that died are kept, so that sums over all workers
never go back.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.changes.apply import InForceResult
from gateway.observability.health import liveness, readiness
from gateway.observability.metrics import Metrics, merged
from gateway.runtime.elsewhere import UNKNOWN, Elsewhere

LOOK_AGAIN_SECONDS = 0.015
"""While an edit of the policy waits for workers of other supervisors."""
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
    """The workers of this supervisor, and of others where ``elsewhere`` knows them. ``monotonic`` in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, elsewhere: Elsewhere | None = None) -> None:
        self._monotonic = monotonic
        self._elsewhere = elsewhere
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
        if message.get("gone"):
            # Others serve in its place: nobody waits for it any more.
            self._keep_counters(worker)
            del self._workers[worker.name]
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, version: int, timeout_seconds: float) -> InForceResult:
        """Wait until all workers judge by ``version`` or a newer one, at most so long. Never raises.

        A worker that is being restarted counts as silent until it has said what it judges by.
        """
        began = self._monotonic()
        if self._elsewhere is not None:
            # Who joined a moment ago counts.
            await self._elsewhere.look()
        here, others = self._behind(version)
        while here or others:
            left = began + timeout_seconds - self._monotonic()
            if left <= 0 or not await self._more(left, elsewhere=bool(others)):
                break
            here, others = self._behind(version)
        known = len(self._workers) + (len(self._elsewhere.workers) if self._elsewhere else 0)
        behind = len(here) + sum(1 for each in others if each != UNKNOWN)
        return InForceResult(known, known - behind, self._monotonic() - began, (*here, *others))

    def _behind(self, version: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of those that do not judge by ``version``: here, and elsewhere."""
        here = tuple(sorted(each.name for each in self._workers.values() if each.policy_version < version))
        others = self._elsewhere.behind(version) if self._elsewhere else ()
        return here, others

    async def _more(self, within_seconds: float, *, elsewhere: bool) -> bool:
        """Wait for what may have changed; False when nothing has by then."""
        if not elsewhere or self._elsewhere is None:
            return await self._news(within_seconds)
        await self._news(min(within_seconds, LOOK_AGAIN_SECONDS))
        await self._elsewhere.look()
        return True

    async def _news(self, within_seconds: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(within_seconds):
                await future
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting.discard(future)

    def status(self) -> dict[str, object]:
        """For ``status``: a row per worker, JSON-able; those of other supervisors come last."""
        others = self._elsewhere.rows() if self._elsewhere else []
        return {"workers": [*self._own_rows(), *others]}

    def _own_rows(self) -> list[dict[str, object]]:
        return [self._row(each) for _, each in sorted(self._workers.items())]

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
        """Whether a restart would not help: ``observability.health.liveness`` of this supervisor's."""
        return liveness({"workers": self._own_rows()})

    def ready(self, troubles: Mapping[str, str] | None = None) -> tuple[bool, dict[str, object]]:
        """Whether mail is served here, and what was looked at: ``observability.health.readiness`` of its workers.

        The supervisor tells of every worker before it is started; where none is ever told of (the control process by
        itself, which takes reports and edits) there is nothing to wait for but what troubles it.
        """
        if not self._workers:
            return not troubles, {name: {"ok": False, "found": text} for name, text in (troubles or {}).items()}
        return readiness({"workers": self._own_rows()}, troubles)

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
