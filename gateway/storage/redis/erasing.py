"""Taking a person out of Redis: records of every life, marks, and what of the streams names the person.

Messages of the feed that go leave a gap in its numbers: whoever has not read them yet reads the change log instead.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.storage.redis.connection import RedisConnection, Word
from gateway.storage.redis.names import EFFECTS, FEED, SIGHTINGS, mark_key

KEYS_AT_ONCE = 2_000
ENTRIES_AT_ONCE = 1_000
SECONDS = 10.0
_SCAN = """
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
for _, key in ipairs(found[2]) do redis.call('DEL', key) end
return {found[1], #found[2]}
"""
_SWEEP = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local last, gone = '', 0
for _, entry in ipairs(found) do
  last = entry[1]
  for i = 3, #ARGV do
    if string.find(entry[2][2], ARGV[i], 1, true) then
      gone = gone + redis.call('XDEL', KEYS[1], entry[1])
      break
    end
  end
end
return {last, gone}
"""


class RedisEraser:
    """``ports.state_cache.PersonEraser``."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def erase(self, logins: Sequence[str]) -> int:
        """Delete what names one of these logins; how many keys and messages went. Raises ``CacheUnavailable``."""
        gone = 0
        for login in logins:
            name = _literal(login)
            for pattern in (f"gp:*:p:{name}", mark_key(f"*:{name}"), mark_key(f"*:{name}%*")):
                gone += await self._delete(pattern)
        named = [msgspec.msgpack.encode(login) for login in logins]
        gone += await self._sweep(FEED, named)
        stated = [f'"login": {json.dumps(login)}'.encode() for login in logins]
        for stream in (SIGHTINGS, EFFECTS):
            gone += await self._sweep(stream, stated)
        return gone

    async def _run(self, script: str, *words: Word) -> Any:
        return await self._connection.call(lambda run_id: ("EVAL", script, *words), blocks_for=SECONDS)

    async def _delete(self, pattern: str) -> int:
        gone, cursor = 0, b"0"
        while True:
            cursor, deleted = await self._run(_SCAN, 0, cursor, pattern, KEYS_AT_ONCE)
            gone += int(deleted)
            if cursor == b"0":
                return gone

    async def _sweep(self, stream: str, texts: Sequence[bytes]) -> int:
        gone, begin = 0, b"-"
        while True:
            last, deleted = await self._run(_SWEEP, 1, stream, begin, ENTRIES_AT_ONCE, *texts)
            gone += int(deleted)
            if not last:
                return gone
            begin = _behind(last)


def _behind(entry_id: bytes) -> bytes:
    milliseconds, _, place = entry_id.partition(b"-")
    return b"%b-%d" % (milliseconds, int(place) + 1)


def _literal(text: str) -> str:
    """A text as a pattern that means nothing else."""
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)
