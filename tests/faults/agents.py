"""Inventory agents that send signed reports which turn devices dirty and clean again, and repeat each until its 2xx.

Each message keeps its id through all attempts, as Standard Webhooks has it, so that the receiver can tell a repetition.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook

from tests.faults.judging import Judge
from tests.support.reporting import HARMLESS, TIKTOK, Agent

ATTEMPT_SECONDS = 3.0
AGAIN_AFTER_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The last report of a device that was acknowledged."""

    dirty: bool
    generated_at: datetime
    count: int
    """How many reports of the device have been acknowledged."""


@dataclass(slots=True)
class Reporter:
    """One agent for some devices."""

    url: str
    secret: str
    devices: list[tuple[str, str]]
    """(user, device)"""
    judge: Judge
    rng: random.Random
    pause_seconds: float = 0.2
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    total: int = 0
    repeated: int = 0
    """Acknowledged as something that was there already: the first answer was lost."""
    attempts: int = 0
    last: str = ""
    going: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _client: httpx.AsyncClient | None = None
    _maker: Agent | None = None

    async def live(self) -> None:
        """Report every device, then turn one at random on and on, until cancelled; rests while ``going`` is not set."""
        try:
            for user, device in self.devices:
                await self.report(user, device, dirty=self.rng.random() < 0.5)
            while True:
                if not self.going.is_set():
                    self.idle.set()
                    await self.going.wait()
                    self.idle.clear()
                user, device = self.rng.choice(self.devices)
                await self.report(user, device, dirty=not self.acknowledged[device].dirty)
                await asyncio.sleep(self.rng.expovariate(1 / self.pause_seconds))
        finally:
            if self._client is not None:
                await self._client.aclose()

    async def report(self, user: str, device: str, *, dirty: bool) -> None:
        """Send a report until it is acknowledged."""
        if self._maker is None:
            self._maker = Agent(self.url, self.secret)
        event = self._maker.event(user, device, (*HARMLESS, TIKTOK) if dirty else HARMLESS)
        fact = self.judge.model.fact(device)
        fact.sending(dirty)
        while not await self._attempt(event):  # noqa: ASYNC110  (another process)
            await asyncio.sleep(AGAIN_AFTER_SECONDS)
        fact.acknowledged(time.monotonic())
        self.judge.note(f"acknowledged: {device} is {'dirty' if dirty else 'clean'}")
        self.total += 1
        count = self.acknowledged[device].count + 1 if device in self.acknowledged else 1
        data = event["data"]
        assert isinstance(data, dict)
        self.acknowledged[device] = Acknowledged(dirty, datetime.fromisoformat(data["generated_at"]), count)

    async def _attempt(self, event: dict[str, object]) -> bool:
        self.attempts += 1
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ATTEMPT_SECONDS)
        body, name, now = json.dumps(event), str(event["id"]), datetime.now(UTC)
        headers = {
            "Content-Type": "application/cloudevents+json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(name, now, body),
        }
        try:
            answer = await self._client.post(f"{self.url}/inventory/v1/reports", content=body, headers=headers)
        except httpx.HTTPError as error:
            self.last = type(error).__name__
            await self._client.aclose()
            self._client = None
            return False
        self.last = f"{answer.status_code} {'' if answer.is_success else answer.text[:200]}"
        self.repeated += answer.status_code == 200
        if answer.status_code in (400, 403, 409, 410, 413, 415):
            self.judge.violated(f"a report was refused for good: {self.last}")
        return answer.is_success
