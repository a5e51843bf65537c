"""The fast feed: a capped stream of changes, and a heartbeat that tells the newest sequence."""

from collections.abc import Sequence

import msgspec

from gateway.ports.state_cache import FeedMessage
from gateway.ports.store import Change, ChangeKind
from gateway.storage.redis.connection import RedisConnection, Word, number_of
from gateway.storage.redis.names import FEED, floor_key, life, published_key
from gateway.storage.redis.streams import StreamReader
from gateway.storage.rows import DAMAGED

ENTRIES = 5_000
"""Kept on the stream, or a few more; whoever has missed more reads the change log."""

_PUBLISH = """
local published = tonumber(redis.call('GET', KEYS[2]) or '-1')
if tonumber(ARGV[2]) > published then redis.call('SET', KEYS[2], ARGV[2]) end
local floor = tonumber(redis.call('GET', KEYS[3]) or '0')
if tonumber(ARGV[3]) > floor then redis.call('SET', KEYS[3], ARGV[3]) end
for i = 4, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[i]) end
"""


class _Message(msgspec.Struct, array_like=True, frozen=True):
    """A message as it is written; without a kind it is a heartbeat."""

    incarnation: str
    sequence: int
    kind: ChangeKind | None = None
    names: tuple[str, ...] = ()
    version: int = 0
    at: float = 0.0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Message)


class RedisPublisher:
    """``ports.state_cache.ChangePublisher``."""

    def __init__(self, connection: RedisConnection, incarnation: str) -> None:
        self._connection = connection
        self._incarnation = incarnation
        self._run_id = ""
        """Of the server that was last sent to."""

    async def publish(self, changes: Sequence[Change]) -> None:
        """Send changes on, in order, as a whole or not at all."""
        messages = [
            _Message(self._incarnation, each.sequence, each.kind, each.names, each.version, each.at) for each in changes
        ]
        floor = max((each.sequence for each in changes if each.kind is ChangeKind.EVERYBODY), default=0)
        if messages:
            await self._send(messages, changes[-1].sequence, floor)

    async def outdate(self, sequence: int) -> None:
        """Let no shared record older than ``sequence`` count any more."""
        await self._send([], sequence, sequence)

    async def heartbeat(self, sequence: int) -> None:
        """Tell that all is well up to ``sequence``."""
        await self._send([_Message(self._incarnation, sequence)], sequence, 0)

    async def published(self) -> int:
        """The newest sequence ever told of in this life of store and server; 0: none."""
        (newest,) = await self._connection.call(lambda run_id: ("MGET", published_key(life(self._incarnation, run_id))))
        return number_of(newest, self._connection.place)

    async def _send(self, messages: Sequence[_Message], newest: int, floor: int) -> None:
        entries = [_encoder.encode(message) for message in messages]
        asked = ""

        def compose(run_id: str) -> Sequence[Word]:
            nonlocal asked
            asked = run_id
            prefix = life(self._incarnation, run_id)
            keys = (FEED, published_key(prefix), floor_key(prefix))
            # A server that takes another one's place may have been here before, in this very life: what it kept from
            # then is older than what the other one was told.
            least = floor if run_id == self._run_id else max(floor, newest)
            return "EVAL", _PUBLISH, len(keys), *keys, ENTRIES, newest, least, *entries

        await self._connection.call(compose)
        self._run_id = asked


class RedisSubscription:
    """``ports.state_cache.ChangeSubscription``."""

    def __init__(self, connection: RedisConnection) -> None:
        self._reader = StreamReader(connection, FEED, from_start=False)

    async def next(self, timeout_seconds: float) -> Sequence[FeedMessage]:
        """The messages since the last call; one that cannot be read is left out and shows as a gap."""
        found = await self._reader.next(timeout_seconds)
        return [message for message in map(_read, found) if message is not None]


def _read(content: bytes) -> FeedMessage | None:
    try:
        row = _decoder.decode(content)
    except DAMAGED:
        return None
    if row.kind is None:
        return FeedMessage(row.incarnation, row.sequence)
    return FeedMessage(row.incarnation, row.sequence, Change(row.sequence, row.kind, row.names, row.version, row.at))
