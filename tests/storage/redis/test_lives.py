"""Lives of a real server: flushed, killed, begun again with old memory. No worker ever goes back to what was before.

The same data path as in ``tests/decision/racing_gateway``, on the real server and the real clock; a few runs only.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.app.parts import record_loader, record_reader
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.access import AccessRequest
from gateway.domain.inventory import App
from gateway.domain.policy import first_policy, policy_of
from gateway.domain.verdict import Effect, Verdict
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.inventory.publication import Publication
from gateway.ports.store import Change
from gateway.storage.memory import MemoryStore
from gateway.storage.redis import EmbeddedValkey, RedisConnection, RedisPublisher, RedisRecords, RedisSubscription
from tests.decision.racing_gateway import ANN, DAYS, EPOCH, RULES, SOURCE, begun, device_of, report
from tests.decision.racing_store import TIKTOK

BOUND_SECONDS = 2.0
SPARE_SECONDS = 3.0
"""The machine may be busy."""
ASKED = AccessRequest(ANN, device_of(ANN))


class Phone:
    """A session that waits until it is cut."""

    def __init__(self) -> None:
        self.request = ASKED
        self.cut = asyncio.Event()
        self.verdict: Verdict | None = None

    def verdict_turned(self, verdict: Verdict) -> None:
        """Its end."""
        self.verdict = verdict
        self.cut.set()


class Worker:
    """A worker process."""

    def __init__(self, store: MemoryStore, connection: RedisConnection) -> None:
        self.cache = DeviceCache(record_reader(store, RULES), RedisRecords(connection, "life1", DAYS))
        unheard_of = policy_of(replace(first_policy(0.0), number=0))
        self.decision = DecisionPoint(self.cache, unheard_of, lambda: EPOCH)
        self.feed = PolicyFeed(store, RedisSubscription(connection), self.decision)

    async def ask(self) -> Effect:
        """A request of the only person here."""
        return (await self.decision.judge_loading(ASKED)).effect

    async def park(self) -> Phone:
        """A phone that is let in and waits."""
        phone = Phone()
        self.decision.sessions.add(phone)
        assert (await self.decision.judge_loading(ASKED)).effect is Effect.ALLOW
        return phone


class Path:
    """Control process and worker on one server."""

    def __init__(self, store: MemoryStore, server: EmbeddedValkey) -> None:
        self.server = server
        self.store = store
        self.connection = RedisConnection(server.url, timeout_seconds=5.0)
        records = RedisRecords(self.connection, "life1", DAYS, publishing=True)
        publisher = RedisPublisher(self.connection, "life1")
        self.publication = Publication(store, records, publisher, record_loader(RULES))
        policy = policy_of(first_policy(0.0))
        evidence = Evidence(store, RULES, self._publish, lambda: policy)
        self._ingest = Ingest(evidence, lambda: EPOCH)
        self.worker = Worker(store, self.connection)
        self._reports = 1

    async def _publish(self, changes: Sequence[Change]) -> None:
        await self.publication.publish(changes)

    async def report(self, *apps: App) -> None:
        """A report about the only device."""
        self._reports += 1
        sent = report(ANN, self._reports, EPOCH, *apps)
        await self._ingest.receive(SOURCE, f"report {self._reports}", "", sent)

    async def ask_server(self, *words: str) -> object:
        """A command of a test's own."""
        return await self.connection.call(lambda run_id: words)

    async def kill(self) -> None:
        """Kill the server as the kernel does for want of memory, and start it again on what is on the disk."""
        assert self.server.pid is not None
        os.kill(self.server.pid, 9)
        await self.server.wait()
        await self.server.start()


