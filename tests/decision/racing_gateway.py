"""A whole data path in one process, under the order of a test: control process, shared cache, feed, workers, phones.

Everything is the real code but the store (in memory) and the Redis server (a double); whatever leaves a process waits
for its turn. Every answer a phone gets is compared at once with what its worker has heard of: see ``Worker.check``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cache, partial

from hypothesis import settings
from structlog.testing import capture_logs

from gateway.app.parts import record_loader, record_reader
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import App, DeviceKey, InventoryReport, Platform, ReportedApp, ReportKind, Scope
from gateway.domain.policy import Setting, Unavailable, Unknowns, UnknownSetting, first_policy, policy_of
from gateway.domain.verdict import Effect, Reason, Verdict
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.inventory.publication import Publication
from gateway.inventory.records import load_record
from gateway.ports.state_cache import ChangeSubscription, FeedMessage
from gateway.ports.store import Change, Person, Source, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from gateway.storage.memory.tables import Tables
from gateway.storage.redis import RedisPublisher, RedisRecords, RedisSubscription
from tests.decision.racing_store import BAN, FIREFOX, TIKTOK, RacingStore
from tests.storage.redis.server_double import DoubleConnection, RedisDouble
from tests.support.interleaving import OrderedLoop, in_order

ANN, ALIAS, BOB, EVE = "ann@corp.example", "a.smith@corp.example", "bob@corp.example", "eve@corp.example"
LOGINS = (ANN, ALIAS, BOB, EVE)
RULES = identity_rules("", {})
EPOCH = 1_000_000_000.0
DAYS = 86_400.0
ORDERS = max(100, settings().max_examples // 4)
"""Per scenario; HYPOTHESIS_PROFILE=fuzz asks for more."""
REST_SECONDS = 3.0
"""After the last fault: the bound of 2 s for a lost feed, and what a worker that could not read waits."""
SOURCE = Source("mdm", "push", "*", Scope.DEVICE, 30 * DAYS)
DENIED = UnknownSetting(Setting.DENY)


def report(login: str, number: int, at: float, *apps: App) -> InventoryReport:
    """A full list of the only device of that person."""
    return InventoryReport(
        SOURCE.name,
        f"device of {login}",
        ReportKind.FULL,
        Scope.DEVICE,
        at + number / 1000,
        at,
        tuple(ReportedApp(app) for app in (FIREFOX, *apps)),
        sequence=number,
        device_keys=(DeviceKey("user", login), DeviceKey("eas_device_id", device_of(login))),
        platform=Platform.ANDROID,
    )


def device_of(login: str) -> str:
    """The DeviceId of the person's only device."""
    return f"dev{'ann' if login == ALIAS else login[:3]}"


@cache
def beginning() -> Tables:
    """What every run begins with; made once."""
    return asyncio.run(begun())


async def begun() -> Tables:
    """Everybody known and clean, the ban enforced, and every unknown denied: only evidence of today allows."""
    store = MemoryStore(now=lambda: EPOCH)
    strict = Unknowns(DENIED, DENIED, DENIED, DENIED, DENIED)

    async def nothing(changes: Sequence[Change]) -> None:
        """Nobody listens yet."""

    async def work(writing: Writing) -> None:
        await writing.put_source(SOURCE)
        await writing.put_policy(replace(first_policy(0.0), bans=(BAN,), unknowns=strict))
        await writing.put_person(Person(ANN, (ALIAS,)))

    await store.write(work)
    ingest = Ingest(Evidence(store, RULES, nothing, lambda: policy_of(first_policy(0.0))), lambda: EPOCH)
    for login in (ANN, BOB, EVE):
        await ingest.receive(SOURCE, f"first {login}", "", report(login, 1, EPOCH - 60.0))
    return replace(store._tables, incarnation="life1")


