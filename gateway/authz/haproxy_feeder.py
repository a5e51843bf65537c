"""Keeps the map of one HAProxy process equal to the mirror, by its runtime API.

A second, small map beside it says whether the big one may be believed: it holds a mark of ours and the moment of our
last sign of life, once a second. HAProxy's rules believe the map only while that moment is young; a process that has
just started holds neither, so it asks. The big map is filled as a new version, which is invisible until it is whole;
what turned meanwhile is put right before the map is said to be good. After that single entries follow, each at once.

One Gatepost feeds a map. Where two find each other (an upgrade), the one that began later goes on.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from gateway.authz.cutter import CutFailed
from gateway.authz.haproxy_client import HaproxyClient
from gateway.domain.errors import InvalidValue
from gateway.observability.metrics import Metrics
from gateway.protocols.authz import haproxy_runtime as runtime

log = structlog.get_logger()

BEAT_SECONDS: Final = 1.0
BELIEVED_SECONDS: Final = 5
"""For so long after a sign of life the rules of the example believe the map."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
EDITS_MOST: Final = 100
"""Each edit costs HAProxy a look at all entries (some milliseconds of 100,000): more of them are a new version."""
FAREWELL_SECONDS: Final = 1.0


class MapFeeder:
    """One process and its map."""

    def __init__(
        self,
        client: HaproxyClient,
        path: str,
        words: Mapping[str, str],
        metrics: Metrics,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``path``: the map's name in haproxy.cfg. ``words``: the mirror, which changes while we look."""
        self._client = client
        self._path = path
        self._alive = f"{path}.alive"
        self._words = words
        self._wall_clock = wall_clock
        # A number, as all values of that map: the moment we began in milliseconds, and three digits by chance.
        self._mark = str(int(1000 * wall_clock()) * 1000 + secrets.randbelow(1000))
        self._sent: dict[str, str] = {}
        self._turned: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._pause = FIRST_PAUSE_SECONDS
        self._told_lost = False
        self._told_yielded = False
        self._beat_at = 0.0
        """When the next sign of life is due, by the monotonic clock."""
        self._filled = False
        self._outdated = False
        """What was written last is no part of the mirror any more."""
        self._fills = metrics.counter("gatepost_haproxy_map_fills_total", "Maps written from the start", "outcome")

    @property
    def filled(self) -> bool:
        """Whether that process holds the map as far as we know."""
        return self._filled and not self._outdated

    def turned(self, key: str) -> None:
        """The word of a key has changed."""
        self._turned[key] = None
        self._wake.set()

    def begin_anew(self) -> None:
        """All keys have gone."""
        self._outdated = True
        self._wake.set()

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            try:
                await self._feed()
                self._pause = FIRST_PAUSE_SECONDS
            except (CutFailed, InvalidValue) as error:
                self._lost(str(error))
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    async def _feed(self) -> None:
        if not self.filled:
            if await self._fed_by_a_newer():
                await asyncio.sleep(BEAT_SECONDS)
                return
            await self._fill()
        await self._news()
        if self._turned and self.filled:
            await self._follow()
        if self.filled and time.monotonic() >= self._beat_at:
            await self._beat()

    async def _news(self) -> None:
        """Wait until something has turned, or a sign of life is due."""
        if self._turned:
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._beat_at - time.monotonic())):
                await self._wake.wait()

    async def _fed_by_a_newer(self) -> bool:
        there = runtime.entries(await self._client.say(f"show map {self._alive}"))
        mark, moment = there.get("mark", ""), there.get("at", "")
        newer = mark.isdigit() and int(mark) > int(self._mark)
        young = moment.isdigit() and abs(self._moment() - int(moment)) <= BELIEVED_SECONDS
        if newer and young and not self._told_yielded:
            log.warning("haproxy_map_fed_by_another", runtime=self._client.url)
        self._told_yielded = newer and young
        return newer and young

    async def _fill(self) -> None:
        """Write all of it, and say that it may be believed."""
        began = time.monotonic()
        runtime.done(await self._client.say(f"clear map {self._alive}"))
        await self._write_version()
        while self._turned:
            await self._follow()
        mark, moment = f"add map {self._alive} mark {self._mark}", f"add map {self._alive} at {self._moment()}"
        runtime.done(await self._client.say(f"{mark};{moment}"))
        self._filled, self._told_lost = True, False
        self._beat_at = time.monotonic() + BEAT_SECONDS
        self._fills.inc("done")
        took = round(time.monotonic() - began, 3)
        log.info("haproxy_map_filled", runtime=self._client.url, entries=len(self._sent), seconds=took)

    async def _write_version(self) -> None:
        """Put a new version in force in place of the one that is there."""
        version = runtime.prepared(await self._client.say(f"prepare map {self._path}"))
        self._turned.clear()
        self._outdated = False
        sent = dict(self._words)
        for piece in runtime.additions(self._path, sent.items(), version):
            runtime.done(await self._client.say(piece))
        runtime.done(await self._client.say(f"commit map @{version} {self._path}"))
        self._sent = sent

    async def _follow(self) -> None:
        """Tell what has turned. Where that fails, all of it is written again."""
        turned, self._turned = self._turned, {}
        added, edited = self._differences(turned)
        if len(edited) > EDITS_MOST:
            await self._write_version()
            return
        for line in runtime.edits(self._path, edited):
            runtime.done(await self._client.say(line))
        for line in runtime.additions(self._path, added.items()):
            runtime.done(await self._client.say(line))
        for key, word in {**edited, **added}.items():
            if word is None:
                del self._sent[key]
            else:
                self._sent[key] = word

    def _differences(self, turned: Mapping[str, None]) -> tuple[dict[str, str], dict[str, str | None]]:
        added: dict[str, str] = {}
        edited: dict[str, str | None] = {}
        for key in turned:
            word, sent = self._words.get(key), self._sent.get(key)
            if sent is None and word is not None:
                added[key] = word
            elif word != sent:
                edited[key] = word
        return added, edited

    async def _beat(self) -> None:
        """A sign of life; a process that does not know us is a new one, or another Gatepost's."""
        self._beat_at = time.monotonic() + BEAT_SECONDS
        text = await self._client.say(f"set map {self._alive} at {self._moment()};show map {self._alive}")
        if runtime.entries(text).get("mark") != self._mark:
            log.info("haproxy_map_gone", runtime=self._client.url)
            self._filled = False

    def _moment(self) -> int:
        return int(self._wall_clock())

    def _lost(self, reason: str) -> None:
        self._filled = False
        if not self._told_lost:
            self._told_lost = True
            self._fills.inc("failed")
            log.warning("haproxy_map_not_fed", runtime=self._client.url, reason=reason)

    async def close(self) -> None:
        """Let the map be believed no longer; best effort, for it would end by itself within seconds."""
        with suppress(CutFailed, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._client.say(f"clear map {self._alive}")
