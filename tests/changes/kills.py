"""Kills the control process again and again while changes are planned, approved, applied by stages and withdrawn.

``python -m tests.changes.kills [--kills 50] [--seed 1] [--by time] [--store sqlite]``: a gateway with two workers and
the embedded Valkey, phones that wait for mail, notices to whom each change cuts. By time, a kill lies anywhere between
the sending of a request and somewhat after its usual end; by step, at each step that makes a change in turn
(``steps``). After each restart every change must be whole (``wholeness``), what was acknowledged must be there, each
phone must be treated as the core decides; then the same request is made again and must end it.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Protocol

import httpx

from gateway.domain.bans import Flag
from gateway.domain.change import PolicyChange, State
from tests.changes import steps
from tests.changes.killed_site import BAN, HOLDERS, KilledSite
from tests.faults.gateway_under_test import GatewayUnderTest
from tests.support.postgres_server import QUICK, postgres_server
from tests.support.upstream import mailbox_server
from tests.system.processes import kill
from tests.system.two_people import fill

NOTICES = (
    '[notices]\nsender = "it@corp.example"\nserver = "smtp://127.0.0.1:9"\nhold_seconds = 86400\n'
    'tell = "with-the-cut"\n'
)
FILE = """# as planned by the board
title = "by stages {number}"
[[bans.ban]]
name = "{ban}"   # the one that is there
flag = "enforce"
[rollout]
stages = [{{ report_only = true }}, {{ percent = 50 }}, {{ everybody = true }}]
tell = "with-the-cut"
"""
STAGES = 3
BEYOND = 1.3
"""Some are killed a little after the usual end of the request."""
MISSED_MOST = 3
"""So often a step is waited for that a request does not make."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, what is left to ask for when its answer was lost, and whether all of it is there."""

    name: str
    act: Callable[[], Awaitable[object]]
    end: Callable[[], Awaitable[object]]
    reached: Callable[[], Awaitable[bool]]
    steps: Sequence[str] = ()


class Moment(Protocol):
    """When a kill comes."""

    async def kill(self, request: Request, asked: "asyncio.Task[bool]", pids: Sequence[int]) -> str | None:
        """Kill the control process meanwhile; where that was, in words. None: it was not killed."""
        ...

    def arm(self, request: Request) -> None:
        """Before the request is sent."""
        ...


class ByTime:
    """Anywhere between the sending of a request and somewhat after its usual end."""

    def __init__(self, rng: random.Random, usual: dict[str, float]) -> None:
        self._rng = rng
        self._usual = usual

    def arm(self, request: Request) -> None:
        """Nothing is to be prepared."""

    async def kill(self, request: Request, asked: "asyncio.Task[bool]", pids: Sequence[int]) -> str | None:
        """See ``Moment``."""
        await asyncio.sleep(self._rng.uniform(0.0, BEYOND * self._usual[request.name]))
        for pid in pids:
            kill(pid)
        await asked
        return ""


class ByStep:
    """At each step of a request in turn, in any order."""

    def __init__(self, rng: random.Random, directory: Path) -> None:
        self._rng = rng
        self._at, self._reached = directory / "at", directory / "reached"
        self._left: dict[str, deque[str]] = {}
        self._armed = ""
        self.missed: Counter[tuple[str, str]] = Counter()

    def arm(self, request: Request) -> None:
        """Say which step is meant."""
        if not self._left.get(request.name):
            known = [each for each in request.steps if self.missed[request.name, each] < MISSED_MOST]
            self._left[request.name] = deque(self._rng.sample(known, len(known)))
        self._armed = self._left[request.name].popleft()
        self._at.write_text(self._armed)

    async def kill(self, request: Request, asked: "asyncio.Task[bool]", pids: Sequence[int]) -> str | None:
        """See ``Moment``."""
        await asked
        if not self._reached.exists():
            self._at.unlink()
            # Another stage may make it.
            self.missed[request.name, self._armed] += 1
            self._left[request.name].append(self._armed)
            return None
        assert self._reached.read_text() == self._armed
        self._reached.unlink()
        return self._armed


