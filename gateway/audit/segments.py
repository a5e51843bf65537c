"""What of the log is not kept for ever: entries older than the retention, and most of the old checkpoints.

Entries go in whole segments behind a signed checkpoint, never others; an entry tells of it, in the same transaction.
The checkpoint stays, and verification goes on from it. Nothing goes before the log was signed for a day by the time of
now: neither by a clock that has jumped, nor just after a long outage. Whether a checkpoint has
reached the webhook is not looked at.
"""

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, Value, moment_text
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint
from gateway.ports.store import Store, Writing

log = structlog.get_logger()

SEGMENT_ENTRIES = 20_000
"""Dropped in one transaction, or a few more: others wait for it."""
ALL_KEPT_SECONDS = 7 * 86_400.0
"""So long every checkpoint is kept; of older ones one for each so many entries and each day."""
DAY_SECONDS = 86_400.0
PAGE = 1_000


class Retention:
    """One per control process; ``tidy`` is called by who holds the lease."""

    def __init__(self, store: Store, keep_seconds: float, now: Callable[[], float]) -> None:
        """``keep_seconds`` 0: entries are kept for ever."""
        self._store = store
        self._keep_seconds = keep_seconds
        self._now = now

    async def tidy(self) -> int:
        """Drop what is older than the retention, and thin out old checkpoints; how many entries went.

        Raises ``StoreUnavailable``.
        """
        gone = 0
        while self._keep_seconds and (found := await self._next_segment()):
            if not await self._time_has_lasted():
                log.warning(
                    "audit_not_tidied", error="the clock shows another time than a day ago: old entries wait a day"
                )
                break
            dropped, _ = await self._store.write(partial(_drop, found, self._now()))
            gone += dropped
            log.info("audit_segment_dropped", upto=found.size, entries=dropped)
        await self._thin()
        return gone

    async def _next_segment(self) -> StoredCheckpoint | None:
        """The last checkpoint within one segment's reach that is old enough, and not the newest of all."""
        before = self._now() - self._keep_seconds
        async with self._store.read() as reading:
            dropped = await reading.dropped_segments()
            after = dropped[-1].upto if dropped else 0
            page = await reading.audit_checkpoints(after, PAGE)
            newest = await reading.newest_audit_checkpoint()
        old = [each for each in page if each.at < before and newest is not None and each.size < newest.size]
        near = [each for each in old if each.size - after <= SEGMENT_ENTRIES]
        return near[-1] if near else (old[0] if old else None)

    async def _time_has_lasted(self) -> bool:
        """Whether it was yesterday a day ago: a clock that is years ahead must not drop all that there is."""
        now, after = self._now(), 0
        while True:
            async with self._store.read() as reading:
                page = await reading.audit_checkpoints(after, PAGE)
            if not page:
                return False
            if any(now - 2 * DAY_SECONDS <= each.at <= now - DAY_SECONDS for each in page):
                return True
            after = page[-1].size

    async def _thin(self) -> None:
        before, after = self._now() - ALL_KEPT_SECONDS, 0
        kept: StoredCheckpoint | None = None
        while True:
            async with self._store.read() as reading:
                page = [each for each in await reading.audit_checkpoints(after, PAGE) if each.at < before]
            if not page:
                return
            after = page[-1].size
            gone, kept = _thinned(page, kept)
            if gone:
                await self._store.write(partial(_thin, gone))


def _thinned(
    page: Sequence[StoredCheckpoint], kept: StoredCheckpoint | None
) -> tuple[list[int], StoredCheckpoint | None]:
    """The sizes of those that go, and the last one that stays; ``kept``: the last one before them that stays."""
    gone: list[int] = []
    for each in page:
        near = kept is not None and each.at - kept.at < DAY_SECONDS and each.size - kept.size < SEGMENT_ENTRIES // 2
        if near:
            gone.append(each.size)
        else:
            kept = each
    return gone, kept


async def _thin(sizes: Sequence[int], writing: Writing) -> None:
    await writing.thin_audit_checkpoints(sizes)


async def _drop(checkpoint: StoredCheckpoint, now: float, writing: Writing) -> int:
    segment = DroppedSegment(checkpoint.size, now, checkpoint.note, checkpoint.chain, checkpoint.frontier)
    details: dict[str, Value] = {"upto": checkpoint.size, "signed_at": moment_text(checkpoint.at)}
    await writing.log_audit(AuditEntry(AuditKind.SEGMENT_DROPPED, GATEPOST, details=details))
    return await writing.drop_audit_segment(segment)
