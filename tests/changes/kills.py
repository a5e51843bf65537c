"""Kills the control process again and again while changes are applied, by stages too, and withdrawn.

``python -m tests.changes.kills [--kills 50] [--seed 1]``: a gateway with two workers and the embedded Valkey, phones
that wait for mail, notices to whom each change cuts. The moment of each kill lies anywhere between the sending of a
request and somewhat after its usual end. After each restart every change must be whole (``wholeness``), what was
acknowledged must be there, each phone must be treated as the core decides; then the same request is made again and
must end it.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from gateway.audit.keys import AuditKey, Seals, find_or_make_key
from gateway.audit.verification import verified
from gateway.changes import edits
from gateway.changes.desk import Actor, ChangeDesk, Wanted
from gateway.changes.previews import Previewed
from gateway.domain.bans import Flag
from gateway.domain.change import PolicyChange, State
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import PolicyVersion
from gateway.domain.stages import EVERYBODY, Stage
from gateway.inventory.records import load_record
from gateway.storage.sql import SqlStore, open_store
from tests.changes.wholeness import refused, what_is_wrong
from tests.faults.gateway_under_test import GatewayUnderTest
from tests.support.raw_http import Client, HttpAnswer, ask, eas, request
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.processes import kill
from tests.system.two_people import RULES, banned, fill, holder

BAN = "TikTok"
HOLDERS = {BAN: 24, "Other": 4}
PHONES = (*((holder(BAN, each), f"tiktok{each}") for each in range(4)), (holder("Other", 0), "other0"))
NOTICES = (
    '[notices]\nsender = "it@corp.example"\nserver = "smtp://127.0.0.1:9"\nhold_seconds = 86400\n'
    'tell = "with-the-cut"\n'
)
STAGES = (Stage(report_only=True), Stage(percent=50.0), EVERYBODY)
BEYOND = 1.3
"""Some are killed a little after the usual end of the request."""
BACK_SECONDS = 60.0
CUT_SECONDS = 10.0


@dataclass(slots=True)
class Found:
    """What it came to."""

    kills: int = 0
    seconds: float = 0.0
    where: Counter[str] = field(default_factory=Counter)
    """What stood in the store after the restart, by what was asked for."""
    back: list[float] = field(default_factory=list)
    """Seconds from each kill to the end of the restart."""
    wrong: list[str] = field(default_factory=list)
    changes: int = 0
    versions: int = 0

    def lines(self) -> list[str]:
        """For the terminal."""
        back = f"{median(self.back):.1f} s, at most {max(self.back):.1f} s" if self.back else "-"
        return [
            f"control killed {self.kills} times in {self.seconds:.0f} s, {self.changes} changes, "
            f"{self.versions} policy versions; back after {back}",
            *(f"  {name}: {count}" for name, count in sorted(self.where.items())),
            *(self.wrong or ["every change whole, every phone as decided, the audit log sound"]),
        ]


@dataclass(slots=True)
class Phone:
    """One phone, which waits for mail whenever it may."""

    user: str
    device: str
    waiting: asyncio.Task[HttpAnswer] | None = None
    client: Client | None = None

    async def park(self, url: str, mailbox: MailboxServer) -> None:
        """Ask for what is new, if it does not already."""
        if self.waiting is not None:
            return
        before = mailbox.parked
        self.client = await Client.connected(url)
        self.client.write(request(eas("Ping", self.user, self.device), PING, user=self.user))
        self.waiting = asyncio.create_task(self.client.answer(within_seconds=3_600))
        await mailbox.until_parked(before + 1)

    async def wrong(self, url: str, deny: bool) -> str:
        """Why it is not treated as decided; empty: it is. One that was cut waits no more."""
        if deny and self.waiting is not None:
            done, _ = await asyncio.wait({self.waiting}, timeout=CUT_SECONDS)
            if not done or self.waiting.result().body != PING_CUT:
                return f"{self.device} is denied and waits on"
            self.drop()
        if not deny and self.waiting is not None and self.waiting.done():
            return f"{self.device} is allowed and was cut: {self.waiting.result()}"
        question = request(eas("FolderSync", self.user, self.device), FOLDER_SYNC, user=self.user)
        # Either worker may take it.
        answers = [await ask(url, question) for _ in range(4)]
        served = [each.body == f"mail for {self.user}".encode() for each in answers]
        return "" if set(served) == {not deny} else f"{self.device} is {'denied' if deny else 'allowed'}, but {served}"

    def drop(self) -> None:
        """Hang up."""
        if self.client is not None:
            self.client.close()
        if self.waiting is not None:
            self.waiting.cancel()
        self.client = self.waiting = None


class Site:
    """A gateway, what looks at its store, and its phones."""

    def __init__(self, gateway: GatewayUnderTest, mailbox: MailboxServer, rng: random.Random) -> None:
        self.gateway = gateway
        self.mailbox = mailbox
        self.rng = rng
        self.found = Found()
        self.usual: dict[str, float] = {}
        self.phones = [Phone(*each) for each in PHONES]
        self.records: Sequence[PersonRecord] = ()
        self.database = f"sqlite:///{gateway.data_dir}/gatepost.db"

    @property
    def key(self) -> AuditKey:
        """What the gateway seals its audit log with."""
        return find_or_make_key(self.gateway.data_dir)[0]

    async def reading(self) -> SqlStore:
        """Its store, to look at."""
        return await open_store(self.database, writable=False)

    async def newest(self) -> tuple[PolicyChange, PolicyVersion]:
        """The newest change and version."""
        store = await self.reading()
        async with store.read() as reading:
            (change,), policy = await reading.policy_changes(1), await reading.policy()
        await store.close()
        assert policy is not None
        return change, policy

    async def begin(self) -> None:
        """A ban that only reports; people as the store has them."""
        async with self.gateway.api() as api:
            matcher = {"kind": "id", "value": f"android:{banned(BAN).id}"}
            (await api.post("/bans", json={"name": BAN, "matchers": [matcher]})).raise_for_status()
        store = await self.reading()
        async with store.read() as reading:
            people = await reading.people(limit=1_000)
            self.records = [await load_record(reading, each.person_id, RULES) for each in people]
        await store.close()

    # --- what is asked for

    async def ask(self, path: str, body: dict[str, object], method: str = "POST") -> None:
        """One request to the API. Raises ``httpx.HTTPError``."""
        async with self.gateway.api() as api:
            (await api.request(method, path, json=body, timeout=30)).raise_for_status()

    async def enforce(self) -> None:
        """The short form: proposed, previewed and applied by one request."""
        await self.ask(f"/flags/bans/{BAN}", {"flag": "enforce"}, "PUT")

    async def end_enforcing(self) -> None:
        """What is left of it."""
        change, policy = await self.newest()
        if change.title.endswith("set to enforce") and change.state in (State.DRAFT, State.PREVIEWED):
            if change.state is State.DRAFT:
                await self.ask(f"/changes/{change.number}/preview", {})
            await self.ask(f"/changes/{change.number}/apply", {})
        elif policy.bans[0].flag is not Flag.ENFORCE:
            await self.enforce()

    async def enforced(self) -> bool:
        """Whether the ban is, for everybody."""
        change, policy = await self.newest()
        return change.state is State.APPLIED and policy.bans[0].flag is Flag.ENFORCE

    async def propose_stages(self) -> int:
        """A change of three stages, previewed; it is made as another control process would make it."""
        store = await open_store(self.database, writable=True, seal=self.key.seal)
        change = await ChangeDesk(store, _NoPreviews()).propose(
            Actor("admin", "t0"),
            lambda version: edits.set_flag(version, BAN, Flag.ENFORCE),
            Wanted(title="by stages", stages=STAGES),
        )
        await store.close()
        assert change is not None
        await self.ask(f"/changes/{change.number}/preview", {})
        return change.number

    # --- killing

    async def killed(self, step: "Step") -> None:
        """Ask, kill the control process meanwhile, and look; then ask for what is left, and look again."""
        for phone in self.phones:
            if (phone.user, phone.device) not in await self._refused():
                await phone.park(self.gateway.url("http"), self.mailbox)
        before, _ = await self.newest()
        asked = asyncio.create_task(_answered(step.act()))
        await asyncio.sleep(self.rng.uniform(0.0, BEYOND * self.usual[step.name]))
        killed_at = time.monotonic()
        pids = self.gateway.pids("control")
        for pid in pids:
            kill(pid)
        answered = await asked
        await self._back(pids)
        self.found.back.append(time.monotonic() - killed_at)
        self.found.kills += 1
        after, _ = await self.newest()
        self.found.where[f"{step.name}: {_where(before, after, answered)}"] += 1
        await self._look(f"after {step.name}")
        if answered and not await step.reached():
            self.found.wrong.append(f"{step.name} was acknowledged, and is not there")
        if not await step.reached():
            await step.end()
        if not await step.reached():
            self.found.wrong.append(f"{step.name} could not be ended")
        await self._look(f"after {step.name} was ended")

    async def _back(self, without: Sequence[int]) -> None:
        """Until another control process answers, and every worker judges by the newest version."""
        async with asyncio.timeout(BACK_SECONDS):
            while True:
                with suppress(httpx.HTTPError, OSError, KeyError):
                    if set(self.gateway.pids("control")) - set(without) and await self._all_follow():
                        return
                await asyncio.sleep(0.02)

    async def _all_follow(self) -> bool:
        _, policy = await self.newest()
        async with self.gateway.api() as api:
            ready = (await api.get(f"{self.gateway.url('admin')}/readyz", timeout=2)).status_code == 200
            told = (await api.get("/status", timeout=5)).json()["gateway"]["workers"]
        return ready and [each["policy_version"] for each in told] == [policy.number] * self.gateway.workers

    async def _refused(self) -> frozenset[tuple[str, str]]:
        _, policy = await self.newest()
        return refused(self.records, policy, time.time())

    async def _look(self, when: str) -> None:
        store = await self.reading()
        async with store.read() as reading:
            wrong = await what_is_wrong(reading, self.records, time.time())
        await store.close()
        denied = await self._refused()
        for phone in self.phones:
            wrong.append(await phone.wrong(self.gateway.url("http"), (phone.user, phone.device) in denied))
        self.found.wrong += [f"{when}: {each}" for each in wrong if each]

    async def end(self) -> None:
        """The last look: the audit log from one end to the other."""
        for phone in self.phones:
            phone.drop()
        store = await self.reading()
        async with store.read() as reading:
            head = await reading.audit_head()
            sound = await verified(reading, [self.key.verifier(head.origin)], Seals(self.key), [])
            self.found.versions = len(await reading.policies(100_000))
            self.found.changes = len(await reading.policy_changes(100_000))
        await store.close()
        self.found.wrong += [f"audit log: {each}" for each in sound.damages]


class _NoPreviews:
    """Previews are the gateway's."""

    async def of(self, before: PolicyVersion, after: PolicyVersion, *, brief: bool = False) -> Previewed:
        """Never asked."""
        raise AssertionError("previews are the gateway's")