@dataclass(slots=True)
class Found:
    """What it came to."""

    kills: int = 0
    seconds: float = 0.0
    where: Counter[str] = field(default_factory=Counter)
    """What stood in the store after the restart, by what was asked for."""
    at: dict[str, Counter[str]] = field(default_factory=dict)
    """The same by step."""
    back: list[float] = field(default_factory=list)
    """Seconds from each kill to the end of the restart."""
    wrong: list[str] = field(default_factory=list)
    changes: int = 0
    versions: int = 0

    def lines(self) -> list[str]:
        """For the terminal."""
        back = f"{median(self.back):.1f} s, at most {max(self.back):.1f} s" if self.back else "-"
        by_step = (f"    {step}: {_counted(counts)}" for step, counts in sorted(self.at.items()) if step)
        return [
            f"control killed {self.kills} times in {self.seconds:.0f} s, {self.changes} changes, "
            f"{self.versions} policy versions; back after {back}",
            *(f"  {name}: {count}" for name, count in sorted(self.where.items())),
            *by_step,
            *(self.wrong or ["every change whole, every phone as decided, the audit log sound"]),
        ]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


class Killer:
    """Makes requests and kills the control process meanwhile."""

    def __init__(self, site: KilledSite, moment: Moment, found: Found, kills: int, tell: Callable[[str], None]) -> None:
        self._site = site
        self._moment = moment
        self._kills = kills
        self._tell = tell
        self.found = found

    async def make(self, request: Request) -> None:
        """Ask, kill, and look; then ask for what is left, and look again. Raises ``EnoughKills``."""
        if self.found.kills == self._kills:
            raise EnoughKills
        site, found = self._site, self.found
        await site.park_all()
        before, _ = await site.newest()
        pids = site.gateway.pids("control")
        self._moment.arm(request)
        asked = asyncio.create_task(_answered(request.act()))
        where = await self._moment.kill(request, asked, pids)
        killed_at = time.monotonic()
        if where is not None:
            await site.until_back(pids)
            found.back.append(time.monotonic() - killed_at)
            found.kills += 1
            there = await _there(site, request, before, asked.result())
            found.where[f"{request.name}: {there}"] += 1
            found.at.setdefault(where, Counter())[there] += 1
            self._tell(f"kill {found.kills} of {self._kills}: {request.name}{where and f', {where}'}: {there}")
        self._note(await site.wrong(f"after {request.name} {where or ''}"))
        reached = await request.reached()
        if asked.result() and not reached:
            self._note([f"{request.name} was acknowledged, and is not there"])
        if not reached:
            await request.end()
            if not await request.reached():
                self._note([f"{request.name} could not be ended"])
            self._note(await site.wrong(f"after {request.name} {where or ''} was ended"))

    def _note(self, wrong: Sequence[str]) -> None:
        self.found.wrong += wrong
        for each in wrong:
            self._tell(f"WRONG: {each}")


async def _there(site: KilledSite, request: Request, before: PolicyChange, answered: bool) -> str:
    if await request.reached():
        return "all of it, and answered" if answered else "all of it, not answered"
    after, _ = await site.newest()
    return "nothing of it" if after == before else f"a change that is {after.state}"


async def _answered(work: Awaitable[object]) -> bool:
    with suppress(httpx.HTTPError, OSError):
        await work
        return True
    return False


# --- one life after the other

Do = Callable[[Request], Awaitable[None]]


async def _cycle(site: KilledSite, do: Do) -> None:
    """Enforce and withdraw at once; then from a file: approved, by stages, withdrawn."""
    await do(_enforce(site))
    change, _ = await site.newest()
    await do(_withdraw(site, change.number))
    await do(_plan(site, change.number + 1))
    change, _ = await site.newest()
    await do(_approve(site, change.number))
    for place in range(STAGES):
        await do(_stage(site, change.number, place))
    await do(_withdraw(site, change.number))


def _enforce(site: KilledSite) -> Request:
    """The short form: proposed, previewed and applied by one request."""

    async def enforce() -> None:
        await site.ask(f"/flags/bans/{BAN}", {"flag": "enforce"}, "PUT")

    async def end() -> None:
        change, policy = await site.newest()
        if change.title.endswith("set to enforce") and change.state in (State.DRAFT, State.PREVIEWED):
            if change.state is State.DRAFT:
                await site.ask(f"/changes/{change.number}/preview", {})
            await site.ask(f"/changes/{change.number}/apply", {})
        elif policy.bans[0].flag is not Flag.ENFORCE:
            await enforce()

    async def reached() -> bool:
        change, policy = await site.newest()
        return change.state is State.APPLIED and policy.bans[0].flag is Flag.ENFORCE

    return Request("enforce", enforce, end, reached, (steps.PROPOSED, steps.PREVIEWED, *steps.IN_APPLY))


