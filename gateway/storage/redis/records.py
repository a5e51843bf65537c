"""Person records in Redis, written only if newer.

Each value begins with its sequence in 16 digits. The control process publishes: it raises the published sequence and
writes its records in one script. A worker offers what it has read from the store: that is taken only if it is as new as
all that has been published, else a slow worker could bring back what was evicted meanwhile. For the same reason a
control process that has been overtaken by another one only takes away what is older than what it knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from gateway.domain.evidence import PersonRecord
from gateway.storage.compact import compact
from gateway.storage.records import decode_record, encode_record
from gateway.storage.redis.connection import DIGITS_MOST, RedisConnection, Word, number_of
from gateway.storage.redis.names import floor_key, life, published_key, record_key
from gateway.storage.rows import Unreadable

DIGITS = DIGITS_MOST
BATCH = 100
"""Records per script: the server does nothing else meanwhile."""

_PUT = """
local published = tonumber(redis.call('GET', KEYS[1]) or '-1')
local publishing = ARGV[1] == '1'
local overtaken = published > tonumber(ARGV[2])
if publishing and not overtaken then
  redis.call('SET', KEYS[1], ARGV[2])
end
for i = 2, #KEYS do
  local sequence = tonumber(ARGV[2 * i])
  local there = redis.call('GETRANGE', KEYS[i], 0, 15)
  local newer = there == '' or tonumber(there) < sequence
  if newer and (publishing and not overtaken or published >= 0 and sequence >= published) then
    redis.call('SET', KEYS[i], ARGV[2 * i + 1], 'PX', ARGV[3])
  elseif newer and publishing and there ~= '' then
    redis.call('DEL', KEYS[i])
  end
end
"""


NOBODY_MILLISECONDS = 600_000
"""How long a worker's record of somebody of whom nothing is known stays: anybody can invent a login."""


class RedisRecords:
    """``ports.state_cache.RecordCache``."""

    def __init__(
        self, connection: RedisConnection, incarnation: str, ttl_seconds: float, *, publishing: bool = False
    ) -> None:
        """``publishing`` is for the control process alone, whose records follow the change log."""
        self._connection = connection
        self._incarnation = incarnation
        self._ttl_milliseconds = max(1, round(ttl_seconds * 1000))
        self._publishing = publishing

    def follow(self, incarnation: str) -> None:
        """Keep to the records of that life of the store from the next call on; to none with an empty name."""
        self._incarnation = incarnation

    async def get(self, logins: Sequence[str]) -> Mapping[str, PersonRecord]:
        """The records that are there and can be read."""
        incarnation = self._incarnation
        if not incarnation:
            return {}

        def compose(run_id: str) -> list[Word]:
            prefix = life(incarnation, run_id)
            return ["MGET", floor_key(prefix), *(record_key(prefix, login) for login in logins)]

        floor, *values = await self._connection.call(compose)
        oldest = number_of(floor, self._connection.place)
        found = {login: _record(value) for login, value in zip(logins, values, strict=True) if value is not None}
        return {login: record for login, record in found.items() if record is not None and record.sequence >= oldest}

    async def put(self, records: Mapping[str, PersonRecord]) -> None:
        """Write each record unless a newer one is there, or (from a worker) something newer was published."""
        # Of the life of this moment: another may begin while the call waits for a connection.
        incarnation = self._incarnation
        newest = max((record.sequence for record in records.values()), default=0)
        known = any(record.known or record.devices for record in records.values())
        for batch in _batches(records) if incarnation else ():
            await self._connection.call(partial(self._put, incarnation, batch, newest, known))

    def _put(
        self, incarnation: str, batch: Sequence[tuple[str, int, bytes]], newest: int, known: bool, run_id: str
    ) -> list[Word]:
        prefix = life(incarnation, run_id)
        keys = [published_key(prefix), *(record_key(prefix, login) for login, _, _ in batch)]
        ttl = self._ttl_milliseconds if self._publishing or known else min(self._ttl_milliseconds, NOBODY_MILLISECONDS)
        words: list[Word] = ["EVAL", _PUT, len(keys), *keys, int(self._publishing), newest, ttl]
        for _, sequence, value in batch:
            words += (sequence, value)
        return words


def _batches(records: Mapping[str, PersonRecord]) -> Iterator[list[tuple[str, int, bytes]]]:
    rows = ((login, record.sequence, _value(record)) for login, record in records.items())
    while batch := list(islice(rows, BATCH)):
        yield batch


def _value(record: PersonRecord) -> bytes:
    return b"%0*d" % (DIGITS, record.sequence) + encode_record(record)


def _record(value: bytes) -> PersonRecord | None:
    try:
        return compact(decode_record(value[DIGITS:]))
    except Unreadable:
        # Of another version of the code, or damaged: the store knows better.
        return None
