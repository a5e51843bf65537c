"""What was committed and never published leaves nothing in the shared cache that a worker could believe.

A cache out of reach keeps its memory. When it is back, the control process may be another one, or the change log may
be trimmed: then nobody can say which of the shared records are outdated, and a worker that begins knows the last rows
only.
"""

import asyncio
from dataclasses import replace

import pytest

from gateway.decision.policy_feed import PAST_ROWS
from gateway.domain.verdict import Effect
from gateway.ports.store import Change, ChangeKind
from gateway.storage.redis import RedisRecords
from tests.decision.racing_gateway import ANN, DAYS, Gateway, calmly
from tests.decision.racing_store import TIKTOK
from tests.storage.redis.server_double import DoubleConnection


def many_commits(gateway: Gateway, keep: int) -> None:
    """More than a worker learns when it begins; of all rows the log keeps so many."""
    tables = gateway.store.tables
    newest = tables.sequence + PAST_ROWS + 1_000
    rows = {n: Change(n, ChangeKind.PERSON, (f"p{n % 50}",)) for n in range(tables.sequence + 1, newest + 1)}
    kept = list(({**tables.changes, **rows}).items())[-keep:]
    gateway.store.memory._tables = replace(tables, changes=dict(kept), sequence=newest)
    gateway.store.committed.note(gateway.store.tables)


@pytest.mark.parametrize(("restarted", "keep"), [(True, 100_000), (False, PAST_ROWS + 500)])
def test_a_worker_that_begins_believes_no_record_whose_change_was_skipped(restarted: bool, keep: int) -> None:
    async def scenario(gateway: Gateway) -> None:
        await gateway.report(ANN, TIKTOK)
        await gateway.report(ANN)
        await asyncio.sleep(1.0)
        await gateway.worker.end()
        gateway.server.partition(away=True)
        await gateway.report(ANN, TIKTOK)
        many_commits(gateway, keep)
        if restarted:
            await gateway.restart_control()
        await asyncio.sleep(1.0)
        gateway.server.partition(away=False)
        await asyncio.sleep(30.0)
        await gateway.restart_worker()
        assert (await gateway.worker.ask(ANN)).effect is Effect.DENY

    calmly(scenario)


@pytest.mark.parametrize("fault", ["old memory", "slow worker", "eviction"])
def test_a_worker_that_begins_long_after_a_change_finds_nothing_from_before_it(fault: str) -> None:
    async def scenario(gateway: Gateway) -> None:
        await gateway.report(ANN, TIKTOK)
        await gateway.report(ANN)
        shared = RedisRecords(DoubleConnection(gateway.server, gateway.loop.point), "life1", DAYS)
        clean, dump = await shared.get([ANN]), gateway.server.dump()
        await gateway.report(ANN, TIKTOK)
        await gateway.worker.end()
        many_commits(gateway, 100_000)
        await asyncio.sleep(30.0)
        match fault:
            case "old memory":
                gateway.server.restart(dump)
            case "slow worker":
                # It read the record before the change, and its record arrives when the newer one has been evicted.
                gateway.server.evict()
                await shared.put(clean)
            case _:
                gateway.server.evict()
        await gateway.restart_worker()
        assert (await gateway.worker.ask(ANN)).effect is Effect.DENY

    calmly(scenario)
