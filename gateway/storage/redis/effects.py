"""Effects on their way from the workers to the audit log: a capped stream, and the position up to which it was taken.

Unlike sightings, what is taken twice would stand in the log twice: so whoever takes rows writes down how far, after
they are committed. A control process that dies in between leaves one batch to be taken again. A stream of which all is
taken is deleted, and begins anew: its cap is for the time in which nobody takes. The rows are numbered, so that those
for which there was no room are counted: they are told of by a row of their own, as what workers did not note is.
"""

from collections.abc import Sequence
from typing import Any

from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis.connection import RedisConnection, Word
from gateway.storage.redis.names import EFFECTS, EFFECTS_ADDED, EFFECTS_COUNTED, EFFECTS_TAKEN

ROWS = 50_000
"""Kept on the stream, or a few more."""
READ_AT_MOST = 500
NUMBER_LONGEST = 16
_START = b"0-0"

_ADD = """
local number = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
for i = 2, #ARGV do
  number = number + 1
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[i], 'n', number)
end
redis.call('SET', KEYS[2], number)
"""

# With the stream goes the position: the next stream's ids are the server's clock's, which may have been set back.
_TAKEN = """
redis.call('SET', KEYS[3], ARGV[2])
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
            return "EVAL", _ADD, 2, EFFECTS, EFFECTS_ADDED, ROWS, *rows

        if rows:
            await self._connection.call(compose)


class EffectReceiver:
    """The control process's end; one at a time reads."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._position: bytes | None = None
        self._read_to = _START
        self._counted = self._read_number = 0
        """The number of the last row that was taken, and of the last one that was read."""

    async def next(self, timeout_seconds: float) -> Sequence[bytes]:
        """The rows behind those that were taken; empty after the time-out. Raises ``CacheUnavailable``.

        Where rows between had no room any more, the first one says how many.
        """
        try:
            if self._position is None:
                known, counted = await self._connection.call(lambda run_id: ("MGET", EFFECTS_TAKEN, EFFECTS_COUNTED))
                self._counted = self._read_number = _number(counted or b"0")
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
        if not entries:
            return []
        self._read_to = entries[-1][0]
        numbers = [_number(fields[3]) for _, fields in entries if len(fields) > 3]
        missing = max(0, numbers[0] - self._counted - 1) if numbers else 0
        self._read_number = numbers[-1] if numbers else self._counted
        rows = [fields[1] for _, fields in entries]
        return [b'{"dropped": %d}' % missing, *rows] if missing else rows

    async def taken(self) -> None:
        """Write down that the rows of the last ``next`` are in the log. Raises ``CacheUnavailable``."""
        self._position, self._counted = self._read_to, self._read_number
        read_to, number = self._read_to, self._read_number

        def compose(run_id: str) -> Sequence[Word]:
            return "EVAL", _TAKEN, 3, EFFECTS, EFFECTS_TAKEN, EFFECTS_COUNTED, read_to, number

        if await self._connection.call(compose):
            self._position = self._read_to = _START


def _number(octets: bytes) -> int:
    """One that this code has written; 0 for what is none of ours."""
    return int(octets) if octets.isdigit() and len(octets) < NUMBER_LONGEST else 0