@asynccontextmanager
async def path(server: EmbeddedValkey) -> AsyncIterator[Path]:
    store = MemoryStore(now=lambda: EPOCH)
    store._tables = await begun()
    made = Path(store, server)
    await made.publication.start()
    await made.worker.feed.start()
    tasks = [asyncio.create_task(made.publication.run()), asyncio.create_task(made.worker.feed.run())]
    # Until the subscription stands: what is published before is heard of by the heartbeat only.
    async with asyncio.timeout(10):
        while not made.worker.feed.feed_up:  # noqa: ASYNC110  (another task's progress)
            await asyncio.sleep(0.01)
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await made.worker.decision.close()
    await made.connection.close()


async def cut_in_time(made: Path, phone: Phone) -> None:
    """The phone is cut for the app, and until then and afterwards no answer is older than what was heard of."""
    dirty_at = made.store._tables.sequence
    async with asyncio.timeout(BOUND_SECONDS + SPARE_SECONDS):
        while not phone.cut.is_set():
            effect = await made.worker.ask()
            assert effect is not Effect.ALLOW or made.worker.feed.sequence < dirty_at
            await asyncio.sleep(0.01)
    assert phone.verdict is not None
    assert phone.verdict.effect is Effect.DENY
    for _ in range(20):
        assert await made.worker.ask() is Effect.DENY
        await asyncio.sleep(0.01)


async def test_nothing_fails_and_a_phone_is_cut_at_once(server: EmbeddedValkey) -> None:
    async with path(server) as made:
        phone = await made.worker.park()
        await made.report(TIKTOK)
        await cut_in_time(made, phone)


@pytest.mark.parametrize("flushed", ["before the report", "after the report"])
async def test_a_flushed_server(server: EmbeddedValkey, flushed: str) -> None:
    async with path(server) as made:
        phone = await made.worker.park()
        if flushed == "before the report":
            await made.ask_server("FLUSHALL")
        await made.report(TIKTOK)
        await made.ask_server("FLUSHALL")
        await cut_in_time(made, phone)


async def test_a_killed_server_that_begins_empty(server: EmbeddedValkey) -> None:
    async with path(server) as made:
        phone = await made.worker.park()
        killed = asyncio.create_task(made.kill())
        await made.report(TIKTOK)
        await killed
        await cut_in_time(made, phone)


async def test_a_killed_server_that_begins_with_a_dump_from_before_the_report(server: EmbeddedValkey) -> None:
    async with path(server) as made:
        await made.report(TIKTOK)
        await made.report()
        phone = await made.worker.park()
        # The dump holds the clean record, the published sequence and the feed of that moment.
        await made.ask_server("SAVE")
        await made.report(TIKTOK)
        await made.kill()
        keys = await made.ask_server("KEYS", f"gp:life1:*:p:{ANN}")
        assert isinstance(keys, list)
        assert len(keys) >= 1
        await cut_in_time(made, phone)
        newcomer = Worker(made.store, made.connection)
        await newcomer.feed.start()
        assert await newcomer.ask() is Effect.DENY


async def test_a_worker_that_begins_on_a_dump_while_nobody_publishes(server: EmbeddedValkey) -> None:
    async with path(server) as made:
        await made.report(TIKTOK)
        await made.report()
        assert await made.worker.ask() is Effect.ALLOW
        await made.ask_server("SAVE")
        made.publication.publish = nobody  # type: ignore[method-assign]
        await made.kill()
        await made.report(TIKTOK)
        newcomer = Worker(made.store, made.connection)
        await newcomer.feed.start()
        # What was committed before it began is in force from its first answer on.
        assert await newcomer.ask() is Effect.DENY


async def nobody(changes: object) -> None:
    """Publishes nothing."""


async def test_a_clean_report_after_all_that_lets_the_person_in_again(server: EmbeddedValkey) -> None:
    async with path(server) as made:
        phone = await made.worker.park()
        await made.report(TIKTOK)
        await made.kill()
        await cut_in_time(made, phone)
        await made.report()
        async with asyncio.timeout(BOUND_SECONDS + SPARE_SECONDS):
            while await made.worker.ask() is not Effect.ALLOW:  # noqa: ASYNC110  (another task's progress)
                await asyncio.sleep(0.01)