async def _answered(work: Awaitable[None]) -> bool:
    with suppress(httpx.HTTPError, OSError):
        await work
        return True
    return False


def _where(before: PolicyChange, after: PolicyChange, answered: bool) -> str:
    if answered:
        return "all of it, and answered"
    if after == before:
        return "nothing of it"
    if after.number == before.number or after.done:
        return "all of it, not answered"
    return f"a change that is {after.state}"


# --- one life after the other


@dataclass(frozen=True, slots=True)
class Step:
    """One request, what is left to ask for when its answer was lost, and whether all of it is there."""

    name: str
    act: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    reached: Callable[[], Awaitable[bool]]


Do = Callable[[Step], Awaitable[None]]


async def _cycle(site: Site, do: Do) -> None:
    """Enforce and withdraw at once, then by stages."""
    await do(Step("enforce", site.enforce, site.end_enforcing, site.enforced))
    change, _ = await site.newest()
    await do(_withdraw(site, change.number))
    number = await site.propose_stages()
    for place in range(len(STAGES)):
        await do(_stage(site, number, place))
    await do(_withdraw(site, number))


def _stage(site: Site, number: int, place: int) -> Step:
    async def apply() -> None:
        await site.ask(f"/changes/{number}/apply", {"stage": place + 1})

    async def reached() -> bool:
        change, _ = await site.newest()
        return change.number == number and len(change.done) == place + 1

    return Step("a stage", apply, apply, reached)


