"""Two control processes on one PostgreSQL whose server dies between a commit and its publication.

The parts of two control processes and of a worker, on a real database and a real cache server. What was acknowledged is
refused within the bound for a store that is away, and stands in the store when that is back, whoever committed before
and could not tell of it any more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app.parts import record_loader, record_reader
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.access import AccessRequest
from gateway.domain.inventory import App
from gateway.domain.policy import first_policy, policy_of
from gateway.domain.verdict import Effect
from gateway.inventory.answers import Ack, AckStatus
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.inventory.publication import Publication
from gateway.ports.store import Change, Store, Writing
from gateway.storage.redis import (
    EmbeddedValkey,
    RedisConnection,
    RedisPublisher,
    RedisRecords,
    RedisSubscription,
)
from gateway.storage.sql import open_store
from gateway.storage.sql.postgres_url import PostgresBounds
from tests.decision.racing_gateway import ANN, BOB, DAYS, RULES, SOURCE, device_of, report
from tests.decision.racing_store import BAN, TIKTOK
from tests.support.postgres_server import PostgresServer, missing, postgres_server

pytestmark = pytest.mark.live

BOUNDS = PostgresBounds(connect=2.0, statement=2.0, lock=2.0, idle=2.0, answer=2.0)
BOUND_SECONDS = 2.0
"""For whoever hears of changes by one way alone (design: Redis away, or the store's own answer that does not come)."""
POLICY = replace(first_policy(0.0), bans=(BAN,))


class Control:
    """What a control process has of reports and their publication."""

    def __init__(self, store: Store, redis: RedisConnection, life: str) -> None:
        self.store = store
        records = RedisRecords(redis, life, DAYS, publishing=True)
        self.publication = Publication(store, records, RedisPublisher(redis, life), record_loader(RULES), life)
        self.ingest = Ingest(Evidence(store, RULES, self._publish, lambda: policy_of(POLICY)), time.time)
        self.after_commit: Callable[[], Awaitable[None]] = _nothing
        self.dead = False
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """As the process does."""
        await self.publication.start()
        self._running = asyncio.create_task(self.publication.run())

    async def _publish(self, changes: Sequence[Change]) -> None:
        await self.after_commit()
        if not self.dead:
            await self.publication.publish(changes)

    async def takes(self, login: str, number: int, *apps: App) -> None:
        """A report, acknowledged."""
        answer = await self.ingest.receive(SOURCE, f"{login} {number}", "", report(login, number, time.time(), *apps))
        assert isinstance(answer, Ack)
        assert answer.status is AckStatus.APPLIED

    async def changes(self, login: str, app: App) -> None:
        """The same list changed by an edit that has no record at hand (a pin, a person, tombstones)."""

        async def work(writing: Writing) -> None:
            found = await writing.inventory(SOURCE.name, f"device of {login}")
            assert found is not None
            await writing.put_inventory(replace(found, apps=(*found.apps, app)))
            writing.log_people([login])

        _, changes = await self.store.write(work)
        await self._publish(changes)

    async def end(self) -> None:
        """Say nothing any more."""
        self.dead = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


async def _nothing() -> None:
    """Nothing happens between commit and publication."""


class Site:
    """One database, one cache server, two control processes, one worker."""

    def __init__(
        self, database: PostgresServer, here: Control, there: Control, feed: PolicyFeed, decision: DecisionPoint
    ) -> None:
        self.database = database
        self.here = here
        self.there = there
        self.feed = feed
        self._decision = decision

    async def effect(self, login: str) -> Effect:
        """What the worker answers a phone."""
        return (await self._decision.judge_loading(AccessRequest(login, device_of(login)))).effect

    async def until(self, login: str, *, served: bool, within_seconds: float) -> float:
        """Wait until a phone is served, or is not; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(within_seconds):
            while (await self.effect(login) is Effect.ALLOW) is not served:  # noqa: ASYNC110  (as a phone asks)
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def crash(self) -> None:
        """The database is gone without a word."""
        await asyncio.to_thread(self.database.crash)


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    if reason := missing():
        pytest.skip(reason)
    with postgres_server() as server:
        server.database("gatepost")
        yield server


@pytest.fixture
async def site(database: PostgresServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        cache = EmbeddedValkey(tmp_path, maxmemory="16mb")
        await cache.start()
        stack.push_async_callback(cache.stop)

        async def store(*, writable: bool) -> Store:
            opened = await open_store(database.url("gatepost"), writable=writable, bounds=BOUNDS)
            stack.push_async_callback(opened.close)
            return opened

        def redis() -> RedisConnection:
            connection = RedisConnection(cache.url, timeout_seconds=5.0)
            stack.push_async_callback(connection.close)
            return connection

        stores = [await store(writable=True), await store(writable=True)]
        life = await begun(stores[0])
        here, there = (Control(each, redis(), life) for each in stores)
        for each in (here, there):
            await each.start()
            stack.push_async_callback(each.end)
        reading, connection = await store(writable=False), redis()
        people = DeviceCache(record_reader(reading, RULES), RedisRecords(connection, life, DAYS))
        decision = DecisionPoint(people, policy_of(first_policy(0.0)))
        feed = PolicyFeed(reading, RedisSubscription(connection), decision)
        await feed.start()
        following = asyncio.create_task(feed.run())
        made = Site(database, here, there, feed, decision)
        for login in (ANN, BOB):
            await here.takes(login, 1)
            await made.until(login, served=True, within_seconds=10.0)
        yield made
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await decision.close()


async def begun(store: Store) -> str:
    """The ban is enforced and the source is there; the store's life."""

    async def work(writing: Writing) -> str:
        await writing.put_source(SOURCE)
        await writing.put_policy(POLICY)
        return await writing.incarnation()

    life, _ = await store.write(work)
    return life


async def stored(site: Site, login: str) -> bool:
    """Whether the store has the banned app on the phone of a person."""
    async with site.here.store.read() as reading:
        found = await reading.inventory(SOURCE.name, f"device of {login}")
    return found is not None and TIKTOK in found.apps


async def back(site: Site) -> None:
    """The database starts again; all is known to all, and nothing of it was lost."""
    await asyncio.to_thread(site.database.start)
    for login in (ANN, BOB):
        await site.until(login, served=False, within_seconds=15.0)
        assert await stored(site, login)
    async with site.here.store.read() as reading:
        newest = await reading.sequence()
    async with asyncio.timeout(15.0):
        while site.feed.sequence < newest or site.here.publication.sent < newest:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("at_hand", [True, False], ids=["record at hand", "no record at hand"])
async def test_what_the_other_has_committed_and_not_told_of_keeps_nothing_back(site: Site, at_hand: bool) -> None:
    """The other one dies over its commit; the database dies over the next one, which is acknowledged."""
    site.there.dead = True
    await site.there.takes(BOB, 2, TIKTOK)
    await site.there.end()
    site.here.after_commit = site.crash
    await (site.here.takes(ANN, 2, TIKTOK) if at_hand else site.here.changes(ANN, TIKTOK))
    site.here.after_commit = _nothing
    assert await site.until(ANN, served=False, within_seconds=BOUND_SECONDS) < BOUND_SECONDS
    # As long as the database is away.
    await asyncio.sleep(3.0)
    assert await site.effect(ANN) is not Effect.ALLOW
    await back(site)


async def test_both_have_committed_when_it_dies_and_neither_knows_of_the_other(site: Site) -> None:
    """Both reports are acknowledged after the database is gone."""
    committed = asyncio.Event()
    gone = asyncio.Event()

    async def wait_for_the_end() -> None:
        committed.set()
        await gone.wait()

    site.there.after_commit = site.here.after_commit = wait_for_the_end
    reports = []
    for control, login in ((site.there, BOB), (site.here, ANN)):
        committed.clear()
        reports.append(asyncio.create_task(control.takes(login, 2, TIKTOK)))
        await committed.wait()
    await site.crash()
    gone.set()
    # The later one first: what stands before it is told by the other, who has not done it yet.
    await asyncio.gather(*reversed(reports))
    for login in (ANN, BOB):
        assert await site.until(login, served=False, within_seconds=BOUND_SECONDS) < BOUND_SECONDS
    await back(site)
