"""A whole site under load: the gateway, the mail server behind it, phones, agents, and the judge that looks on."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.faults.agents import Reporter
from tests.faults.cache_under_test import CacheUnderTest
from tests.faults.gateway_under_test import GatewayUnderTest
from tests.faults.judging import Judge
from tests.faults.model import Model
from tests.faults.origin import FaultyOrigin
from tests.faults.phones import FaultPhone
from tests.faults.postgres_pair import PostgresPair
from tests.faults.wire import Wire
from tests.support.reporting import TIKTOK

USERS = 16
DEVICES_EACH = 2
REPORTERS = 4
RIGHT_WITHIN_SECONDS = 12.0
"""After the gateway is healthy again, every phone has had the right answer within this."""
BEGUN_WITHIN_SECONDS = 90.0
POLL_SECONDS = 0.02
HALF_A_DAY = {"max_age_seconds": 43_200}
"""How long a list is fresh: a clock that is put forward by a day would make each stale."""


@dataclass(slots=True)
class Site:
    """Everything, running."""

    gateway: GatewayUnderTest
    origin: FaultyOrigin
    judge: Judge
    rng: random.Random
    phones: list[FaultPhone] = field(default_factory=list)
    reporters: list[Reporter] = field(default_factory=list)
    cache: CacheUnderTest | None = None
    """Where it has one of its own."""
    wire: Wire | None = None
    """The way to it."""
    postgres: PostgresPair | None = None
    """The store, where it is not SQLite."""
    edits: int = 0
    longest_lag: float = 0.0
    """Of the harness's own event loop."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _editing: asyncio.Event = field(default_factory=asyncio.Event)
    _resting: asyncio.Event = field(default_factory=asyncio.Event)
    _no_edit: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.gateway.directory

    async def start(self) -> None:
        """Start the gateway, ban an app, and let the load begin; returns when every phone has had an answer."""
        await self.origin.listen()
        await self.gateway.start()
        secret = await self._set_up()
        self._make_load(secret)
        lives = (*(phone.live() for phone in self.phones), *(each.live() for each in self.reporters))
        works = (*lives, self._mind_the_loop(), self._edit_now_and_then())
        self._tasks = [asyncio.create_task(work) for work in works]
        self.load(on=True)
        async with asyncio.timeout(BEGUN_WITHIN_SECONDS):
            while sum(len(each.acknowledged) for each in self.reporters) < len(self.phones):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)

    async def _set_up(self) -> str:
        async with self.gateway.api() as api:
            ban = {"name": "TikTok", "matchers": [{"kind": "id", "value": f"android:{TIKTOK}"}], "flag": "enforce"}
            (await api.post("/bans", json=ban)).raise_for_status()
            added = await api.post("/sources", json={"name": "agents", "kind": "push", "devices": "*", **HALF_A_DAY})
            added.raise_for_status()
        self.judge.model.enforced.sending(True)
        self.judge.model.enforced.acknowledged(time.monotonic())
        return str(added.json()["secret"])

    def _make_load(self, secret: str) -> None:
        pairs = [(f"user{user:02}", f"dev{user:02}{place}") for user in range(USERS) for place in "ab"[:DEVICES_EACH]]
        url = self.gateway.url("http")
        self.phones = [FaultPhone(url, *pair, judge=self.judge, rng=random.Random(self.rng.random())) for pair in pairs]
        self.reporters = [
            Reporter(
                *(self.gateway.url("inventory"), secret, pairs[place::REPORTERS], self.judge),
                random.Random(self.rng.random()),
            )
            for place in range(REPORTERS)
        ]

    def load(self, *, on: bool) -> None:
        """Let agents and editor go on, or rest as soon as what they have begun is acknowledged."""
        for each in self.reporters:
            each.going.set() if on else each.going.clear()
        self._editing.set() if on else self._editing.clear()
        self._resting.clear() if on else self._resting.set()

    def begin_to_report(self, pause_seconds: float) -> None:
        """Let the agents go on by themselves, faster; nobody edits."""
        for each in self.reporters:
            each.pause_seconds = pause_seconds
            each.going.set()

    async def rest(self) -> None:
        """Wait until everything that was begun is acknowledged."""
        self.load(on=False)
        for each in self.reporters:
            await each.idle.wait()
        await self._no_edit.wait()

    async def _mind_the_loop(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            self.longest_lag = max(self.longest_lag, time.monotonic() - began - 0.05)

    async def _edit_now_and_then(self) -> None:
        while True:
            if not self._editing.is_set():
                self._no_edit.set()
                await self._editing.wait()
                self._no_edit.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._resting.wait(), self.rng.uniform(1.0, 5.0))
                continue
            await self.set_enforced(False)
            await asyncio.sleep(self.rng.uniform(0.0, 0.2))
            await self.set_enforced(True)

    async def set_enforced(self, wanted: bool) -> None:
        """Turn the ban's flag, again and again until that is acknowledged."""
        fact = self.judge.model.enforced
        fact.sending(wanted)
        while True:
            with suppress(httpx.HTTPError, OSError):
                async with self.gateway.api() as api:
                    answer = await api.put(
                        "/flags/bans/TikTok", json={"flag": "enforce" if wanted else "report-only"}, timeout=3
                    )
                if answer.is_success:
                    break
            await asyncio.sleep(0.1)
        fact.acknowledged(time.monotonic())
        self.judge.note(f"acknowledged: {'enforced' if wanted else 'report-only'}")
        self.edits += 1

    async def report_all(self) -> None:
        """Report every device anew, as it is; agents must be at rest."""
        for each in self.reporters:
            for user, device in each.devices:
                known = each.acknowledged.get(device)
                await each.report(user, device, dirty=known is not None and known.dirty)

    async def deny_unknowns(self) -> None:
        """Let nobody through whose evidence is stale or missing."""
        async with self.gateway.api() as api:
            for name in ("stale", "missing"):
                (await api.put(f"/flags/unknowns/{name}", json={"setting": "deny"})).raise_for_status()

    # --- after a fault

    async def until_healthy(self, within_seconds: float) -> None:
        """Wait until health and metrics are green; what is not is in the ``TimeoutError``."""
        missing = "nothing was asked"
        try:
            async with asyncio.timeout(within_seconds), httpx.AsyncClient(timeout=2) as client:
                while missing := await self._missing(client):  # noqa: ASYNC110  (other processes)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"not healthy within {within_seconds:.0f} s: {missing}") from None

    async def _missing(self, client: httpx.AsyncClient) -> str:
        try:
            ready = await client.get(f"{self.gateway.url('admin')}/readyz")
            metrics = (await client.get(f"{self.gateway.url('admin')}/metrics")).text
        except (httpx.HTTPError, OSError) as error:
            return repr(error)
        if ready.status_code != 200:
            return ready.text
        wanted = {
            "gatepost_workers_up": self.gateway.workers,
            "gatepost_feed_up": 1,
            "gatepost_feed_stale": 0,
            "gatepost_state_lost": 0,
        }
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        wrong = {name: values.get(name) for name, value in wanted.items() if float(values.get(name, -1)) != value}
        return str(wrong) if wrong else ""

    async def until_right(self, since: float) -> list[str]:
        """Wait until each phone has had the right answer after ``since``; who has not, in words."""
        until = time.monotonic() + RIGHT_WITHIN_SECONDS
        while wrong := [text for phone in self.phones if (text := self._wrong(phone, since))]:
            if time.monotonic() > until:
                return wrong
            await asyncio.sleep(POLL_SECONDS)
        return []

    def _wrong(self, phone: FaultPhone, since: float) -> str:
        model = self.judge.model
        if model.mail_due(phone.device) is not None and phone.mail_at < since:
            return f"{phone.device} may have mail and got none; last {phone.last}"
        if model.refusal_due(phone.device) is not None:
            if phone.refused_at < since:
                return f"{phone.device} was not refused; last {phone.last}"
            if self.origin.parked[phone.device]:
                return f"{phone.device} is refused and still waits at the mail server"
        return ""

    async def lost(self) -> list[str]:
        """What was acknowledged and is not what the gateway holds now; nothing may be under way."""
        said = {device: known for each in self.reporters for device, known in each.acknowledged.items()}
        held: dict[str, tuple[datetime, int]] = {}
        async with self.gateway.api() as api:
            for user in sorted({phone.user for phone in self.phones}):
                answer = await api.get(f"/devices/{user}")
                answer.raise_for_status()
                document = answer.json()
                for evidence in [*document["without_mail"], *(e for d in document["devices"] for e in d["evidence"])]:
                    at = datetime.fromisoformat(evidence["reported_at"])
                    held[evidence["source_device"].rpartition("/")[2]] = (at, evidence["apps"])
        wrong = []
        for device, known in said.items():
            at, apps = held.get(device, (datetime.fromtimestamp(0, UTC), 0))
            if abs((at - known.generated_at).total_seconds()) > 0.0015 or apps != 3 + known.dirty:
                wrong.append(f"{device}: acknowledged {known.generated_at} dirty={known.dirty}, held {at} apps={apps}")
        return wrong

    async def stop(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.gateway.stop()
        self.origin.refuse()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


@asynccontextmanager
async def site(directory: Path, seed: int, **given: object) -> AsyncIterator[Site]:
    """A site that runs; ``given`` goes to ``GatewayUnderTest``."""
    rng = random.Random(seed)
    judge = Judge(Model())
    origin = FaultyOrigin(judge.relayed, random.Random(rng.random()))
    gateway = GatewayUnderTest(directory, origin.url, **given)  # type: ignore[arg-type]
    gateway.prepare()
    running = Site(gateway, origin, judge, rng)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
