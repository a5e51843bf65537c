"""Effects on their way from the workers to the audit log: a capped stream, and the position up to which it was taken.

Unlike sightings, what is taken twice would stand in the log twice: so whoever takes rows writes down how far, after
they are committed. A control process that dies in between leaves one batch to be taken again. A stream of which all is
taken is deleted, and begins anew: its cap is for the time in which nobody takes.
"""

from collections.abc import Sequence
from typing import Any

from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis.connection import RedisConnection, Word
from gateway.storage.redis.names import EFFECTS, EFFECTS_TAKEN

ROWS = 50_000
"""Kept on the stream, or a few more."""
READ_AT_MOST = 500
_START = b"0-0"

_ADD = "for i = 2, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[i]) end"

# With the stream goes the position: the next stream's ids are the server's clock's, which may have been set back.
_TAKEN = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if #last > 0 and last[1][1] ~= ARGV[1] then redis.call('SET', KEYS[2], ARGV[1]) return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
"""


class EffectSender:
    """A worker's end."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def send(self, rows: Sequence[bytes]) -> None:
        """Hand rows on. Raises ``CacheUnavailable``."""

        def compose(run_id: str) -> Sequence[Word]:
            return "EVAL", _ADD, 1, EFFECTS, ROWS, *rows

        if rows:
            await self._connection.call(compose)


class EffectReceiver:
    """The control process's end; one at a time reads."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._position: bytes | None = None
        self._read_to = _START

    async def next(self, timeout_seconds: float) -> Sequence[bytes]:
        """The rows behind those that were taken; empty after the time-out. Raises ``CacheUnavailable``."""
        try:
            if self._position is None:
                known = await self._connection.call(lambda run_id: ("GET", EFFECTS_TAKEN))
                self._position = self._read_to = known or _START
            return await self._read(self._position, timeout_seconds)
        except CacheUnavailable:
            # Another life of the server may have another position.
            self._position = None
            raise

    async def _read(self, position: bytes, timeout_seconds: float) -> Sequence[bytes]:
        block = max(1, round(timeout_seconds * 1000))
        words: tuple[Word, ...] = ("XREAD", "COUNT", READ_AT_MOST, "BLOCK", block, "STREAMS", EFFECTS, position)
        answer: Any = await self._connection.call(lambda run_id: words, blocks_for=block / 1000)
        entries = answer[0][1] if answer else []
        if entries:
            self._read_to = entries[-1][0]
        return [fields[1] for _, fields in entries]

    async def taken(self) -> None:
        """Write down that the rows of the last ``next`` are in the log. Raises ``CacheUnavailable``."""
        self._position = read_to = self._read_to

        def compose(run_id: str) -> Sequence[Word]:
            return "EVAL", _TAKEN, 2, EFFECTS, EFFECTS_TAKEN, read_to

        if await self._connection.call(compose):
            self._position = self._read_to = _START
