"""A Redis server in memory for tests of orders: the commands and scripts that Gatepost sends, and its ways of failing.

``DoubleConnection`` takes the place of ``RedisConnection``; the records, the publisher and the subscription on top of
it are the real ones. A command is on its way for as long as the order says, reaches the server even when its sender
has given up, and never reaches another life of the server than the one it was composed for. What the double answers is
compared with a real server in ``test_server_double``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any

from gateway.ports.state_cache import CacheUnavailable
from gateway.storage.redis import feed, records
from gateway.storage.redis.connection import Compose, RedisConnection, Word

Point = Callable[[str], Awaitable[None]]
Memory = tuple[dict[bytes, bytes], dict[bytes, list[tuple[int, bytes]]]]


def octets(word: Word) -> bytes:
    """A word as it goes over the wire."""
    return word if isinstance(word, bytes) else str(word).encode()


class RedisDouble:
    """One server: strings, streams, and a run id that changes with every start."""

    def __init__(self) -> None:
        self.away = False
        self.starts = 1
        self._strings: dict[bytes, bytes] = {}
        self._streams: dict[bytes, list[tuple[int, bytes]]] = {}
        self._ids = 0
        self._arrivals: list[asyncio.Future[None]] = []

    @property
    def run_id(self) -> str:
        """The name of this life; twelve characters are used of it."""
        return f"{self.starts:040x}"[::-1]

    # --- what happens to it

    def flush(self) -> None:
        """FLUSHALL."""
        self._strings, self._streams = {}, {}

    def evict(self) -> None:
        """Let go of every record, for want of memory: what has no time to live stays."""
        self._strings = {key: value for key, value in self._strings.items() if b":p:" not in key}

    def dump(self) -> Memory:
        """What it holds, as a dump would keep it."""
        return deepcopy((self._strings, self._streams))

    def restart(self, dump: Memory | None = None) -> None:
        """Begin another life, empty or with what a dump holds."""
        self.starts += 1
        self._strings, self._streams = deepcopy(dump) if dump else ({}, {})
        self._wake()

    def partition(self, *, away: bool) -> None:
        """Be out of reach with everything that is in memory, or within reach again."""
        self.away = away
        self._wake()

    def _wake(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            if not arrival.done():
                arrival.set_result(None)

    async def arrival(self) -> None:
        """Wait until something is added to a stream, or the server ends."""
        arrival = asyncio.get_running_loop().create_future()
        self._arrivals.append(arrival)
        await arrival

    # --- what it is asked

    def answer(self, words: Sequence[Word]) -> Any:
        """The answer to one command, without waiting."""
        name, *rest = [octets(word) for word in words]
        if name == b"EVAL":
            keys = int(rest[1])
            return self._script(rest[0].decode(), rest[2 : 2 + keys], rest[2 + keys :])
        if name == b"MGET":
            return [self._strings.get(key) for key in rest]
        if name == b"XREVRANGE":
            return [self._entry(each) for each in self._streams.get(rest[0], [])[-1:]]
        if name == b"XREAD":
            stream, position = rest[-2:]
            after = int(position.partition(b"-")[0])
            found = [each for each in self._streams.get(stream, []) if each[0] > after]
            return [[stream, [self._entry(each) for each in found]]] if found else None
        raise AssertionError(f"the double does not know {name!r}")

    def _entry(self, entry: tuple[int, bytes]) -> tuple[bytes, list[bytes]]:
        return b"%d-0" % entry[0], [b"m", entry[1]]

    def _script(self, text: str, keys: Sequence[bytes], words: Sequence[bytes]) -> None:
        if text == records._PUT:
            self._put(keys, words)
        elif text == feed._PUBLISH:
            self._publish(keys, words)
        else:
            raise AssertionError("the double does not know this script")

    def _put(self, keys: Sequence[bytes], words: Sequence[bytes]) -> None:
        published = int(self._strings.get(keys[0], b"-1"))
        publishing = words[0] == b"1"
        overtaken = published > int(words[1])
        if publishing and not overtaken:
            self._strings[keys[0]] = words[1]
        for place, key in enumerate(keys[1:]):
            sequence, value = int(words[3 + 2 * place]), words[4 + 2 * place]
            there = self._strings.get(key, b"")[:16]
            newer = not there or int(there) < sequence
            if newer and ((publishing and not overtaken) or 0 <= published <= sequence):
                self._strings[key] = value
            elif newer and publishing:
                self._strings.pop(key, None)

    def _publish(self, keys: Sequence[bytes], words: Sequence[bytes]) -> None:
        stream, published, floor = keys
        if int(words[1]) > int(self._strings.get(published, b"-1")):
            self._strings[published] = words[1]
        if int(words[2]) > int(self._strings.get(floor, b"0")):
            self._strings[floor] = words[2]
        for content in words[3:]:
            self._ids += 1
            self._streams.setdefault(stream, []).append((self._ids, content))
        self._wake()


class DoubleConnection(RedisConnection):
    """A process's connection to the double."""

    def __init__(self, server: RedisDouble, point: Point, name: str = "") -> None:
        self.place = name
        self.cut = False
        """Set when the process at this end has died: nothing more is sent."""
        self._server = server
        self._point = point
        self._on_the_way: set[asyncio.Task[Any]] = set()

    async def call(self, compose: Compose, *, blocks_for: float = 0.0) -> Any:
        """As the real one: bounded in time, and every failure is ``CacheUnavailable``."""
        for _ in range(2):
            if self.cut or self._server.away:
                raise CacheUnavailable("away")
            run_id = self._server.run_id
            words = compose(run_id)
            # The command goes on its way whether or not somebody still waits for the answer.
            task = asyncio.create_task(self._deliver(run_id, words, blocks_for))
            self._on_the_way.add(task)
            task.add_done_callback(self._arrived)
            try:
                async with asyncio.timeout(1.0 + blocks_for):
                    return await asyncio.shield(task)
            except TimeoutError as error:
                raise CacheUnavailable("no answer in time") from error
            except ConnectionResetError:
                continue
        raise CacheUnavailable("the connection was lost")

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._on_the_way.discard(task)
        if not task.cancelled():
            # Its sender may have given up: nobody else looks at what became of it.
            task.exception()

    async def _deliver(self, run_id: str, words: Sequence[Word], blocks_for: float) -> Any:
        what = octets(words[0]).decode()
        if not blocks_for:
            await self._point(f"{self.place} {what}")
        self._same_life(run_id)
        answer = self._server.answer(words)
        if answer is None and blocks_for:
            answer = await self._blocked(run_id, words, blocks_for)
        await self._point(f"{self.place} {what} answered")
        self._same_life(run_id)
        return answer

    async def _blocked(self, run_id: str, words: Sequence[Word], blocks_for: float) -> Any:
        try:
            async with asyncio.timeout(blocks_for):
                while True:
                    await self._server.arrival()
                    self._same_life(run_id)
                    if (answer := self._server.answer(words)) is not None:
                        return answer
        except TimeoutError:
            return None

    def _same_life(self, run_id: str) -> None:
        if self._server.away or self._server.run_id != run_id:
            raise ConnectionResetError

    async def close(self) -> None:
        """Nothing to let go of."""
