"""Liveness and readiness from the status of the workers."""

import pytest

from gateway.observability.health import liveness, readiness

GOOD = {"name": "worker-1", "alive": True, "silent": False, "policy_version": 3, "state_lost": False}
SEES = {"front": {"upstreams": [{"url": "https://a", "healthy": False}, {"url": "https://b", "healthy": True}]}}
SEES_NONE = {"front": {"upstreams": [{"url": "https://a", "healthy": False}]}}


def test_ready_with_a_worker_that_serves() -> None:
    ok, checks = readiness({"workers": [GOOD | SEES, {"name": "worker-2", "alive": False}]})
    assert ok
    assert checks["workers"] == {"ok": True, "found": "1 of 2 workers judge by a policy and fresh state"}


@pytest.mark.parametrize(
    "worker",
    [
        GOOD | {"alive": False},
        GOOD | {"silent": True},
        GOOD | {"policy_version": 0},
        GOOD | {"state_lost": True},
        GOOD | SEES_NONE,
    ],
)
def test_not_ready(worker: dict[str, object]) -> None:
    ok, checks = readiness({"workers": [worker]})
    assert not ok
    assert any(not check["ok"] for check in checks.values() if isinstance(check, dict))


def test_not_ready_without_workers() -> None:
    assert not readiness({"workers": []})[0]
    assert not readiness({})[0]


def test_other_troubles() -> None:
    ok, checks = readiness({"workers": [GOOD]}, {"store": "the database is locked"})
    assert not ok
    assert checks["store"] == {"ok": False, "found": "the database is locked"}


def test_alive_unless_every_worker_hangs() -> None:
    hangs = GOOD | {"silent": True}
    assert liveness({})[0]
    assert liveness({"workers": [hangs, GOOD]})[0]
    assert liveness({"workers": [{"name": "worker-1", "alive": False, "silent": False}]})[0]
    assert liveness({"workers": [hangs]}) == (False, {"workers": 1, "hanging": ["worker-1"]})