def _withdraw(site: Site, number: int) -> Step:
    async def withdraw() -> None:
        await site.ask(f"/changes/{number}/withdraw", {"reason": "sent in error"})

    async def reached() -> bool:
        change, _ = await site.newest()
        return change.number == number and change.state is State.WITHDRAWN

    return Step("withdraw", withdraw, withdraw, reached)


async def run(kills: int, seed: int) -> Found:
    """So many kills; before them one life without, which says how long each request takes."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="gatepost-changes-") as directory:
        async with mailbox_server() as mailbox:
            gateway = GatewayUnderTest(Path(directory), mailbox.url, more=NOTICES)
            gateway.prepare()
            await fill(gateway.data_dir / "gatepost.db", HOLDERS)
            await gateway.start()
            try:
                site = Site(gateway, mailbox, rng)
                await site.begin()
                await _measured(site)
                began = time.monotonic()
                await _killed(site, kills)
                await site.end()
                site.found.seconds = time.monotonic() - began
            finally:
                await gateway.stop()
    return site.found


async def _measured(site: Site) -> None:
    async def measured(step: Step) -> None:
        began = time.monotonic()
        await step.act()
        site.usual[step.name] = max(site.usual.get(step.name, 0.0), time.monotonic() - began)

    await _cycle(site, measured)


class _EnoughKills(Exception):  # noqa: N818  (not a mistake)
    """The last one was made."""


async def _killed(site: Site, kills: int) -> None:
    async def killed(step: Step) -> None:
        if site.found.kills == kills:
            raise _EnoughKills
        await site.killed(step)

    with suppress(_EnoughKills):
        while True:
            await _cycle(site, killed)


def main() -> None:
    """Say what was found; exit 1 where anything was half done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = asyncio.run(run(given.kills, given.seed))
    print("\n".join(found.lines()))
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
