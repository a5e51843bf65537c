"""Marks in a real server: set for a time, seen by everybody, and missed by nobody."""

import pytest

from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis import EmbeddedValkey, RedisConnection, RedisMarks
from gateway.storage.redis.names import mark_key


async def test_what_one_sets_another_finds(connection: RedisConnection, server: EmbeddedValkey) -> None:
    other = RedisConnection(server.url, timeout_seconds=5.0)
    assert not await RedisMarks(other).has("imap:anna@corp.example")
    await RedisMarks(connection).put("imap:anna@corp.example", 90 * 86_400.0)
    assert await RedisMarks(other).has("imap:anna@corp.example")
    assert not await RedisMarks(other).has("imap:bert@corp.example")
    await other.close()


async def test_it_ends(connection: RedisConnection) -> None:
    await RedisMarks(connection).put("x", 3_600.0)
    left = await connection.call(lambda run_id: ["TTL", mark_key("x")])
    assert 3_590 < int(left) <= 3_600


async def test_a_server_that_is_away(connection: RedisConnection, server: EmbeddedValkey) -> None:
    await server.stop()
    with pytest.raises(CacheUnavailable):
        await RedisMarks(connection).put("x", 1.0)
    with pytest.raises(CacheUnavailable):
        await RedisMarks(connection).has("x")
