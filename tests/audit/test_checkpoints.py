"""When the log is signed, and what becomes of a checkpoint that nobody takes."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from gateway.audit.checkpoints import ALARM_AFTER_SECONDS, Checkpointing, CheckpointSettings
from gateway.audit.keys import Seals, audit_key
from gateway.audit.pushing import NotPushed
from gateway.audit.verification import verified
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.checkpoint import read_note
from gateway.domain.audit.stored import StoredCheckpoint
from gateway.observability.metrics import Metrics
from gateway.ports.store import StoreUnavailable
from gateway.storage.memory import MemoryStore

KEY = audit_key(Ed25519PrivateKey.generate())


@dataclass(slots=True)
class Receiver:
    """Takes checkpoints, or not."""

    refuses: bool = False
    got: list[int] = field(default_factory=list)
    asked: int = 0
    asked_again: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, checkpoint: StoredCheckpoint) -> None:
        self.asked += 1
        self.asked_again.set()
        if self.refuses:
            raise NotPushed("the webhook answered 503")
        self.got.append(checkpoint.size)


class Site:
    """A store, a clock, and what signs."""

    def __init__(self, receiver: Receiver | None = None, *, every_entries: int = 100) -> None:
        self.now = 1_000_000.0
        self.store = MemoryStore(now=lambda: self.now, seal=KEY.seal)
        settings = CheckpointSettings(300.0, every_entries)
        self.signing = Checkpointing(self.store, KEY, receiver, settings, lambda: self.now, lambda: self.now)

    async def write(self, kind: AuditKind, times: int = 1) -> None:
        for _ in range(times):
            await self.store.write(lambda writing: writing.log_audit(AuditEntry(kind, "anna")))

    async def sizes(self) -> list[int]:
        async with self.store.read() as reading:
            return [each.size for each in await reading.audit_checkpoints()]


async def test_nothing_is_signed_before_there_is_a_log() -> None:
    site = Site()
    await site.signing.look()
    assert await site.sizes() == []


async def test_an_act_of_a_person_is_signed_at_the_next_look() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    assert await site.sizes() == [2]
    await site.signing.look()
    assert await site.sizes() == [2]
    await site.write(AuditKind.TOKEN_REVOKED)
    await site.signing.look()
    assert await site.sizes() == [2, 4]


async def test_what_happens_by_itself_waits_for_the_regular_time() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    await site.write(AuditKind.EFFECTS, 5)
    site.now += 299
    await site.signing.look()
    assert await site.sizes() == [2]
    site.now += 1
    await site.signing.look()
    assert await site.sizes() == [2, 8]


async def test_silence_is_signed_too() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    for _ in range(3):
        await site.signing.look()
        site.now += 300
    assert await site.sizes() == [2, 3, 4]


async def test_many_entries_are_signed_before_the_time() -> None:
    site = Site(every_entries=10)
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    await site.write(AuditKind.EFFECTS, 9)
    await site.signing.look()
    assert await site.sizes() == [2]
    await site.write(AuditKind.EFFECTS)
    await site.signing.look()
    assert await site.sizes() == [2, 13]


async def test_a_note_is_logged_and_verifies() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    with capture_logs() as logged:
        await site.signing.look()
    (line,) = [each for each in logged if each["event"] == "audit_checkpoint"]
    async with site.store.read() as reading:
        head = await reading.audit_head()
        found = await verified(reading, [KEY.verifier(head.origin)], Seals(KEY), [read_note(line["note"])])
    assert (found.damages, found.vouched, found.outside) == ((), 2, 2)


async def test_a_checkpoint_that_is_not_taken_is_sent_again_and_alarmed() -> None:
    receiver = Receiver(refuses=True)
    site = Site(receiver)
    await site.write(AuditKind.POLICY_EDITED)
    with capture_logs() as logged:
        await site.signing.look()
        assert site.signing.trouble == ""
        asked = receiver.asked
        await site.signing.look()
        assert receiver.asked == asked, "not at every look"
        while site.now < 1_000_000.0 + ALARM_AFTER_SECONDS + 300:
            site.now += 5
            await site.signing.look()
        assert "the webhook answered 503" in site.signing.trouble
        assert 4 < receiver.asked < 20
        metrics = Metrics()
        site.signing.gauge(metrics)
        assert metrics.families["gatepost_audit_unpushed_seconds"].get() >= ALARM_AFTER_SECONDS
        receiver.refuses = False
        site.now += 301
        await site.signing.look()
    assert site.signing.trouble == ""
    assert receiver.got == [max(await site.sizes())]
    events = [each["event"] for each in logged]
    assert events.count("audit_checkpoints_stay_here") == 1
    assert events.count("audit_checkpoint_pushed_again") == 1
    site.signing.gauge(metrics)
    assert metrics.families["gatepost_audit_unpushed_seconds"].get() == 0


async def test_each_checkpoint_is_sent_once() -> None:
    receiver = Receiver()
    site = Site(receiver)
    await site.write(AuditKind.POLICY_EDITED)
    for _ in range(4):
        await site.signing.look()
        site.now += 100
    assert receiver.got == await site.sizes()


async def test_an_orderly_stop_signs_what_was_written_since_and_sends_it() -> None:
    receiver = Receiver()
    site = Site(receiver)
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    await site.signing.end()
    assert await site.sizes() == [2]
    await site.write(AuditKind.EFFECTS, 3)
    await site.signing.end()
    assert await site.sizes() == [2, 6]
    assert receiver.got == [2, 6]


async def test_an_orderly_stop_waits_for_no_store_that_is_away() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    site.store.unavailable = "the disk is full"
    with capture_logs() as logged:
        await site.signing.end()
    assert [each["event"] for each in logged] == ["audit_checkpoint_not_made"]


async def test_a_store_that_takes_no_writes_is_told_of_once() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    site.store.unavailable = "the disk is full"
    with capture_logs() as logged:
        await site.signing.look()
        await site.signing.look()
    assert [each["event"] for each in logged] == ["audit_checkpoint_not_made"]
    site.store.unavailable = ""
    await site.signing.look()
    assert await site.sizes() == [2]


async def test_an_act_that_could_not_be_signed_is_signed_when_the_store_takes_writes_again() -> None:
    site = Site()
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    await site.write(AuditKind.EFFECTS, 2)
    await site.write(AuditKind.TOKEN_REVOKED)
    write = site.store.write

    async def full(work: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    site.store.write = full  # type: ignore[method-assign]
    await site.signing.look()
    site.store.write = write  # type: ignore[method-assign]
    assert await site.sizes() == [2]
    await site.signing.look()
    assert await site.sizes() == [2, 6]


async def test_who_lost_the_lease_warns_of_nothing_and_counts_nothing() -> None:
    """Another control process signs and sends now."""
    receiver = Receiver(refuses=True)
    site = Site(receiver)
    await site.write(AuditKind.POLICY_EDITED)
    await site.signing.look()
    site.now += ALARM_AFTER_SECONDS
    receiver.asked_again.clear()
    metrics = Metrics()
    running = asyncio.create_task(site.signing.run(held=True))
    await asyncio.wait_for(receiver.asked_again.wait(), 10)
    site.signing.gauge(metrics)
    assert site.signing.trouble
    assert metrics.families["gatepost_audit_size"].get() == 3
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    site.now += 1_000
    site.signing.gauge(metrics)
    assert site.signing.trouble == ""
    assert metrics.families["gatepost_audit_unpushed_seconds"].get() == 0
    assert set(metrics.families) == {"gatepost_audit_unpushed_seconds"}, "none is 0, which is a moment too"
    # It gets the lease again.
    await site.signing.look()
    assert site.signing.trouble == ""
