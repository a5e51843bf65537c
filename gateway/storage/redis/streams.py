"""Reading a capped stream from a position, in one life of the server.

A position that was trimmed away, or a stream that was emptied, is not an error to Redis: what was lost shows only in
the sequence numbers of the messages.
"""

from collections.abc import Sequence
from typing import Any

from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis.connection import RedisConnection, Word

READ_AT_MOST = 1000
START = b"0-0"


class StreamReader:
    """Reads what arrives on a stream."""

    def __init__(self, connection: RedisConnection, stream: str, *, from_start: bool) -> None:
        """``from_start``: begin with what the stream still holds, else with what comes next."""
        self._connection = connection
        self._stream = stream
        self._from_start = from_start
        self._position: bytes | None = None
        self._run_id = ""

    async def next(self, timeout_seconds: float) -> Sequence[bytes]:
        """What arrived since the last call, in order; empty after the time-out.

        Raises ``CacheUnavailable``, also once when another life of the server answers; the next call begins anew.
        """
        try:
            if self._position is None:
                await self._begin()
            found = await self._read(timeout_seconds)
            if not found:
                await self._mind_an_emptied_stream()
            return found
        except CacheUnavailable:
            if not self._from_start:
                self._position = None
            raise

    async def _begin(self) -> None:
        def compose(run_id: str) -> Sequence[Word]:
            self._run_id = run_id
            return self._newest()

        newest = await self._connection.call(compose)
        self._position = START if self._from_start or not newest else newest[0][0]

    def _newest(self) -> Sequence[Word]:
        return "XREVRANGE", self._stream, "+", "-", "COUNT", 1

    def _same_life(self, run_id: str) -> None:
        if run_id != self._run_id:
            self._position = None
            raise CacheUnavailable(f"Redis at {self._connection.place}: the server was restarted")

    async def _read(self, timeout_seconds: float) -> list[bytes]:
        block = max(1, round(timeout_seconds * 1000))

        def compose(run_id: str) -> Sequence[Word]:
            self._same_life(run_id)
            position = self._position or START
            return "XREAD", "COUNT", READ_AT_MOST, "BLOCK", block, "STREAMS", self._stream, position

        answer: Any = await self._connection.call(compose, blocks_for=block / 1000)
        entries = answer[0][1] if answer else []
        if entries:
            self._position = entries[-1][0]
        return [fields[1] for _, fields in entries]

    async def _mind_an_emptied_stream(self) -> None:
        """After FLUSHALL and a clock set back, new ids are below the position: it would wait for ever."""

        def compose(run_id: str) -> Sequence[Word]:
            self._same_life(run_id)
            return self._newest()

        newest = await self._connection.call(compose)
        if not newest or _order(newest[0][0]) < _order(self._position or START):
            self._position = START


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, place = entry_id.partition(b"-")
    return int(milliseconds), int(place or 0)
