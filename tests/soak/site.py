"""A whole site for a soak: the gateway with two workers, plain and TLS, its mail server, and everybody around it."""

import asyncio
import json
import random
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.agents import Reporter
from tests.faults.judging import Judge
from tests.faults.model import Model
from tests.network.authority import Authority
from tests.soak.desk import Desk, hang_up, keep_reporting, new_certificate
from tests.soak.mail_process import MailProcess
from tests.soak.mail_server import device_of
from tests.soak.phones import SoakPhone
from tests.soak.rude import RudeClient
from tests.soak.tally import Tally
from tests.support.reporting import TIKTOK
from tests.support.running import Running, running

REPORTERS = 4
RUDE = 3
CROWD_SECONDS = 10.0
"""All come at once, in their first two seconds, and every device reports; so long until that is over."""
LAG_EVERY_SECONDS = 0.05
LAGS = 200
"""Of the last ten seconds."""
LIMITS = {"GATEPOST_HTTP__MAX_CONNECTIONS_PER_ADDRESS": "20000"}
"""All clients have one address."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of everything."""

    phones: int = 300
    waiting: int = 1_000
    reports_per_second: float = 10.0
    seed: int = 1
    rest_seconds: float = 6.0
    """In two thirds of it the gateway closes its idle connections to the mail server."""
    bound_seconds: float = 1.0
    """After an acknowledged report or edit no phone has the old answer for longer; 50 ms is what is promised at p99,
    and the one event loop of all clients adds its own delay."""


@dataclass(slots=True)
class Site:
    """Everything, running."""

    gateway: Running
    server: MailProcess
    judge: Judge
    tally: Tally
    desk: Desk
    size: Size
    _phones: list[SoakPhone] = field(default_factory=list)
    _reporters: list[Reporter] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self) -> None:
        """Let everybody go on."""
        rng, size = self.desk.rng, self.size
        self.judge.crowd_until = time.monotonic() + CROWD_SECONDS
        pause = len(self._reporters) / size.reports_per_second
        rude = [
            RudeClient(self._urls, self.desk.logins, self.tally, random.Random(rng.random()), self._phones[0].trust)
            for _ in range(RUDE)
        ]
        works = [
            *(phone.live() for phone in self._phones),
            *(keep_reporting(each, random.Random(rng.random()), pause) for each in self._reporters),
            *(each.live() for each in rude),
            *(self.desk.live(), self._look_at_the_parked(), self._mind_the_loop()),
        ]
        self._tasks = [asyncio.create_task(work) for work in works]

    async def rest(self) -> None:
        """Let everybody hang up, and wait until the gateway has nothing left to do."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.tally.error(f"a client broke: {outcome!r}")
        self._tasks = []
        await self.desk.finish()
        for reporter in self._reporters:
            await hang_up(reporter)
        # What was broken off may have happened or not.
        self.judge.model.doubt()
        await self.desk.do(self._enforced)
        await asyncio.sleep(self.size.rest_seconds)

    async def _enforced(self) -> None:
        await self.desk.set_flag(True)

    @property
    def _urls(self) -> tuple[str, str]:
        plain, secure = self.gateway.listening["http"]
        return plain, secure

    def arrange(self, secret: str, trust: ssl.SSLContext) -> None:
        """Make phones and agents; half of the phones speak TLS, a third the base64 form."""
        rng = self.desk.rng
        for number, login in enumerate(self.desk.logins):
            self._phones.append(
                SoakPhone(
                    *(self._urls[number % 2], login, self.judge, self.tally, random.Random(rng.random()), trust),
                    waits=number >= self.size.phones,
                    base64_query=number % 3 == 0,
                )
            )
        pairs = [(login, device_of(login)) for login in self.desk.logins]
        self._reporters = [
            Reporter(self.gateway.inventory, secret, pairs[place::REPORTERS], self.judge, random.Random(place))
            for place in range(REPORTERS)
        ]

    async def _mind_the_loop(self) -> None:
        """What this process itself was late lately, or is in the round of its loop that is under way, is not the
        gateway's: the bound is wider by that much."""
        lags: deque[float] = deque(maxlen=LAGS)
        began = time.monotonic()
        self.judge.late = lambda: max(self.tally.lag, time.monotonic() - began - LAG_EVERY_SECONDS)
        while True:
            began = time.monotonic()
            await asyncio.sleep(LAG_EVERY_SECONDS)
            lags.append(time.monotonic() - began - LAG_EVERY_SECONDS)
            self.tally.lag = max(lags)

    async def _look_at_the_parked(self) -> None:
        """Whoever is refused waits at the mail server no longer than the bound."""
        while True:
            await asyncio.sleep(0.25)
            for device in list(self.server.parked):
                due = self.judge.model.refusal_due(device)
                if due is not None and time.monotonic() - due > self.judge.allowed() + 0.5:
                    self.tally.wrong_answer(f"{device} still waits, {time.monotonic() - due:.2f} s after its refusal")
            while self.judge.violations:
                self.tally.wrong_answer(self.judge.violations.pop())


@asynccontextmanager
async def site(directory: Path, size: Size) -> AsyncIterator[Site]:
    """A site whose clients have not begun yet."""
    rng, judge, tally = random.Random(size.seed), Judge(Model(), size.bound_seconds), Tally()
    server = await MailProcess.begun(judge, size.seed)
    authority, certificate = Authority(directory), directory / "certificate.pem"
    new_certificate(authority, certificate)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    environment = {
        **LIMITS,
        "GATEPOST_HTTP__LISTEN": "http://127.0.0.1:0, https://127.0.0.1:0",
        "GATEPOST_HTTP__UPSTREAM_IDLE_SECONDS": str(size.rest_seconds * 2 / 3),
    }
    more = f'[tls]\ncertificate = "{certificate}"\n'
    logins = [f"phone{number:05}@corp.example" for number in range(size.phones + size.waiting)]
    async with running(directory, server.url, workers=2, more=more, environment=environment) as gateway:
        added = await gateway.gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--json")
        await gateway.gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK}", "--flag", "enforce", "--yes")
        judge.model.enforced.sending(True)
        judge.model.enforced.acknowledged(time.monotonic())
        secure = gateway.listening["http"][1]
        desk = Desk(gateway, secure, authority, certificate, logins, judge, tally, rng)
        made = Site(gateway, server, judge, tally, desk, size)
        made.arrange(json.loads(added)["secret"], trust)
        yield made
    await server.close()
