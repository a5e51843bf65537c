"""A gateway whose time can pass at once and whose wall clocks can be set, and agents that go with it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from tests.faults.gateway_under_test import LAUNCH
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import ROOT, Running, running

HOUR, DAY = 3_600.0, 86_400.0


class Time:
    """What clocks a gateway's processes see; files that they read (``tests/faults/launch``)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.passed = 0.0
        directory.mkdir()
        self._write("passed", 0.0)
        self.set_wall_clocks(0.0)

    @property
    def now(self) -> float:
        """The right time there."""
        return time.time() + self.passed

    async def passes(self, seconds: float) -> None:
        """Time goes on by so much, as while a machine sleeps; all processes have seen it then."""
        self.passed += seconds
        self._write("passed", self.passed)
        # They look at the file ten times a second.
        await asyncio.sleep(0.3)

    def set_wall_clocks(self, ahead: float) -> None:
        """Somebody sets the clocks of all processes wrong by so much."""
        for kind in ("control", "worker"):
            self._write(kind, ahead)

    def _write(self, name: str, seconds: float) -> None:
        fresh = self._directory / f".{name}"
        fresh.write_text(str(seconds))
        fresh.replace(self._directory / name)


@asynccontextmanager
async def moved(directory: Path, upstream: str, more: str = "") -> AsyncIterator[tuple[Running, Time]]:
    """A gateway with one worker that looks after its brake many times a second, and its time."""
    at = Time(directory / "clocks")
    environment = {
        "FAULTS_CLOCKS": str(directory / "clocks"),
        "FAULTS_BRAKE_SECONDS": "0.1",
        "FAULTS_BELIEVED_SECONDS": "0.5",
        "PYTHONPATH": f"{LAUNCH}:{ROOT}",
    }
    async with running(directory, upstream, more=more, environment=environment) as gateway:
        yield gateway, at


@dataclass(slots=True)
class MovedAgent(Agent):
    """An agent whose clock is that of the gateway under test."""

    at: Time = field(kw_only=True)

    async def report_of(self, name: str, apps: tuple[str, ...] = HARMLESS) -> int:
        """Report somebody's phone; the answer's status."""
        return (await self.send(self.event(name, f"ID{name}", apps, generated_at=self.at.now))).status_code

    async def clean_all(self, names: list[str]) -> None:
        """Harmless apps on everybody's phone."""
        for name in names:
            if (status := await self.report_of(name)) != 202:
                raise AssertionError(f"the report of {name} was answered {status}")

    async def dirty_all(self, names: list[str]) -> list[int]:
        """A banned app on everybody's phone; the answers."""
        return [await self.report_of(name, (*HARMLESS, TIKTOK)) for name in names]

    async def send(self, event: dict[str, object]) -> httpx.Response:
        """Sign at the time there, and send."""
        body, name, now = json.dumps(event), str(event["id"]), datetime.fromtimestamp(self.at.now, UTC)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(name, now, body),
        }
        return await self.client.post(f"{self.url}/inventory/v1/reports", content=body, headers=headers)


@asynccontextmanager
async def agent(gateway: Running, at: Time, name: str) -> AsyncIterator[MovedAgent]:
    """A new source whose lists hold for a day, as its agent."""
    async with gateway.api() as api:
        answer = await api.post("/sources", json={"name": name, "kind": "push", "devices": "*"})
    told: dict[str, Any] = answer.json()
    found = MovedAgent(gateway.inventory, told["secret"], at=at)
    try:
        yield found
    finally:
        await found.client.aclose()
