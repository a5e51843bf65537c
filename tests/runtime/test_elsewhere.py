"""Workers of other supervisors: who counts, who is silent, and what an edit of the policy waits for."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.worker_statuses import Place, WorkerStatus
from gateway.runtime.board import WorkerBoard
from gateway.runtime.elsewhere import UNKNOWN, Elsewhere, StatusTeller

OWN = Place("mx1-aaaa", "control", "run1")


class Statuses:
    """What workers say, in memory."""

    def __init__(self) -> None:
        self.rows: dict[Place, tuple[float, Mapping[str, Any]]] = {}
        self.away = False
        self.looks = asyncio.Semaphore(0)
        """One for each look."""
        self.told = asyncio.Event()

    def say(self, machine: str, name: str, version: int, *, run: str = "run2", age: float = 0.0) -> None:
        self.rows[Place(machine, name, run)] = age, {"policy_version": version, "sequence": 9}

    async def tell(self, place: Place, told: Mapping[str, Any]) -> None:
        self._check()
        self.rows[place] = 0.0, told
        self.told.set()

    async def leave(self, place: Place) -> None:
        self._check()
        self.rows.pop(place, None)

    async def all(self) -> Sequence[WorkerStatus]:
        self._check()
        self.looks.release()
        return [WorkerStatus(place, age, told) for place, (age, told) in self.rows.items()]

    def _check(self) -> None:
        if self.away:
            raise CacheUnavailable("away")


@pytest.fixture
def statuses() -> Statuses:
    return Statuses()


@pytest.fixture
def elsewhere(statuses: Statuses) -> Elsewhere:
    return Elsewhere(statuses, OWN, alone=False, monotonic=lambda: 100.0)


def told(board: WorkerBoard, name: str, version: int) -> None:
    status = {"type": "status", "policy_version": version, "metrics": []}
    board.take({"type": "worker", "name": name, "alive": True, "status": status})


async def test_an_edit_waits_for_the_workers_of_all_machines(statuses: Statuses, elsewhere: Elsewhere) -> None:
    board = WorkerBoard(elsewhere=elsewhere)
    told(board, "worker-1", 3)
    statuses.say("mx2-bbbb", "worker-1", 2)
    statuses.say("mx2-bbbb", "worker-2", 3)
    # What this supervisor's own workers say there is known already, by the shorter way.
    statuses.say("mx1-aaaa", "worker-1", 2, run="run1")
    waiting = asyncio.create_task(board.wait(3, 5.0))
    for _ in range(3):
        await statuses.looks.acquire()
    assert not waiting.done()
    statuses.say("mx2-bbbb", "worker-1", 3)
    result = await asyncio.wait_for(waiting, 2)
    assert (result.workers, result.in_force, result.silent) == (3, 3, ())


async def test_who_stays_silent_is_named(statuses: Statuses, elsewhere: Elsewhere) -> None:
    board = WorkerBoard(elsewhere=elsewhere)
    told(board, "worker-1", 2)
    statuses.say("mx2-bbbb", "worker-1", 2, age=700.0)
    statuses.say("mx2-bbbb", "worker-2", 3)
    result = await board.wait(3, 0.05)
    assert (result.workers, result.in_force) == (3, 1)
    assert result.silent == ("worker-1", "mx2-bbbb/worker-1")
    rows = board.status()["workers"]
    assert isinstance(rows, list)
    assert [(row["name"], row["silent"], row["status_age"]) for row in rows[1:]] == [
        ("mx2-bbbb/worker-1", True, 700.0),
        ("mx2-bbbb/worker-2", False, 0.0),
    ]


async def test_a_cache_that_is_away_is_no_proof_that_nobody_is_there(statuses: Statuses, elsewhere: Elsewhere) -> None:
    board = WorkerBoard(elsewhere=elsewhere)
    statuses.say("mx2-bbbb", "worker-1", 2)
    await elsewhere.look()
    statuses.away = True
    result = await board.wait(3, 0.05)
    assert (result.workers, result.in_force, result.silent) == (1, 0, ("mx2-bbbb/worker-1", UNKNOWN))
    # With a cache server of its own there is nobody else to ask about.
    alone = Elsewhere(statuses, OWN, alone=True)
    own = WorkerBoard(elsewhere=alone)
    told(own, "worker-1", 3)
    result = await own.wait(3, 5.0)
    assert (result.workers, result.in_force, result.silent) == (1, 1, ())


async def test_a_supervisor_that_was_killed_and_started_again_counts_once(
    statuses: Statuses, elsewhere: Elsewhere
) -> None:
    statuses.say("mx2-bbbb", "worker-1", 2, run="old", age=30.0)
    statuses.say("mx2-bbbb", "worker-1", 3, run="new")
    await elsewhere.look()
    assert elsewhere.behind(3) == ()
    assert len(elsewhere.workers) == 1
    # Two that run beside each other in one place: the one that lags counts.
    statuses.say("mx2-bbbb", "worker-1", 2, run="old", age=1.0)
    await elsewhere.look()
    assert elsewhere.behind(3) == ("mx2-bbbb/worker-1",)


async def test_other_machines_make_nobody_ready(statuses: Statuses, elsewhere: Elsewhere) -> None:
    """Readiness and liveness are of this supervisor's workers: a restart here would help nobody there."""
    board = WorkerBoard(elsewhere=elsewhere)
    told(board, "worker-1", 2)
    statuses.say("mx2-bbbb", "worker-1", 2, age=700.0)
    await elsewhere.look()
    assert board.ready()[0]
    assert board.alive() == (True, {"workers": 1, "hanging": []})


async def test_a_worker_says_the_newest_and_takes_its_leave(statuses: Statuses) -> None:
    place = Place("mx2-bbbb", "worker-1", "run2")
    teller = StatusTeller(statuses, place)
    running = asyncio.create_task(teller.run())
    statuses.away = True
    teller.tell({"policy_version": 1})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    statuses.away = False
    for version in (2, 3, 4):
        teller.tell({"policy_version": version})
    await statuses.told.wait()
    assert statuses.rows[place][1] == {"policy_version": 4}
    running.cancel()
    await teller.leave()
    assert statuses.rows == {}
    statuses.away = True
    await teller.leave()


@pytest.mark.parametrize(
    "odd",
    [
        {"front": 5},
        {"front": {"upstreams": 5}},
        {"front": {"upstreams": [5]}},
        {"feed_age": "x", "stale": True},
        {"feed_age": float("inf")},
        {"policy_version": "x", "state_lost": True, "feed_age": []},
    ],
)
async def test_what_another_program_says_for_a_worker_keeps_no_status_from_its_reader(odd: dict[str, Any]) -> None:
    """Of such a worker only its name is shown, and an edit waits for it."""
    statuses = Statuses()
    statuses.rows[Place("mx2-bbbb", "worker-1", "run2")] = 0.0, {"policy_version": 7, **odd}
    elsewhere = Elsewhere(statuses, OWN, alone=False)
    await elsewhere.look()
    (row,) = elsewhere.rows()
    assert (row["name"], row["policy_version"]) == ("mx2-bbbb/worker-1", 0)
    assert not odd.keys() & (row.keys() - {"policy_version"})
    assert elsewhere.behind(1) == ("mx2-bbbb/worker-1",)
