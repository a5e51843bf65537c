"""Marks in Redis (``ports.marks.Marks``): a name and a time to live, in every life of store and server alike."""

from gateway.storage.redis.connection import RedisConnection
from gateway.storage.redis.names import mark_key


class RedisMarks:
    """Shared by all processes that use the server."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def put(self, name: str, for_seconds: float) -> None:
        """Set it, from now on for so long. Raises ``CacheUnavailable``."""
        await self._connection.call(lambda run_id: ["SET", mark_key(name), b"1", "EX", max(1, round(for_seconds))])

    async def has(self, name: str) -> bool:
        """Whether it is set. Raises ``CacheUnavailable``."""
        return await self._connection.call(lambda run_id: ["GET", mark_key(name)]) is not None
