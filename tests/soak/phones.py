"""Phones of a soak: those that ask at random pauses on kept connections, and those that wait for mail most of the time.

Each knows from the model what its answer must be: mail while its list is clean or nothing is enforced, a refusal while
a banned app is on it, either of them within the bound after a change. A connection that breaks is an error, unless the
verdict was turning in that moment: an answer half handed over is broken off then.
"""

import asyncio
import random
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.protocols.activesync import query_base64
from tests.faults.judging import Judge
from tests.soak.mail_server import device_of, mail_for
from tests.soak.tally import Tally
from tests.support.phone import CODES
from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT

SYNC = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
SYNC_CUT = bytes.fromhex("03016a00454e033132000101")
SEND_MAIL = bytes.fromhex("03016a00001545")
ITEM_OPERATIONS = bytes.fromhex("03016a00001445460101")
BLOCKED = b"\x03129\x00\x01\x01"
"""How every document that says Status 129 ends."""
SHORT_SECONDS = 30.0
PARKED_SECONDS = 3_600.0
MEAN_PAUSE_SECONDS = 1.0
REFUSED_PAUSE_SECONDS = 5.0
BROKEN_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class SoakPhone:
    """One phone on one kept connection."""

    url: str
    login: str
    judge: Judge
    tally: Tally
    rng: random.Random
    trust: ssl.SSLContext
    waits: bool
    base64_query: bool = False
    device: str = ""
    _client: Client | None = field(default=None)

    def __post_init__(self) -> None:
        self.device = device_of(self.login)

    async def live(self) -> None:
        """Ask on and on, until cancelled."""
        try:
            await asyncio.sleep(self.rng.uniform(0.0, 2.0))
            while True:
                pause = await (self._wait() if self.waits else self._ask_something())
                await asyncio.sleep(pause)
        finally:
            self._hang_up()

    async def _ask_something(self) -> float:
        chance = self.rng.random()
        if chance < 0.04:
            octets = int(10 ** self.rng.uniform(4.0, 6.3))
            return await self._ask("SendMail", SEND_MAIL + b"m" * octets)
        if chance < 0.08:
            octets = int(10 ** self.rng.uniform(4.0, 6.3))
            return await self._ask("ItemOperations", ITEM_OPERATIONS, octets)
        return await self._ask("FolderSync", FOLDER_SYNC) if chance < 0.2 else await self._ask("Sync", SYNC)

    async def _wait(self) -> float:
        """FolderSync until it is served, then a Ping until mail comes, or the cut."""
        pause = await self._ask("FolderSync", FOLDER_SYNC)
        if pause >= REFUSED_PAUSE_SECONDS / 2:
            return pause
        return await self._ask("Ping", PING)

    async def _ask(self, command: str, body: bytes, octets: int = 0) -> float:
        """One request; how long to pause after it."""
        short, began = len(body) < 1000 and not octets, time.monotonic()
        try:
            if self._client is None or self._client.closed:
                self._hang_up()
                # Not wait_for: in Python 3.11 that loses a cancellation which comes together with the result.
                async with asyncio.timeout(SHORT_SECONDS):
                    self._client = await Client.connected(self.url, tls=self._tls())
                began = time.monotonic()
            self._client.write(self._request(command, body, octets))
            within = PARKED_SECONDS if command == "Ping" else SHORT_SECONDS
            answer = await self._client.answer(within_seconds=within)
        except (OSError, TimeoutError) as error:
            return self._broken(f"{command}: {type(error).__name__} after {time.monotonic() - began:.2f} s")
        self._judge(command, answer, octets, began, short=short and command != "Ping")
        if answer.closed or answer.header("connection").lower() == "close":
            self._hang_up()
        if self.judge.model.mail_due(self.device) is None and not answer.body.startswith(b"mail"):
            return REFUSED_PAUSE_SECONDS * self.rng.uniform(0.5, 2.0)
        return min(30.0, self.rng.expovariate(1 / MEAN_PAUSE_SECONDS)) if not self.waits else 0.01

    def _judge(self, command: str, answer: HttpAnswer, octets: int, began: float, *, short: bool) -> None:
        now = time.monotonic()
        seconds = now - began if short else None
        if answer.body.startswith(b"mail for"):
            self.judge.released(self.device, command)
            if answer.closed or answer.body != mail_for(self.device, octets):
                self._broken(f"{command}: {len(answer.body)} octets that are not what was sent")
                return
            self.tally.answered("mail", seconds)
        elif answer.closed:
            self._broken(f"{command}: closed without an answer")
        elif answer.status == 403 or answer.body.endswith(BLOCKED):
            self._refused("refused", began, seconds)
        elif answer.body in (PING_CUT, SYNC_CUT):
            self._refused("cut", now, None)
        else:
            self.tally.error(f"{self.device} {command}: {answer.status} {answer.body[:80]!r}")

    def _refused(self, kind: str, at: float, seconds: float | None) -> None:
        """``at``: what was asked, or ended, when mail had been due for longer than the bound is wrong."""
        due = self.judge.model.mail_due(self.device)
        if due is not None and at > due + self.judge.allowed():
            self.tally.wrong_answer(f"{self.device} was {kind}, and mail was due for {at - due:.2f} s")
        self.tally.answered(kind, seconds)

    def _broken(self, text: str) -> float:
        self._hang_up()
        if self.judge.model.mail_due(self.device) is None:
            self.tally.answered("broken off while it turned")
        else:
            self.tally.error(f"{self.device} {text}")
        return BROKEN_PAUSE_SECONDS

    def _request(self, command: str, body: bytes, octets: int) -> bytes:
        target = self._target(command)
        if self.base64_query and not octets:
            return request(target, body, user=self.login, MS_ASProtocolVersion="")
        return request(target, body, user=self.login, X_MS_PolicyKey=str(octets) if octets else "")

    def _target(self, command: str) -> str:
        if not self.base64_query or command == "ItemOperations":
            return eas(command, self.login, self.device)
        fields = query_base64.Fields(141, CODES[command], 0x0409, self.device.encode(), None, b"Android", ())
        return "/Microsoft-Server-ActiveSync?" + query_base64.write(fields).decode()

    def _tls(self) -> ssl.SSLContext | None:
        return self.trust if urlsplit(self.url).scheme == "https" else None

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.abort()
            self._client = None
