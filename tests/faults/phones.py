"""Phones that never rest: short commands and waiting Pings in turn, each on a connection of its own, whatever happens.

A phone that is refused comes back more slowly; one that is broken off connects again.
"""

import asyncio
import random
import time
from dataclasses import dataclass

from tests.faults.judging import Judge
from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.spine import FOLDER_SYNC, PING

PATIENCE_SECONDS = 4.0
REFUSED_PAUSE_SECONDS = 0.7
BUSY_PAUSE_SECONDS = 0.15
BROKEN_PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class FaultPhone:
    """One phone and what it has seen last. Moments are of ``time.monotonic``."""

    url: str
    user: str
    device: str
    judge: Judge
    rng: random.Random
    requests: int = 0
    broken: int = 0
    mail_at: float = 0.0
    refused_at: float = 0.0
    put_off_at: float = 0.0
    last: str = ""
    _client: Client | None = None

    async def live(self) -> None:
        """Ask on and on, until cancelled."""
        try:
            while True:  # noqa: ASYNC110  (it asks in each round)
                await asyncio.sleep(await self._once())
        finally:
            self._hang_up()

    async def _once(self) -> float:
        """One request; how long to pause after it."""
        command = "Ping" if self.rng.random() < 0.4 else "FolderSync"
        body = PING if command == "Ping" else FOLDER_SYNC
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._client is None:
                    self._client = await Client.connected(self.url)
                answer = await self._client.ask(request(eas(command, self.user, self.device), body, user=self.user))
        except (OSError, TimeoutError) as error:
            self.last = f"{command}: {type(error).__name__}"
            return self._broken()
        self.requests += 1
        return self._take(command, answer)

    def _take(self, command: str, answer: HttpAnswer) -> float:
        now = time.monotonic()
        self.last = f"{command}: {answer.status}{' broken off' if answer.closed else ''}"
        if answer.body.startswith(b"mail for"):
            # A half answer counts: a part of a mail is mail.
            self.judge.released(self.device, command)
        if answer.closed:
            return self._broken()
        if answer.status == 200 and answer.body == b"mail for " + self.device.encode():
            self.mail_at = now
            return self.rng.uniform(0.2, 1.0) * BUSY_PAUSE_SECONDS
        if answer.status == 503:
            self.put_off_at = now
        elif answer.status == 200:
            self.refused_at = now
        return self.rng.uniform(0.5, 1.0) * REFUSED_PAUSE_SECONDS

    def _broken(self) -> float:
        self.broken += 1
        self._hang_up()
        return BROKEN_PAUSE_SECONDS

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
