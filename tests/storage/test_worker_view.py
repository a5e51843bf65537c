"""Store, shared cache and feed together: whatever fails, a worker soon sees what is committed, and never goes back."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import first_policy, policy_of
from gateway.inventory.publication import Publication
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Person, Reading, Writing
from gateway.storage.redis import (
    EmbeddedValkey,
    RedisConnection,
    RedisPublisher,
    RedisRecords,
    RedisSubscription,
)
from gateway.storage.sql import SqlStore, open_store

LOGINS = [f"p{number}" for number in range(6)]


async def load_record(reading: Reading, login: str) -> PersonRecord:
    """A record whose one group is the turn in which the person was last changed."""
    sequence = await reading.sequence()
    person = await reading.person_by_login(login)
    return PersonRecord(
        login, person is not None, (login,), person.groups if person else frozenset(), sequence=sequence
    )


class Rig:
    """A control process and a worker in one."""

    def __init__(self, store: SqlStore, worker_store: SqlStore, server: EmbeddedValkey, incarnation: str) -> None:
        self.store = store
        self.server = server
        self.connection = RedisConnection(server.url)
        self.worker_connection = RedisConnection(server.url)
        self.publication = Publication(
            store,
            RedisRecords(self.connection, incarnation, 60, publishing=True),
            RedisPublisher(self.connection, incarnation),
            load_record,
        )
        self._worker_store = worker_store
        self.cache = DeviceCache(self._read, RedisRecords(self.worker_connection, incarnation, 60))
        self.feed = PolicyFeed(
            worker_store,
            RedisSubscription(self.worker_connection),
            DecisionPoint(self.cache, policy_of(first_policy(0.0))),
        )
        self.turn = 0
        self.seen = dict.fromkeys(LOGINS, 0)

    async def _read(self, login: str) -> PersonRecord:
        async with self._worker_store.read() as reading:
            return await load_record(reading, login)

    async def change(self, *logins: str, everybody: bool = False) -> None:
        self.turn += 1
        turn = self.turn

        async def work(writing: Writing) -> None:
            for login in logins:
                await writing.put_person(Person(login, groups=frozenset({str(turn)})))
            if everybody:
                writing.log_everybody()
            else:
                writing.log_people(logins)

        _, changes = await self.store.write(work)
        await self.publication.publish(changes)

    async def look(self, login: str) -> None:
        record = await self.cache.load(login)
        if record is not None:
            turn = max(map(int, record.groups), default=0)
            assert turn >= self.seen[login], "a worker went back in time"
            self.seen[login] = turn


@asynccontextmanager
async def rig(directory: Path) -> AsyncIterator[Rig]:
    store = await open_store(f"sqlite:///{directory}/gatepost.db", writable=True)
    worker_store = await open_store(f"sqlite:///{directory}/gatepost.db", writable=False)
    server = EmbeddedValkey(directory)
    await server.start()
    async with store.read() as reading:
        made = Rig(store, worker_store, server, await reading.incarnation())
    await made.publication.start()
    await made.feed.start()
    tasks = [asyncio.create_task(made.publication.run()), asyncio.create_task(made.feed.run())]
    yield made
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in done)
    await made.connection.close()
    await made.worker_connection.close()
    await server.stop()
    await worker_store.close()
    await store.close()


async def until_current(made: Rig) -> None:
    async with made.store.read() as reading:
        truth = {login: (await load_record(reading, login)).groups for login in LOGINS}
    while True:
        found = {login: await made.cache.load(login) for login in LOGINS}
        if all(record is not None and record.groups == truth[login] for login, record in found.items()):
            return
        await asyncio.sleep(0.005)


async def test_a_change_reaches_the_worker_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.change(*LOGINS)
        await until_current(made)
        for turn in range(20):
            await made.change(LOGINS[turn % 6], everybody=turn % 7 == 6)
            async with asyncio.timeout(0.5):
                await until_current(made)


@pytest.mark.parametrize("seed", range(3))
async def test_faults_lose_nothing(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    async with rig(tmp_path) as made:
        for _ in range(150):
            act = generator.random()
            if act < 0.5:
                await made.change(*generator.sample(LOGINS, 2), everybody=generator.random() < 0.1)
            elif act < 0.52:
                await made.server.stop()
                await made.change(generator.choice(LOGINS))
                await made.server.start()
            elif act < 0.56:
                with suppress(CacheUnavailable):
                    await made.connection.call(lambda run_id: ["FLUSHALL"])
            elif act < 0.6:
                with suppress(CacheUnavailable):
                    await made.connection.call(lambda run_id: ["XTRIM", "gp:feed", "MAXLEN", 0])
            await made.look(generator.choice(LOGINS))
        async with asyncio.timeout(6):
            await until_current(made)
