"""What workers say of themselves, in a real server: kept with its age, forgotten in the end, nothing else believed."""

import asyncio
from typing import Any

import pytest

from gateway.ports.worker_statuses import Place
from gateway.storage.redis import RedisConnection, RedisWorkerStatuses
from gateway.storage.redis.names import WORKERS

HERE = Place("mx1-aaaa", "worker-1", "run1")
THERE = Place('mx2 "b"-bbbb', "worker-1", "run2")


@pytest.fixture
def statuses(connection: RedisConnection) -> RedisWorkerStatuses:
    return RedisWorkerStatuses(connection)


async def ask(connection: RedisConnection, *words: str) -> Any:
    return await connection.call(lambda run_id: words)


async def test_what_was_said_last_is_there_with_its_age(statuses: RedisWorkerStatuses) -> None:
    assert await statuses.all() == []
    await statuses.tell(HERE, {"policy_version": 1})
    await statuses.tell(THERE, {"policy_version": 2, "front": {"upstreams": [{"healthy": True}]}})
    await statuses.tell(HERE, {"policy_version": 3})
    found = {status.place: status for status in await statuses.all()}
    assert {place: status.told["policy_version"] for place, status in found.items()} == {HERE: 3, THERE: 2}
    assert found[THERE].told["front"] == {"upstreams": [{"healthy": True}]}
    assert all(0 <= status.age_seconds < 5 for status in found.values())
    await statuses.leave(THERE)
    assert [status.place for status in await statuses.all()] == [HERE]


async def test_who_says_nothing_for_long_is_forgotten(connection: RedisConnection) -> None:
    hasty = RedisWorkerStatuses(connection, forgotten_seconds=0.2)
    await hasty.tell(HERE, {"policy_version": 1})
    async with asyncio.timeout(5):
        ages = []
        while found := await hasty.all():
            ages.append(found[0].age_seconds)
            await asyncio.sleep(0.01)
    assert ages == sorted(ages)
    assert await ask(connection, "HLEN", WORKERS) == 0


async def test_what_is_no_status_is_left_out(connection: RedisConnection, statuses: RedisWorkerStatuses) -> None:
    await statuses.tell(HERE, {"policy_version": 1})
    for field, value in (
        ("no json", "1 {}"),
        ('["a","b","c"]', "no moment"),
        ('["a","b","d"]', "99999999999999 no json"),
        ('["a","b","e"]', "99999999999999 [1]"),
        ('["a","b"]', "99999999999999 {}"),
        ("7", "99999999999999 {}"),
        ("null", "99999999999999 {}"),
        ('["a","b","f"]', '99999999999999 {"policy_version": NaN}'),
        ('["a","b","g"]', "99999999999999 " + "[" * 100_000),
        ("[" * 100_000, "99999999999999 {}"),
    ):
        await ask(connection, "HSET", WORKERS, field, value)
    assert [status.place for status in await statuses.all()] == [HERE]
