"""The board: who judges by which version, and sums that never go back."""

import asyncio
from typing import Any

from gateway.observability.metrics import Metrics
from gateway.runtime.board import SILENT_AFTER_SECONDS, WorkerBoard


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(name: str, version: int, cuts: int | None = None, alive: bool = True) -> dict[str, Any]:
    status: dict[str, Any] = {"type": "status", "policy_version": version, "sessions": 2}
    if cuts is not None:
        metrics = Metrics()
        metrics.counter("gatepost_cuts_total", "Cut sessions").inc(by=cuts)
        metrics.gauge("gatepost_connections", "Open connections").set(5)
        status["metrics"] = metrics.snapshot()
    return {"type": "worker", "name": name, "alive": alive, "status": status}


def gone(name: str) -> dict[str, Any]:
    return {"type": "worker", "name": name, "alive": False, "status": {}}


def begun(name: str) -> dict[str, Any]:
    return {"type": "worker", "name": name, "alive": True, "status": {}}


async def test_in_force_at_once_when_it_is_already() -> None:
    board = WorkerBoard()
    board.take(told("worker-1", 4))
    board.take(told("worker-2", 5))
    result = await board.wait(4, 5.0)
    assert (result.workers, result.in_force, result.silent) == (2, 2, ())


async def test_in_force_when_the_last_worker_says_so() -> None:
    board = WorkerBoard()
    board.take(told("worker-1", 4))
    board.take(told("worker-2", 3))
    waiting = asyncio.create_task(board.wait(4, 30.0))
    await asyncio.sleep(0)
    board.take(told("worker-1", 4))
    await asyncio.sleep(0)
    assert not waiting.done()
    board.take(told("worker-2", 4))
    result = await waiting
    assert (result.workers, result.in_force, result.silent) == (2, 2, ())
    assert 0 <= result.seconds < 30


async def test_who_does_not_say_so_is_named() -> None:
    board = WorkerBoard()
    board.take(told("worker-1", 4))
    board.take(told("worker-2", 3))
    board.take(gone("worker-3"))
    result = await board.wait(4, 0.02)
    assert (result.workers, result.in_force, result.silent) == (3, 1, ("worker-2", "worker-3"))


async def test_a_restarted_worker_counts_once_it_has_said() -> None:
    board = WorkerBoard()
    board.take(told("worker-1", 4))
    board.take(gone("worker-1"))
    board.take(begun("worker-1"))
    waiting = asyncio.create_task(board.wait(4, 30.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    board.take(told("worker-1", 5))
    assert (await waiting).in_force == 1


async def test_many_wait_at_once() -> None:
    board = WorkerBoard()
    board.take(told("worker-1", 0))
    waiting = [asyncio.create_task(board.wait(version, 30.0)) for version in (1, 2, 3)]
    for version in (1, 2, 3):
        await asyncio.sleep(0)
        board.take(told("worker-1", version))
        board.take(told("worker-1", version))
    assert [result.in_force for result in await asyncio.gather(*waiting)] == [1, 1, 1]


async def test_without_workers_there_is_nobody_to_wait_for() -> None:
    result = await WorkerBoard().wait(1, 5.0)
    assert (result.workers, result.in_force, result.silent) == (0, 0, ())


def test_status_has_a_row_per_worker() -> None:
    time = Time()
    board = WorkerBoard(time)
    board.take(told("worker-2", 4, cuts=1))
    board.take(gone("worker-1"))
    board.take({"type": "reload"})
    time.now += 2
    assert board.status() == {
        "workers": [
            {"name": "worker-1", "alive": False, "silent": False, "status_age": 2, "policy_version": 0},
            {
                "name": "worker-2",
                "alive": True,
                "silent": False,
                "status_age": 2,
                "policy_version": 4,
                "sessions": 2,
            },
        ]
    }
    time.now += SILENT_AFTER_SECONDS
    assert [row["silent"] for row in board.status()["workers"]] == [False, True]  # type: ignore[attr-defined]
    assert board.metrics().families["gatepost_workers_up"].get() == 0


def test_ready_while_a_worker_serves_and_nothing_troubles() -> None:
    board = WorkerBoard()
    board.take(gone("worker-1"))
    assert not board.ready()[0]
    board.take(told("worker-1", 4))
    assert board.ready()[0]
    ok, checks = board.ready({"store": "it cannot be read"})
    assert not ok
    assert checks["store"] == {"ok": False, "found": "it cannot be read"}
    board.take(gone("worker-1"))
    assert not board.ready()[0]


def test_ready_where_no_worker_is_to_run() -> None:
    """As in a container with the control process alone: it takes reports, and they must be let through to it."""
    board = WorkerBoard()
    assert board.ready() == (True, {})
    ok, checks = board.ready({"store": "it cannot be read"})
    assert not ok
    assert checks["store"] == {"ok": False, "found": "it cannot be read"}


def test_alive_unless_every_worker_hangs() -> None:
    now = 0.0
    board = WorkerBoard(lambda: now)
    assert board.alive()[0]
    board.take(told("worker-1", 4))
    board.take(told("worker-2", 4))
    now = 60.0
    assert board.alive() == (False, {"workers": 2, "hanging": ["worker-1", "worker-2"]})
    board.take(told("worker-2", 4))
    assert board.alive()[0]


def test_counters_outlive_the_worker_and_gauges_do_not() -> None:
    board = WorkerBoard()

    def sums() -> tuple[float, float]:
        families = board.metrics().families
        gauge = families.get("gatepost_connections")
        return families["gatepost_cuts_total"].get(), gauge.get() if gauge else 0

    board.take(told("worker-1", 1, cuts=3))
    board.take(told("worker-2", 1, cuts=4))
    assert sums() == (7, 10)
    board.take(gone("worker-1"))
    assert sums() == (7, 5)
    board.take(begun("worker-1"))
    assert sums() == (7, 5)
    board.take(told("worker-1", 1, cuts=1))
    assert sums() == (8, 10)
    # The same status again adds nothing.
    board.take(told("worker-1", 1, cuts=2))
    assert sums() == (9, 10)
    assert board.metrics().families["gatepost_workers_up"].get() == 2
    assert board.metrics().families["gatepost_workers"].get() == 2
