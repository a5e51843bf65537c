"""Sightings of mail devices on their way from the workers to the control process: a capped stream of rows.

Lossy and repeating by design: what is pushed out is told again within the hour, and what is read twice (after a restart
of the control process) says the same as before.
"""

from collections.abc import Sequence

from gateway.storage.redis.connection import RedisConnection, Word
from gateway.storage.redis.names import SIGHTINGS
from gateway.storage.redis.streams import StreamReader

ROWS = 20_000
"""Kept on the stream, or a few more."""

_ADD = "for i = 2, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[i]) end"


class SightingSender:
    """A worker's end."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def send(self, rows: Sequence[bytes]) -> None:
        """Hand rows on. Raises ``CacheUnavailable``."""

        def compose(run_id: str) -> Sequence[Word]:
            return "EVAL", _ADD, 1, SIGHTINGS, ROWS, *rows

        if rows:
            await self._connection.call(compose)


class SightingReceiver:
    """The control process's end."""

    def __init__(self, connection: RedisConnection) -> None:
        self._reader = StreamReader(connection, SIGHTINGS, from_start=True)

    async def next(self, timeout_seconds: float) -> Sequence[bytes]:
        """The rows that arrived since the last call, first those that wait already; empty after the time-out.

        Raises ``CacheUnavailable``; the next call goes on where this one was.
        """
        return await self._reader.next(timeout_seconds)
