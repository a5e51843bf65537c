"""The audit log in the control process: its key, what is signed and sent outside, and what is not kept for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from gateway import __version__
from gateway.app.parts import data_dir_of
from gateway.audit.checkpoints import Checkpointing, CheckpointSettings
from gateway.audit.effects import Effects
from gateway.audit.evidence import EvidenceTold
from gateway.audit.keys import AuditKey, find_or_make_key, write_public
from gateway.audit.pushing import WebhookPush
from gateway.audit.segments import Retention
from gateway.changes.cut_devices import CutMarks
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import GATEPOST
from gateway.observability.metrics import Metrics
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing
from gateway.runtime.leases import Held
from gateway.settings import Settings
from gateway.storage.redis import EffectReceiver, RedisConnection

log = structlog.get_logger()

EVIDENCE_EVERY_SECONDS = 20.0
EFFECTS_WAIT_SECONDS = 5.0
AGAIN_AFTER_SECONDS = 1.0
DAY_SECONDS = 86_400.0

ToldOfEffects = Callable[[Sequence[Subject]], Awaitable[None]]
"""Raises ``StoreUnavailable`` and ``Conflict``: they are told again then."""


def audit_key_of(settings: Settings) -> tuple[AuditKey, bool]:
    """The key of this machine, and whether it was made now, at the first start. Raises ``DomainError``."""
    return find_or_make_key(data_dir_of(settings))


async def tell_of_the_start(store: Store, key: AuditKey, data_dir: Path, *, made: bool = False) -> None:
    """Write down that a control process begins, and put the public key where it can be copied from.

    ``made``: the key is new.

    A store that takes no writes (a full disk) is no reason not to begin: mail goes on without.
    """

    if made:
        log.info("audit_key_made", path=str(data_dir / "audit-key"))

    async def work(writing: Writing) -> None:
        # The log's name comes with its first entry.
        head = await writing.audit_head()
        told = {"version": __version__, "key": str(key.verifier(head.origin)) if head.origin else ""}
        await writing.log_audit(AuditEntry(AuditKind.STARTED, GATEPOST, details=told))

    try:
        await store.write(work)
        async with store.read() as reading:
            verifier = key.verifier((await reading.audit_head()).origin)
        await asyncio.to_thread(write_public, data_dir, verifier)
    except StoreUnavailable as error:
        log.warning("audit_start_not_told", error=str(error))
    except OSError as error:
        log.warning("audit_key_not_shown", reason=error.strerror or str(error))


class Auditing:
    """One per control process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        redis: RedisConnection,
        key: AuditKey,
        now: Callable[[], float] = time.time,
        told: ToldOfEffects | None = None,
        cuts: CutMarks | None = None,
    ) -> None:
        """``told`` hears of effects as well, ``cuts`` says which change did them.

        Raises ``DomainError`` for a webhook that cannot be used.
        """
        self._redis = redis
        self._told = told
        self._cuts = cuts
        self._effects = Effects(store)
        self._evidence = EvidenceTold(store, now)
        audit = settings.audit
        push = WebhookPush(audit.webhook, audit.webhook_secret, audit.webhook_ca, now) if audit.webhook else None
        due = CheckpointSettings(audit.checkpoint_seconds, audit.checkpoint_entries)
        self._checkpoints = Checkpointing(store, key, push, due, now)
        self._retention = Retention(store, audit.retention_days * DAY_SECONDS, now)

    async def sign(self, held: Held) -> None:
        """Sign and send, while the lease is held."""
        await self._checkpoints.run(held)

    async def end(self) -> None:
        """Sign once more, when everything else has ended."""
        await self._checkpoints.end()

    async def take_effects(self, held: Held) -> None:
        """Write down what the workers did to people, while the lease is held."""
        receiver = EffectReceiver(self._redis)
        while held:
            try:
                rows = await receiver.next(EFFECTS_WAIT_SECONDS)
                if held and rows:
                    effects = self._effects.read(rows)
                    if self._told is not None:
                        await self._told(effects.subjects)
                    if self._cuts is not None:
                        effects = replace(effects, subjects=tuple(await self._cuts.marked(effects.subjects)))
                    await self._effects.take(effects)
                    await receiver.taken()
            except CacheUnavailable:
                # Told by the publication already.
                await asyncio.sleep(AGAIN_AFTER_SECONDS)
            except (StoreUnavailable, Conflict) as error:
                # They stay on the stream.
                log.warning("effects_not_stored", error=str(error))
                await asyncio.sleep(AGAIN_AFTER_SECONDS)

    async def tell_evidence(self, held: Held) -> None:
        """Write down which reports were stored, while the lease is held."""
        while held:
            await asyncio.sleep(EVIDENCE_EVERY_SECONDS)
            try:
                await self._evidence.tell()
            except (StoreUnavailable, Conflict) as error:
                # They are in the store, and are told of later.
                log.warning("evidence_not_told", error=str(error))

    async def tidy(self, held: Held) -> None:
        """Let go of what is too old, while the lease is held."""
        async for _ in held.hourly():
            try:
                await self._retention.tidy()
            except (StoreUnavailable, Conflict) as error:
                log.warning("audit_not_tidied", error=str(error))

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        return [self._checkpoints.trouble] if self._checkpoints.trouble else []

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures."""
        self._checkpoints.gauge(metrics)
