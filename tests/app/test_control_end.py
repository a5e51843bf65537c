"""The end of the control process: whatever hangs, its last signature comes before the supervisor loses patience."""

import asyncio
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from gateway.app import control as controlling
from gateway.app import serving
from gateway.app.control import OTHERS_SECONDS, Control, tell_of_the_end
from gateway.app.tasks import Tasks
from gateway.audit import checkpoints
from gateway.notices.outbox_settings import OutboxSettings
from gateway.runtime.leases import GIVE_BACK_SECONDS
from gateway.runtime.supervisor import CONTROL_SECONDS


def test_all_that_it_waits_for_ends_before_it_is_killed() -> None:
    outbox = OutboxSettings()
    assert serving.LAST_REQUEST_SECONDS + serving.SHUTDOWN_SECONDS < serving.END_SECONDS
    assert outbox.end_seconds + outbox.close_seconds < OTHERS_SECONDS
    assert GIVE_BACK_SECONDS < OTHERS_SECONDS
    assert serving.END_SECONDS + OTHERS_SECONDS + checkpoints.END_SECONDS < CONTROL_SECONDS


async def test_the_log_is_signed_though_something_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controlling, "OTHERS_SECONDS", 0.05)
    let_go, done = asyncio.Event(), list[str]()

    async def hangs() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                done.append("told to end")

    control = Control.__new__(Control)
    control._servings = (SimpleNamespace(stop=lambda: done.append("stopped")),)  # type: ignore[assignment]
    control._settings = SimpleNamespace(gateway=SimpleNamespace(drain_seconds=5.0))  # type: ignore[assignment]
    for name, method in (("_auditing", "end"), ("_store", "close"), ("_redis", "close")):
        setattr(control, name, SimpleNamespace(**{method: _noted(done, name)}))
    tasks = Tasks([asyncio.sleep(0), hangs()], tell_of_the_end)
    await asyncio.sleep(0)
    with capture_logs() as logged:
        await control._end(tasks)
    assert done == ["stopped", "told to end", "_auditing", "_store", "_redis"]
    assert [(each["event"], each["tasks"]) for each in logged] == [("tasks_do_not_end", 1)]
    let_go.set()
    await asyncio.wait(tasks.running)


def _noted(done: list[str], name: str) -> object:
    async def end() -> None:
        done.append(name)

    return end
