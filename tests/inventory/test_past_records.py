"""As of a past moment: the record that was, and the verdict that was given, over random histories of everything."""

from collections import Counter
from pathlib import Path

import pytest

from gateway.domain.verdict import Effect
from gateway.ports.store import Store
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.inventory.past_histories import History, records_of, same_policy, verdicts, version_numbers

ACTS = 40


async def compared(history: History, store: Store, acts: int) -> None:
    """Let a history happen, then look back at each of its moments and just before the next one."""
    await history.begin(store)
    await history.go(acts)
    async with store.read() as reading:
        for place, seen in enumerate(history.seen):
            following = history.seen[place + 1].at if place + 1 < len(history.seen) else seen.at + 1.0
            assert following > seen.at
            then = await records_of(reading.as_of(seen.at))
            where = f"seed {history.seed}, moment {place} of {history.acts}"
            assert then == seen.records, where
            policy = same_policy(await reading.policy_at(seen.at))
            assert policy.version.number == seen.policy, where
            assert verdicts(then, policy, seen.at) == seen.verdicts, where
    await store.close()


@pytest.mark.parametrize("seed", range(6))
async def test_what_was_known_and_decided_comes_back(seed: int) -> None:
    history = History(seed)
    await compared(history, MemoryStore(now=history.now), ACTS)


@pytest.mark.parametrize("seed", [101])
async def test_the_same_from_a_database(seed: int, tmp_path: Path) -> None:
    history = History(seed)
    await compared(history, await open_store(f"sqlite:///{tmp_path}/s.db", writable=True, now=history.now), ACTS)


@pytest.mark.parametrize("seed", range(200, 260))
async def test_many_more(seed: int, tmp_path: Path) -> None:
    """By ``make test-long``."""
    history = History(seed)
    await compared(history, await open_store(f"sqlite:///{tmp_path}/s.db", writable=True, now=history.now), ACTS)


async def test_the_histories_hold_something_to_look_back_at() -> None:
    """Else the comparisons would compare nothing with nothing."""
    effects: Counter[Effect] = Counter()
    versions, stones, bound = 0, 0, 0
    for seed in range(3):
        history = History(seed)
        await history.begin(MemoryStore(now=history.now))
        await history.go(ACTS)
        effects.update(verdict.effect for seen in history.seen for verdict in seen.verdicts)
        versions += len(version_numbers(history.seen))
        records = [record for seen in history.seen for record in seen.records.values()]
        devices = [device for record in records for device in record.devices.values()]
        stones += sum(bool(device.tombstones) for device in devices)
        bound += sum(bool(device.sources) for device in devices)
    assert min(effects[Effect.ALLOW], effects[Effect.DENY], versions, stones, bound) > 5
