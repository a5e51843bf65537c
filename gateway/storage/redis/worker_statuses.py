"""``ports.worker_statuses`` in one hash: a field for each worker, with the moment by the server's own clock.

What nobody has renewed for ``forgotten_seconds`` is taken out by whoever reads. The hash has no end of its own, so that
it is not evicted for want of memory, and is named without the lives of store and server: those who tell are there anew
within a second of each.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from gateway.ports.worker_statuses import Place, WorkerStatus
from gateway.storage.redis.connection import RedisConnection, Word
from gateway.storage.redis.names import WORKERS

FORGOTTEN_SECONDS = 960.0

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
_TELL = f"{_NOW} redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s', now, ARGV[2]))"
_ALL = f"""
{_NOW}
local found, rows = redis.call('HGETALL', KEYS[1]), {{}}
for i = 1, #found, 2 do
  local at, told = string.match(found[i + 1], '^(%d+) (.*)$')
  local age = at and now - tonumber(at) or math.huge
  if age > tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], found[i])
  else
    rows[#rows + 1] = {{found[i], math.max(0, age), told}}
  end
end
return rows
"""


class RedisWorkerStatuses:
    """Told to and read from one server."""

    def __init__(
        self, connection: RedisConnection, *, forgotten_seconds: float = FORGOTTEN_SECONDS, names: str = WORKERS
    ) -> None:
        """``names``: the hash; ``SESSIONS`` for who is connected there (``decision.sessions_told``)."""
        self._connection = connection
        self._names = names
        self._forgotten = max(1, round(forgotten_seconds * 1000))

    async def tell(self, place: Place, told: Mapping[str, Any]) -> None:
        """Say how the worker at a place is."""
        words: tuple[Word, ...] = (
            "EVAL",
            _TELL,
            1,
            self._names,
            _field(place),
            json.dumps(told, separators=(",", ":")),
        )
        await self._connection.call(lambda run_id: words)

    async def leave(self, place: Place) -> None:
        """Say that the worker at a place has ended as it should."""
        await self._connection.call(lambda run_id: ("HDEL", self._names, _field(place)))

    async def all(self) -> Sequence[WorkerStatus]:
        """What each worker said last; one that cannot be read is left out."""
        rows = await self._connection.call(lambda run_id: ("EVAL", _ALL, 1, self._names, self._forgotten))
        return [status for status in (_status(*row) for row in rows) if status is not None]


def _field(place: Place) -> str:
    return json.dumps([place.machine, place.name, place.run])


def _status(field: bytes, age_milliseconds: int, told: bytes) -> WorkerStatus | None:
    try:
        machine, name, run = json.loads(field)
        said = json.loads(told, parse_constant=_no_json)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    return WorkerStatus(Place(str(machine), str(name), str(run)), age_milliseconds / 1000, said)


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON, and no answer of the admin API could hold it")