class FaultyFeed:
    """A subscription that loses messages, doubles them, changes their order and keeps them back."""

    def __init__(self, subscription: ChangeSubscription, loop: OrderedLoop) -> None:
        self._subscription = subscription
        self._loop = loop
        self._kept: list[FeedMessage] = []

    async def next(self, timeout_seconds: float) -> Sequence[FeedMessage]:
        """What arrives, or what is left of it."""
        found = [*self._kept, *await self._subscription.next(timeout_seconds)]
        self._kept = []
        if self._loop.calm:
            return found
        arrived: list[FeedMessage] = []
        for message in found:
            fate = self._loop.random.random()
            if fate < 0.2:
                self._kept.append(message)
            elif fate < 0.4:
                arrived.insert(0, message)
            elif fate < 0.8:
                arrived.extend([message] * self._loop.random.choice((1, 1, 2)))
        return arrived


class Phone:
    """A session that waits until it is cut."""

    def __init__(self, worker: "Worker", login: str) -> None:
        self.request = AccessRequest(login, device_of(login))
        self.cut: Verdict | None = None
        self._worker = worker

    def verdict_turned(self, verdict: Verdict) -> None:
        """As a proxy does it: the session is over."""
        self.cut = verdict
        self._worker.decision.sessions.discard(self)
        self._worker.check(self.request.login, verdict)


class Worker:
    """A worker process, and what it may answer."""

    def __init__(self, gateway: "Gateway", *, capacity: int, faulty_feed: bool, state_bound_seconds: float) -> None:
        loop, store = gateway.loop, gateway.store
        self._committed = store.committed
        connection = DoubleConnection(gateway.server, loop.point, "worker")
        shared = RedisRecords(connection, store.tables.incarnation, DAYS)
        self.cache = DeviceCache(record_reader(store, RULES), shared, capacity)
        unheard_of = replace(first_policy(0.0), number=0)
        self.decision = DecisionPoint(self.cache, policy_of(unheard_of), lambda: EPOCH + loop.time())
        subscription: ChangeSubscription = RedisSubscription(connection)
        if faulty_feed:
            subscription = FaultyFeed(subscription, loop)
        self.feed = PolicyFeed(
            store, subscription, self.decision, state_bound_seconds=state_bound_seconds, monotonic=loop.time
        )
        self._denied_since: dict[str, int] = {}
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin as the process does."""
        await self.feed.start()
        self._following = asyncio.create_task(self.feed.run())

    async def end(self) -> None:
        """End with everything that is under way."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.decision.close()

    def check(self, login: str, verdict: Verdict) -> None:
        """No answer follows from a state that is older than what this worker has heard of."""
        since = self._committed.known(self.feed.incarnation, self.feed.sequence)
        if verdict.reason is Reason.STATE_UNAVAILABLE:
            denied_since = self._denied_since.get(login)
            if verdict.effect is Effect.ALLOW and denied_since is not None:
                right = self._committed.right(login, denied_since)
                assert right != {Effect.DENY}, f"{login} was known to be dirty, and is let through for want of state"
            return
        right = self._committed.right(login, since)
        assert verdict.effect in right, f"{login}: {verdict.effect.name} ({verdict.reason}), but right is {right}"
        if verdict.effect is Effect.DENY:
            self._denied_since.setdefault(login, since)
        else:
            self._denied_since.pop(login, None)

    async def ask(self, login: str) -> Verdict:
        """A request that is answered and over."""
        verdict = await self.decision.judge_loading(AccessRequest(login, device_of(login)))
        self.check(login, verdict)
        return verdict

    async def connect(self, login: str) -> Phone:
        """A request that waits as long as it may: registered, judged, and cut by a change."""
        phone = Phone(self, login)
        self.decision.sessions.add(phone)
        verdict = self.decision.judge(phone.request)
        if verdict is None:
            verdict = await self.decision.judge_loading(phone.request)
        if phone.cut is None:
            self.check(login, verdict)
            if verdict.effect is not Effect.ALLOW:
                self.decision.sessions.discard(phone)
        return phone


