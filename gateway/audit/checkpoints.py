"""Signs the log regularly, also where nothing was written (so that silence is seen), and sends what was signed outside.

One control process does it at a time, under a lease. A checkpoint is due each ``every_seconds``, after
``every_entries``, and soon after an act of a person: an edit, an approval, a token. It is announced by an entry of its
own, signed, kept, logged and sent; what cannot be sent is sent again and alarmed, and never holds anything up.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway.audit.keys import AuditKey
from gateway.audit.pushing import NotPushed, Push
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.checkpoint import checkpoint_of
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.audit.stored import StoredCheckpoint, StoredEntry
from gateway.observability.metrics import Metrics
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 5.0
ALARM_AFTER_SECONDS = 900.0
RETRY_AT_MOST_SECONDS = 300.0
END_SECONDS = 3.0
"""An orderly stop waits no longer for its checkpoint."""
LOOKED_AT_ONCE = 1_000
"""Entries that are looked through for an act of a person; the next look goes on behind them."""

_QUIET = frozenset(
    f'"kind":"{kind.value}"'.encode()
    for kind in (AuditKind.CHECKPOINT, AuditKind.EVIDENCE, AuditKind.EFFECTS, AuditKind.SEGMENT_DROPPED)
)
"""What can wait for the next regular checkpoint."""


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """When one is due."""

    every_seconds: float = 300.0
    every_entries: int = 10_000


class Checkpointing:
    """One per control process; ``run`` runs while this process holds the lease."""

    def __init__(
        self,
        store: Store,
        key: AuditKey,
        push: Push | None,
        settings: CheckpointSettings,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``push`` None: checkpoints leave the machine by the log only."""
        self._store = store
        self._key = key
        self._push = push
        self._settings = settings
        self._now = now
        self._monotonic = monotonic
        self._pushed = 0
        self._looked_through = 0
        self._begin()

    def _begin(self) -> None:
        self._newest: StoredCheckpoint | None = None
        self._unpushed_since: float | None = None
        self._push_again_at = 0.0
        self._failures = 0
        self._alarmed = False
        self._not_made_since: float | None = None
        self.trouble = ""
        """Why the newest checkpoint has not left this machine, for long; one sentence, or empty."""

    async def run(self, held: object) -> None:
        """Look regularly, until cancelled."""
        try:
            while held:
                await self.look()
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        finally:
            # Whoever holds the lease next says what is wrong.
            self._begin()

    async def look(self) -> None:
        """Make a checkpoint if one is due, and send the newest one if it has not arrived."""
        try:
            if await self._is_due():
                await self.make()
            self._not_made_since = None
        except StoreUnavailable as error:
            if self._not_made_since is None:
                log.warning("audit_checkpoint_not_made", error=str(error))
            self._not_made_since = self._not_made_since or self._now()
        await self._send()

    async def end(self) -> None:
        """At an orderly stop: sign what was written since the newest checkpoint, so that its tail is vouched for."""
        try:
            async with asyncio.timeout(END_SECONDS):
                async with self._store.read() as reading:
                    head, newest = await reading.audit_head(), await reading.newest_audit_checkpoint()
                if head.origin and head.size > (newest.size if newest else 0):
                    await self.make()
                    await self._send()
        except (StoreUnavailable, Conflict, TimeoutError) as error:
            log.warning("audit_checkpoint_not_made", error=str(error) or "the store does not answer in time")

    async def make(self) -> StoredCheckpoint:
        """Sign the log as it is now, with an entry that says so. Raises ``StoreUnavailable``."""
        await self._store.write(self._announce)
        made, _ = await self._store.write(self._sign)
        self._newest = made
        log.info("audit_checkpoint", size=made.size, note=made.note)
        return made

    async def _announce(self, writing: Writing) -> None:
        policy = await writing.policy()
        details = {"policy_version": policy.number if policy else 0}
        await writing.log_audit(AuditEntry(AuditKind.CHECKPOINT, GATEPOST, details=details))

    async def _sign(self, writing: Writing) -> StoredCheckpoint:
        head = await writing.audit_head()
        note = self._key.note(checkpoint_of(head))
        made = StoredCheckpoint(head.size, self._now(), note, head.chain, head.frontier)
        await writing.put_audit_checkpoint(made)
        return made

    async def _is_due(self) -> bool:
        async with self._store.read() as reading:
            head, newest = await reading.audit_head(), await reading.newest_audit_checkpoint()
            self._newest = newest
            after = newest.size if newest else 0
            if newest is None or self._now() - newest.at >= self._settings.every_seconds:
                return bool(head.origin)
            if head.size - after >= self._settings.every_entries:
                return True
            entries = await reading.audit_entries(max(after, self._looked_through), LOOKED_AT_ONCE)
        if _somebody_acted(entries):
            # Looked at again until it is signed, which may fail.
            return True
        if entries:
            self._looked_through = entries[-1].seq
        return False

    async def _send(self) -> None:
        newest = self._newest
        if self._push is None or newest is None or newest.size == self._pushed:
            return
        now = self._monotonic()
        if self._unpushed_since is None:
            self._unpushed_since = now
        if now < self._push_again_at:
            return
        try:
            await self._push(newest)
        except NotPushed as error:
            self._not_sent(str(error), now)
            return
        if self._alarmed:
            log.info("audit_checkpoint_pushed_again", size=newest.size)
        self._pushed, self._unpushed_since, self._failures, self._alarmed, self.trouble = (
            newest.size,
            None,
            0,
            False,
            "",
        )

    def _not_sent(self, reason: str, now: float) -> None:
        self._failures += 1
        self._push_again_at = now + min(RETRY_AT_MOST_SECONDS, LOOK_EVERY_SECONDS * 2**self._failures)
        log.warning("audit_checkpoint_not_pushed", error=reason, failures=self._failures)
        assert self._unpushed_since is not None
        if now - self._unpushed_since >= ALARM_AFTER_SECONDS:
            self.trouble = f"no checkpoint of the audit log has left this machine by the webhook for long: {reason}"
            if not self._alarmed:
                log.error("audit_checkpoints_stay_here", seconds=round(now - self._unpushed_since), error=reason)
            self._alarmed = True

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures. Only who holds the lease has some."""
        if self._newest is not None:
            size = metrics.gauge("gatepost_audit_size", "Entries of the audit log under the newest checkpoint")
            at = metrics.gauge("gatepost_audit_checkpoint_timestamp_seconds", "When the audit log was last signed")
            size.set(self._newest.size)
            at.set(self._newest.at)
        else:
            for name in ("gatepost_audit_size", "gatepost_audit_checkpoint_timestamp_seconds"):
                metrics.families.pop(name, None)
        waiting = self._monotonic() - self._unpushed_since if self._unpushed_since is not None else 0.0
        unpushed = "How long the newest checkpoint has not got to the webhook"
        metrics.gauge("gatepost_audit_unpushed_seconds", unpushed).set(waiting)


def _somebody_acted(entries: Sequence[StoredEntry]) -> bool:
    return any(not any(kind in row.entry for kind in _QUIET) for row in entries)