def _plan(site: KilledSite, number: int) -> Request:
    text = FILE.format(number=number, ban=BAN)

    async def plan() -> None:
        await site.ask("/changes", {"toml": text})

    async def end() -> None:
        change, _ = await site.newest()
        if change.source == text:
            await site.ask(f"/changes/{change.number}/preview", {})
        else:
            await plan()

    async def reached() -> bool:
        change, _ = await site.newest()
        return change.source == text and change.state is State.PREVIEWED

    return Request("a file", plan, end, reached, steps.IN_PLAN)


def _approve(site: KilledSite, number: int) -> Request:
    async def approve() -> None:
        change = await site.change(number)
        assert change.preview is not None
        body: dict[str, object] = {"digest": change.preview.digest}
        await site.ask(f"/changes/{number}/approve", body, token=site.second_token)

    async def reached() -> bool:
        return [each.operator for each in (await site.change(number)).approvals] == ["second"]

    return Request("an approval", approve, approve, reached, steps.IN_APPROVAL)


def _stage(site: KilledSite, number: int, place: int) -> Request:
    async def apply() -> None:
        await site.ask(f"/changes/{number}/apply", {"stage": place + 1})

    async def reached() -> bool:
        return len((await site.change(number)).done) == place + 1

    return Request("a stage", apply, apply, reached, steps.IN_APPLY)


def _withdraw(site: KilledSite, number: int) -> Request:
    async def withdraw() -> None:
        await site.ask(f"/changes/{number}/withdraw", {"reason": "sent in error"})

    async def reached() -> bool:
        return (await site.change(number)).state is State.WITHDRAWN

    return Request("withdraw", withdraw, withdraw, reached, steps.IN_WITHDRAW)


@contextmanager
def _database(store: str, data_dir: Path) -> Iterator[tuple[str, str]]:
    """The URL of an empty database, and what settings say of it."""
    if store == "sqlite":
        yield f"sqlite:///{data_dir}/gatepost.db", ""
        return
    with postgres_server(QUICK) as server:
        url = server.database("gatepost")
        yield url, f'[storage]\nurl = "{url}"\n'


async def run(
    kills: int, seed: int, *, by: str = "time", store: str = "sqlite", tell: Callable[[str], None] = lambda line: None
) -> Found:
    """So many kills; before them one life without, which says how long each request takes."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="gatepost-changes-") as name:
        directory = Path(name)
        with _database(store, directory / "var") as (url, said):
            async with mailbox_server() as mailbox:
                gateway = GatewayUnderTest(directory, mailbox.url, more=NOTICES + said)
                if by == "step":
                    gateway.environment = {"FAULTS_STEPS": name}
                gateway.prepare()
                await fill(url, HOLDERS)
                await gateway.start()
                try:
                    return await _killed(KilledSite(gateway, mailbox, url), rng, kills, by, tell)
                finally:
                    await gateway.stop()


async def _killed(site: KilledSite, rng: random.Random, kills: int, by: str, tell: Callable[[str], None]) -> Found:
    found, usual = Found(), dict[str, float]()

    async def measured(request: Request) -> None:
        began = time.monotonic()
        await request.act()
        usual[request.name] = max(usual.get(request.name, 0.0), time.monotonic() - began)

    await site.begin()
    await _cycle(site, measured)
    began = time.monotonic()
    moment = ByStep(rng, site.gateway.directory) if by == "step" else ByTime(rng, usual)
    killer = Killer(site, moment, found, kills, tell)
    with suppress(EnoughKills):
        while True:
            await _cycle(site, killer.make)
    found.changes, found.versions, unsound = await site.end()
    found.wrong += unsound
    found.seconds = time.monotonic() - began
    return found


class EnoughKills(Exception):  # noqa: N818  (not a mistake)
    """The last one was made."""


def main() -> None:
    """Say what was found; exit 1 where anything was half done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by", choices=("time", "step"), default="time")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    tell = partial(print, flush=True)
    found = asyncio.run(run(given.kills, given.seed, by=given.by, store=given.store, tell=tell))
    print("\n".join(found.lines()))
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