class Control:
    """The control process: the only one that writes, and that publishes what it has written."""

    def __init__(self, gateway: "Gateway") -> None:
        store = gateway.store
        incarnation = store.tables.incarnation
        self._connection = DoubleConnection(gateway.server, gateway.loop.point, "control")
        records = RedisRecords(self._connection, incarnation, DAYS, publishing=True)
        publisher = RedisPublisher(self._connection, incarnation)
        self._publication = Publication(store, records, publisher, record_loader(RULES))
        policy = policy_of(replace(first_policy(0.0), bans=(BAN,)))
        self.ingest = Ingest(Evidence(store, RULES, self.publish, lambda: policy), lambda: EPOCH + gateway.loop.time())
        self._running: asyncio.Task[None] | None = None
        self.dead = False

    async def start(self) -> None:
        """Begin as the process does."""
        await self._publication.start()
        self._running = asyncio.create_task(self._publication.run())

    async def publish(self, changes: Sequence[Change]) -> None:
        """What a use case does after its commit, if it still lives."""
        if not self.dead:
            await self._publication.publish(changes)

    def kill(self) -> None:
        """Die at whatever point this is: nothing more leaves the process."""
        self.dead = self._connection.cut = True
        if self._running is not None:
            self._running.cancel()


class Gateway:
    """All of it."""

    def __init__(
        self,
        loop: OrderedLoop,
        *,
        workers: int = 1,
        capacity: int = 100,
        keep_changes: int = 100,
        faulty_feed: bool = False,
        state_bound_seconds: float = 900.0,
        unavailable: Unavailable = Unavailable.DEFER,
    ) -> None:
        self.loop = loop
        tables = beginning()
        newest = tables.policies[max(tables.policies)]
        policies = {newest.number: replace(newest, unavailable=unavailable)}
        self.store = RacingStore(loop, replace(tables, policies=policies), keep_changes=keep_changes)
        self.server = RedisDouble()
        self.control = Control(self)
        self.make_worker = partial(
            Worker, self, capacity=capacity, faulty_feed=faulty_feed, state_bound_seconds=state_bound_seconds
        )
        self.workers = [self.make_worker() for _ in range(workers)]
        self._reports = 1

    @property
    def worker(self) -> Worker:
        """The first one."""
        return self.workers[0]

    async def start(self) -> None:
        """Everything up and at rest, a phone of everybody waiting at each worker."""
        self.loop.calm = True
        await self.control.start()
        for worker in self.workers:
            await worker.start()
            for login in LOGINS:
                await worker.connect(login)
        self.loop.calm = False

    # --- what administrators and sources do

    async def report(self, login: str, *apps: App) -> None:
        """A report is sent to the control process, if there is one."""
        if not self.control.dead:
            self._reports += 1
            sent = report(login, self._reports, EPOCH, *apps)
            try:
                await self.control.ingest.receive(SOURCE, f"report {self._reports}", "", sent)
            except StoreUnavailable:
                self.loop.trace.append("report refused")

    async def flips(self, login: str, times: int = 2) -> None:
        """A banned app comes and goes, and stays or not."""
        for _ in range(times):
            await self.loop.point(f"report of {login}")
            await self.report(login, *self.loop.random.choice(((TIKTOK,), ())))

    async def edit_policy(self, flag: Flag) -> None:
        """The ban gets another flag."""

        async def work(writing: Writing) -> None:
            version = await writing.policy()
            assert version is not None
            number = version.number + 1
            await writing.put_policy(replace(version, number=number, bans=(replace(BAN, flag=flag),)))
            writing.log_policy(number)

        await self.write(work)

    async def change_everybody(self, *dirty: str) -> None:
        """Many reports in one unit of work, too many to name whom they concern."""

        async def work(writing: Writing) -> None:
            for login in (ANN, BOB, EVE):
                found = await writing.inventory(SOURCE.name, f"device of {login}")
                assert found is not None
                await writing.put_inventory(replace(found, apps=(TIKTOK,) if login in dirty else (FIREFOX,)))
            writing.log_everybody()

        await self.write(work)

    async def write(self, work: Callable[[Writing], Awaitable[None]]) -> None:
        """A use case: one unit of work, then its publication."""
        control = self.control
        if not control.dead:
            try:
                _, changes = await self.store.write(work)
            except StoreUnavailable:
                return
            await control.publish(changes)

    # --- what phones do

    async def asks(self, *logins: str, times: int = 3) -> None:
        """Requests one after another, each to some worker."""
        for _ in range(times):
            for login in logins:
                await self.loop.point(f"request of {login}")
                await self.loop.random.choice(self.workers).ask(login)

    async def connects(self, *logins: str, times: int = 2) -> None:
        """Phones that stay."""
        for _ in range(times):
            for login in logins:
                await self.loop.point(f"{login} connects")
                await self.loop.random.choice(self.workers).connect(login)

    # --- what happens to processes

    async def restart_control(self) -> None:
        """Another control process, of the store's present life."""
        self.control.kill()
        await self.loop.point("control begins")
        self.control = Control(self)
        await self.control.start()

    async def restart_worker(self) -> None:
        """Another process in the place of the first worker."""
        await self.worker.end()
        self.workers[0] = self.make_worker()
        await self.worker.start()

    # --- the end

    async def rest(self, seconds: float = REST_SECONDS) -> None:
        """All faults are over, and time passes."""
        self.loop.calm = True
        self.server.partition(away=False)
        self.store.memory.unavailable = ""
        if self.control.dead:
            await self.restart_control()
        await asyncio.sleep(seconds)

    async def check_at_rest(self) -> None:
        """Everybody knows everything, nobody was forgotten, and nothing of the past is left anywhere."""
        for worker in self.workers:
            tables = self.store.tables
            assert (worker.feed.incarnation, worker.feed.sequence) == (tables.incarnation, tables.sequence)
            for phone in worker.decision.sessions:
                right = self.right(phone.request.login)
                assert right is Effect.ALLOW, f"a session of {phone.request.login} was lost"
            await self._check_records(worker)
            await self._check_answers(worker)
        # What is left in the shared cache is found by whoever begins now.
        newcomer = self.make_worker()
        await newcomer.start()
        await self._check_answers(newcomer)
        await newcomer.end()

    def right(self, login: str) -> Effect:
        """The answer that follows from what is committed now."""
        return self.store.committed.moments[-1].right(login)

    async def _check_records(self, worker: Worker) -> None:
        for login, entry in worker.cache.entries.items():
            if entry.record is not None:
                assert without_sequence(entry.record) == await self.assembled(login), f"the record of {login} is old"

    async def _check_answers(self, worker: Worker) -> None:
        for login in LOGINS:
            verdict = await worker.ask(login)
            assert verdict.effect is self.right(login), f"{login} at rest: {verdict}"

    async def assembled(self, login: str) -> PersonRecord:
        """The record as the store gives it now."""
        async with self.store.memory.read() as reading:
            return without_sequence(await load_record(reading, login, RULES))

    async def end(self) -> None:
        """End everything."""
        self.control.kill()
        for worker in self.workers:
            await worker.end()


def without_sequence(record: PersonRecord) -> PersonRecord:
    """A record as evidence alone."""
    return replace(record, sequence=0)


Scenario = Callable[[Gateway], Awaitable[None]]
MakeGateway = Callable[[OrderedLoop], Gateway]


def explore(scenario: Scenario, make: MakeGateway = Gateway, orders: int = ORDERS) -> None:
    """Run a scenario in many orders, each to its rest, and look there."""
    beginning()

    async def one(loop: OrderedLoop) -> None:
        gateway = make(loop)
        await gateway.start()
        await scenario(gateway)
        await gateway.rest()
        await gateway.check_at_rest()
        await gateway.end()

    with capture_logs():
        for seed in range(orders):
            in_order(seed, one)


def calmly(scenario: Scenario, make: MakeGateway = Gateway) -> None:
    """Run a scenario once, with everything but time passing at once."""
    beginning()

    async def one(loop: OrderedLoop) -> None:
        gateway = make(loop)
        await gateway.start()
        loop.calm = True
        await scenario(gateway)
        await gateway.end()

    with capture_logs():
        in_order(0, one)
