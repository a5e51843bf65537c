"""From the committed change log to the data plane: records into the shared cache, changes onto the feed, in order.

Runs in control processes only. What is on the log is sent exactly in its order; a change is sent after the records it
concerns are in the cache, or without them where the store that has just committed it cannot be read in time: whoever
hears of a change believes no older record. While the cache is away nothing is skipped: workers read the log themselves,
and the publication goes on where it stood as soon as it can, so that no outdated record stays behind.

Of several control processes on one store each sends the whole log, its own commits at once and the others' with them or
within a second (docs/decisions/several-controls.md): no change waits for another process to live. Where the store has
gone before what another one has committed could be read, ours is told ahead of its turn, and in its turn again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable, ChangePublisher, RecordCache, StoreWentBack
from gateway.ports.store import Change, Reading, Store, StoreUnavailable

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
BATCH = 500
SLOW_SECONDS = 0.2
RECORDS_SECONDS = 0.5
"""Not longer does a change wait for the records that it concerns."""
REST_SECONDS = 5.0
"""After a failure that took so long nobody but the repair tries again for a while."""
WAITING_MOST = 4 * BATCH
"""Changes that wait here with the records they brought; while the cache is away, more are left to the change log."""

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


class Publication:
    """Sends what the store has committed."""

    def __init__(
        self, store: Store, records: RecordCache, feed: ChangePublisher, load_record: LoadRecord, life: str = ""
    ) -> None:
        """``life`` is the incarnation of the store that ``records`` and ``feed`` belong to; empty: not looked at."""
        self._store = store
        self._records = records
        self._feed = feed
        self._load_record = load_record
        self._life = life
        self._waiting: dict[int, Change] = {}
        self._ahead: set[int] = set()
        """Those of them that were told ahead of their turn."""
        self._order = asyncio.Lock()
        self.sent = 0
        """The newest sequence that is on the feed."""
        self._known = 0
        """The newest sequence that was ever in the store, as far as this process has seen."""
        self._skipped = 0
        """Changes up to here may never have been sent."""
        self.up = False
        self._told_lost = False
        self._rest_until = 0.0
        self._unread_until = 0.0
        """Until then the store is not asked again for what stands in between."""
        self._refused = asyncio.Event()
        self._refused_for = (0, 0)
        """What the server that was refused must have, and its newest."""

    async def start(self) -> None:
        """Begin at the newest commit but repeat the recent past, in case a control process died over it.

        Raises ``StoreWentBack``.
        """
        async with self._store.read() as reading:
            newest = await reading.sequence()
        self.sent = self._skipped = max(0, newest - BATCH)
        await self._repair()

    async def publish(self, changes: Sequence[Change]) -> None:
        """Send changes of a commit as soon as those before them are sent. Never raises.

        A cache that takes long to say nothing is left to the repair: it would take the time of every report, one after
        the other.
        """
        for change in changes:
            if len(self._waiting) < WAITING_MOST:
                self._waiting[change.sequence] = change
            self._known = max(self._known, change.sequence)
        if not (self._resting or (self._told_lost and self._order.locked())):
            await self._send_waiting()

    async def newest_told(self) -> int | None:
        """The highest sequence that anybody was told of in this life; None while the cache is away: nobody knows.

        Where the store that is read lacks it, ``run`` raises ``StoreWentBack`` within a second, also when the cache has
        gone since.
        """
        try:
            told = await self._feed.published()
        except CacheUnavailable:
            return None
        self._known = max(self._known, told)
        return told

    def went_back(self, must_have: int, newest: int) -> None:
        """Note that a server was not written since it lacks something; ``run`` raises ``StoreWentBack`` at once.

        What is read may have it all: readers' connections to the server before may live on.
        """
        self._refused_for = (must_have, newest)
        self._refused.set()

    def _rest(self, took_seconds: float) -> None:
        if took_seconds >= SLOW_SECONDS:
            self._rest_until = time.monotonic() + REST_SECONDS

    @property
    def _resting(self) -> bool:
        return time.monotonic() < self._rest_until

    async def run(self) -> None:
        """Heartbeat, and repair of what could not be sent, until cancelled. Raises ``StoreWentBack``."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._refused.wait()
            _see_that_it_goes_forward(*self._refused_for)
            await self._repair()

    async def _send_waiting(self, *, repairing: bool = False) -> None:
        async with self._order:
            while batch := await self._next(repairing=repairing):
                if self._resting and not repairing:
                    # It went away while we waited for our turn.
                    return
                if not await self._is_done(self._send(batch)):
                    return

    async def _is_done(self, sending: Awaitable[None]) -> bool:
        """Whether it could be sent."""
        began = time.monotonic()
        try:
            await sending
        except (CacheUnavailable, StoreUnavailable) as error:
            self._rest(time.monotonic() - began)
            self._lost(error)
            return False
        return True

    async def _next(self, *, repairing: bool) -> list[Change]:
        """What is to be sent next; where another control process has committed in between, the log has it."""
        batch = self._next_batch()
        # Many wait here one after the other, each with a report that is not acknowledged before: what was told ahead is
        # told, and what has just failed is left to the repair, which reads the log.
        if batch or self._waiting.keys() <= self._ahead or (self._resting and not repairing):
            return batch
        if time.monotonic() < self._unread_until and not repairing:
            # It gave no answer a moment ago. Only what it does itself counts for how long it is left alone.
            await self._is_done(self._tell_ahead())
            return []
        try:
            async with asyncio.timeout(RECORDS_SECONDS), self._store.read() as reading:
                between = await reading.changes_after(self.sent, BATCH)
        except (StoreUnavailable, TimeoutError) as error:
            self._unread_until = time.monotonic() + HEARTBEAT_SECONDS
            log.warning("published_ahead", error=str(error) or "no answer in time")
            await self._is_done(self._tell_ahead())
            return []
        self._waiting.update((change.sequence, change) for change in between or ())
        return self._next_batch()

    async def _tell_ahead(self) -> None:
        """Tell of what waits without what stands between.

        Whoever hears it sees the gap, and follows the log from where it was; but believes no older record any more of
        those whom it concerns.
        """
        ahead = [self._waiting[sequence] for sequence in sorted(self._waiting.keys() - self._ahead)]
        if ahead:
            records = _at_hand(ahead)
            await self._records.put({login: record for login, record in records.items() if record is not None})
            await self._feed.publish(ahead)
            self._ahead.update(change.sequence for change in ahead)

    def _next_batch(self) -> list[Change]:
        for sequence in [known for known in self._waiting if known <= self.sent]:
            del self._waiting[sequence]
        self._ahead &= self._waiting.keys()
        batch: list[Change] = []
        while len(batch) < BATCH and (change := self._waiting.get(self.sent + 1 + len(batch))):
            batch.append(change)
        return batch

    async def _send(self, batch: list[Change]) -> None:
        await self._outdate_skipped()
        if records := _at_hand(batch):
            at_hand = {login: record for login, record in records.items() if record is not None}
            others = [login for login, record in records.items() if record is None]
            await self._records.put(at_hand | (await self._fresh(others) if others else {}))
        await self._feed.publish(batch)
        self.sent = batch[-1].sequence
        self._reached()

    async def _fresh(self, logins: Iterable[str]) -> dict[str, PersonRecord]:
        """The records; none where the store went away, or stands still, between a commit and this reading."""
        try:
            async with asyncio.timeout(RECORDS_SECONDS):
                return await self._store.read_at_once(partial(self._loaded, logins))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("published_without_records", error=str(error) or "no answer in time")
            return {}

    async def _loaded(self, logins: Iterable[str], reading: Reading) -> dict[str, PersonRecord]:
        return {login: await self._load_record(reading, login) for login in logins}

    async def _repair(self) -> None:
        """Send from the log what nobody handed over, then the heartbeat."""
        known = self._known
        try:
            # Read after: whatever was known was committed before.
            async with self._store.read() as reading:
                self._mind_the_life(await reading.incarnation())
                newest = await reading.sequence()
                missed = await reading.changes_after(self.sent) if newest > self.sent else ()
            self._unread_until = 0.0
            # Also while the cache, which knows as well, is away.
            _see_that_it_goes_forward(known, newest)
            self._known = max(self._known, newest)
            if missed is None:
                # Trimmed before it was sent: workers see the gap and begin anew.
                self.sent = self._skipped = newest
            self._waiting.update((change.sequence, change) for change in missed or ())
            await self._send_waiting(repairing=True)
            if self.sent == newest:
                await self._outdate_skipped()
                await self._feed.heartbeat(newest)
                self._reached()
            await check_forward(self._store, self._feed, self.sent)
        except (CacheUnavailable, StoreUnavailable) as error:
            self._lost(error)

    def _mind_the_life(self, present: str) -> None:
        if self._life and present != self._life:
            raise StoreWentBack("another control process has begun another life of the store")

    async def _outdate_skipped(self) -> None:
        """A cache that was away may hold records which the skipped changes have overtaken."""
        if self._skipped:
            await self._feed.outdate(self._skipped)
            self._skipped = 0

    def _lost(self, error: Exception) -> None:
        self.up = False
        # Once for each time that it goes; a feed that is away from the start is told as well.
        if not self._told_lost:
            self._told_lost = True
            log.warning("feed_unavailable", error=str(error))

    def _reached(self) -> None:
        self.up = True
        if self._told_lost:
            self._told_lost = False
            log.info("feed_back", sequence=self.sent)


def _at_hand(changes: Iterable[Change]) -> dict[str, PersonRecord | None]:
    """The records of those whom changes concern, as far as these have brought them."""
    records: dict[str, PersonRecord | None] = {}
    for change in changes:
        for name in change.names:
            # Of several changes the last one knows; what is at hand of an earlier one is outdated by it.
            record = change.records.get(name)
            records[name] = record and replace(record, sequence=change.sequence)
    return records


async def check_forward(store: Store, feed: ChangePublisher, sent: int = 0) -> None:
    """See that the store has everything that was ever told of, up to ``sent`` and to what the feed knows.

    Raises ``StoreWentBack``, ``CacheUnavailable`` and ``StoreUnavailable``.
    """
    told = max(sent, await feed.published())
    # Read last: whatever was told of was committed before.
    async with store.read() as reading:
        newest = await reading.sequence()
    _see_that_it_goes_forward(told, newest)


def _see_that_it_goes_forward(told: int, newest: int) -> None:
    if told > newest:
        raise StoreWentBack(
            f"the store's newest change is {newest}, but {told} was told of: an earlier state was put in place"
        )
