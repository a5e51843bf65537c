"""What is too old is dropped behind a checkpoint, told of, and the rest verifies."""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoints import Checkpointing, CheckpointSettings
from gateway.audit.keys import Seals, audit_key
from gateway.audit.segments import ALL_KEPT_SECONDS, DAY_SECONDS, Retention
from gateway.audit.verification import verified
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.checkpoint import read_note
from gateway.domain.audit.comparing import Verification
from gateway.storage.memory import MemoryStore

KEY = audit_key(Ed25519PrivateKey.generate())


class Site:
    """A log that grows by three entries and a checkpoint each day."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.store = MemoryStore(now=lambda: self.now, seal=KEY.seal)
        self.signing = Checkpointing(self.store, KEY, None, CheckpointSettings(), lambda: self.now)
        self.notes: list[str] = []

    async def days(self, number: int, times_a_day: int = 1) -> None:
        for _ in range(number * times_a_day):
            for _ in range(3):
                await self.store.write(lambda writing: writing.log_audit(AuditEntry(AuditKind.NOTICE, "anna")))
            self.notes.append((await self.signing.make()).note)
            self.now += DAY_SECONDS / times_a_day

    async def tidy(self, keep_days: float) -> int:
        return await Retention(self.store, keep_days * DAY_SECONDS, lambda: self.now).tidy()

    async def verify(self) -> Verification:
        async with self.store.read() as reading:
            keys = [KEY.verifier((await reading.audit_head()).origin)]
            return await verified(reading, keys, Seals(KEY), [read_note(note) for note in self.notes])


async def test_what_is_older_than_the_retention_goes() -> None:
    site = Site()
    await site.days(10)
    assert await site.tidy(5.5) == 20
    found = await site.verify()
    assert (found.damages, found.first, found.size, found.outside) == ((), 21, 41, 40)
    async with site.store.read() as reading:
        last = json.loads((await reading.audit_entries(40))[0].entry)
        assert (last["kind"], last["details"]["upto"]) == ("segment_dropped", 20)
    assert await site.tidy(5.5) == 0
    await site.days(2)
    assert await site.tidy(5.5) == 8
    assert (await site.verify()).damages == ()


async def test_nothing_goes_where_everything_is_kept() -> None:
    site = Site()
    await site.days(3)
    site.now += 10_000 * DAY_SECONDS
    assert await site.tidy(0) == 0
    assert (await site.verify()).first == 1


async def test_the_newest_checkpoint_and_what_is_behind_it_stay() -> None:
    site = Site()
    await site.days(2)
    assert await site.tidy(0.5) == 4
    found = await site.verify()
    assert (found.damages, found.first) == ((), 5)


async def test_a_clock_that_is_years_ahead_drops_nothing_for_a_day() -> None:
    """Somebody has a day to see the alarm, and to set it right."""
    site = Site()
    await site.days(3)
    site.now += 10_000 * DAY_SECONDS
    assert await site.tidy(5) == 0
    await site.days(1, times_a_day=24)
    assert await site.tidy(5) == 12
    assert (await site.verify()).damages == ()


async def test_old_checkpoints_are_thinned_and_the_log_stays_vouched_for() -> None:
    site = Site()
    await site.days(2, times_a_day=10)
    site.now += ALL_KEPT_SECONDS
    await site.days(1, times_a_day=10)
    await site.tidy(0)
    async with site.store.read() as reading:
        kept = await reading.audit_checkpoints()
    assert len(kept) == 2 + 10
    found = await site.verify()
    assert (found.damages, found.vouched) == ((), found.size)
