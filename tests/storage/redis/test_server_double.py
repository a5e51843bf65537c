"""The double in memory answers as the real server does, in long random sequences of what Gatepost asks."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from gateway.domain.evidence import PersonRecord
from gateway.ports.store import Change, ChangeKind
from gateway.storage.redis import RedisConnection, RedisPublisher, RedisRecords, RedisSubscription
from tests.storage.redis.server_double import DoubleConnection, RedisDouble

LOGINS = [f"p{number}" for number in range(4)]


async def at_once(name: str) -> None:
    """No point is waited for."""


class Ends:
    """Everything that Gatepost has on one server."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self.control = RedisRecords(connection, "life1", 3600, publishing=True)
        self.worker = RedisRecords(connection, "life1", 3600)
        self.publisher = RedisPublisher(connection, "life1")
        self.subscription = RedisSubscription(connection)


@pytest.mark.parametrize("seed", range(5))
async def test_the_double_answers_as_the_server_does(connection: RedisConnection, seed: int) -> None:
    server = RedisDouble()
    real, double = Ends(connection), Ends(DoubleConnection(server, at_once))
    generator = random.Random(seed)
    assert await real.subscription.next(0.01) == await double.subscription.next(0.01) == []
    for step in range(1, 200):
        act = generator.random()
        login, sequence = generator.choice(LOGINS), generator.randrange(max(1, step - 8), step + 1)
        if act < 0.02:
            await connection.call(lambda run_id: ["FLUSHALL"])
            # Ids count milliseconds: within the same one the new stream would begin at the position already read.
            await asyncio.sleep(0.003)
            server.flush()
        for ends in (real, double):
            await _one(ends, act, login, sequence)
        assert await real.worker.get(LOGINS) == await double.worker.get(LOGINS)
        if act > 0.7:
            assert await _heard(real) == await _heard(double)


async def _one(ends: Ends, act: float, login: str, sequence: int) -> None:
    record = PersonRecord(login, True, (login,), sequence=sequence)
    if act < 0.3:
        await ends.worker.put({login: record})
    elif act < 0.5:
        await ends.control.put({login: record})
    elif act < 0.7:
        await ends.publisher.heartbeat(sequence)
    elif act < 0.9:
        await ends.publisher.publish([Change(sequence, ChangeKind.PERSON, (login,))])
    else:
        await ends.publisher.publish([Change(sequence, ChangeKind.EVERYBODY)])


async def _heard(ends: Ends) -> Sequence[object]:
    return await ends.subscription.next(0.05)
