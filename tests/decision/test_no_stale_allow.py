"""Never an ALLOW that is older than what a worker has heard of, in any order of what happens outside the process.

Each test runs a few actors in hundreds of orders chosen by seeds; every answer is compared with what was committed
(``racing_gateway.Worker.check``), and at rest everybody must know everything (``Gateway.check_at_rest``).
"""

import asyncio
from functools import partial

import pytest

from gateway.domain.bans import Flag
from gateway.domain.policy import Unavailable
from tests.decision.racing_gateway import ALIAS, ANN, BOB, EVE, ORDERS, Gateway, explore
from tests.decision.racing_store import TIKTOK

pytestmark = pytest.mark.timeout(900)
"""HYPOTHESIS_PROFILE=fuzz asks for thousands of orders per test."""


def test_a_report_committed_while_its_record_is_loaded() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.worker.cache.invalidate_all(0)
        await asyncio.gather(gateway.flips(ANN, 3), gateway.asks(ANN), gateway.asks(ANN))

    explore(scenario)


def test_a_report_committed_while_its_record_is_evicted() -> None:
    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(gateway.flips(ANN, 3), gateway.asks(ANN), gateway.asks(BOB, EVE), gateway.asks(EVE, ANN))

    explore(scenario, partial(Gateway, capacity=1))


def test_a_report_committed_while_a_session_registers_or_is_judged() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.worker.cache.invalidate_all(0)
        await asyncio.gather(gateway.flips(ANN, 3), gateway.connects(ANN, times=3), gateway.connects(ANN, BOB))

    explore(scenario)


def test_two_sessions_of_one_person_wait_for_one_load() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.worker.cache.invalidate_all(0)
        two = (gateway.connects(ANN), gateway.connects(ANN), gateway.connects(ALIAS), gateway.connects(ALIAS))
        await asyncio.gather(gateway.report(ANN, TIKTOK), *two)

    explore(scenario)


def test_a_policy_committed_while_a_record_is_loaded() -> None:
    async def edits(gateway: Gateway) -> None:
        for flag in (Flag.REPORT_ONLY, Flag.ENFORCE):
            await gateway.loop.point("edit")
            await gateway.edit_policy(flag)

    async def scenario(gateway: Gateway) -> None:
        gateway.worker.cache.invalidate_all(0)
        await asyncio.gather(edits(gateway), gateway.flips(ANN), gateway.connects(ANN), gateway.asks(ANN))

    explore(scenario)


def test_a_change_of_everybody_while_records_are_loaded() -> None:
    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            gateway.change_everybody(ANN),
            gateway.change_everybody(BOB),
            gateway.asks(ANN, BOB),
            gateway.connects(BOB, ANN),
            gateway.flips(ANN),
        )

    explore(scenario, partial(Gateway, capacity=2))


def test_the_shared_cache_is_flushed() -> None:
    async def flushes(gateway: Gateway) -> None:
        for _ in range(3):
            await gateway.loop.point("flush")
            gateway.server.flush()

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(gateway.flips(ANN, 3), flushes(gateway), gateway.asks(ANN, BOB), gateway.connects(ANN))

    explore(scenario, partial(Gateway, capacity=1))


def test_the_shared_cache_restarts_empty_or_with_old_memory_under_another_run_id() -> None:
    async def restarts(gateway: Gateway) -> None:
        old = gateway.server.dump()
        for dump in (old, None, old):
            await gateway.loop.point("restart")
            gateway.server.restart(dump)

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(gateway.flips(ANN, 3), restarts(gateway), gateway.asks(ANN, BOB), gateway.connects(ANN))

    explore(scenario, partial(Gateway, capacity=1))


def test_a_slow_worker_writes_back_what_was_evicted_meanwhile() -> None:
    async def evictions(gateway: Gateway) -> None:
        for _ in range(3):
            await gateway.loop.point("evict")
            gateway.server.evict()

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            gateway.flips(ANN, 3), evictions(gateway), gateway.asks(ANN, BOB), gateway.asks(ALIAS, EVE)
        )

    explore(scenario, partial(Gateway, workers=2, capacity=1))


def test_the_shared_cache_is_out_of_reach_and_comes_back_with_what_it_had() -> None:
    async def partitions(gateway: Gateway) -> None:
        for away in (True, False, True, False):
            await gateway.loop.point("partition" if away else "reunion")
            gateway.server.partition(away=away)

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(gateway.flips(ANN, 3), partitions(gateway), gateway.asks(ANN, BOB), gateway.connects(ANN))

    explore(scenario, partial(Gateway, capacity=1))


def test_messages_are_lost_doubled_delayed_and_out_of_order() -> None:
    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            gateway.flips(ANN, 3), gateway.flips(BOB, 3), gateway.change_everybody(), gateway.connects(ANN, BOB, EVE)
        )

    explore(scenario, partial(Gateway, faulty_feed=True))


def test_the_change_log_is_trimmed_beyond_what_was_heard() -> None:
    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            gateway.flips(ANN, 4), gateway.flips(BOB, 4), gateway.connects(ANN, BOB), gateway.asks(ANN, BOB)
        )

    explore(scenario, partial(Gateway, keep_changes=1, faulty_feed=True))


def test_the_control_process_dies_between_commit_and_publication() -> None:
    async def deaths(gateway: Gateway) -> None:
        for _ in range(2):
            await gateway.loop.point("death")
            await gateway.restart_control()

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(deaths(gateway), gateway.flips(ANN, 4), gateway.connects(ANN), gateway.asks(ANN, BOB))

    explore(scenario, partial(Gateway, capacity=1))


def test_a_worker_begins_while_changes_are_committed_and_not_published() -> None:
    async def restarts(gateway: Gateway) -> None:
        for _ in range(2):
            await gateway.loop.point("worker dies")
            await gateway.restart_worker()

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            restarts(gateway), gateway.flips(ANN, 2), gateway.change_everybody(ANN), gateway.asks(ANN, BOB)
        )

    explore(scenario)


def test_a_worker_begins_after_a_change_of_everybody_that_nobody_published() -> None:
    async def dies(gateway: Gateway) -> None:
        await gateway.loop.point("death")
        gateway.control.kill()
        await gateway.restart_worker()
        await gateway.asks(ANN, times=1)

    async def scenario(gateway: Gateway) -> None:
        await gateway.report(ANN)
        await asyncio.gather(dies(gateway), gateway.change_everybody(ANN))

    explore(scenario)


def test_the_store_is_restored_from_an_earlier_state() -> None:
    async def restores(gateway: Gateway) -> None:
        earlier = gateway.store.tables
        await gateway.report(ANN, TIKTOK)
        await gateway.edit_policy(Flag.REPORT_ONLY)
        await gateway.change_everybody(ANN, BOB)
        await gateway.loop.point("restore")
        gateway.control.kill()
        gateway.store.restore(earlier)
        await gateway.restart_control()
        await gateway.flips(BOB, 2)
        await gateway.edit_policy(Flag.ENFORCE)

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(restores(gateway), gateway.asks(ANN, BOB, times=4), gateway.connects(ANN, BOB))

    explore(scenario, partial(Gateway, capacity=2))


@pytest.mark.parametrize("setting", list(Unavailable))
def test_nothing_can_be_read_beyond_the_bound(setting: Unavailable) -> None:
    async def blackouts(gateway: Gateway) -> None:
        for _ in range(2):
            await gateway.loop.point("blackout")
            gateway.store.memory.unavailable = "away"
            gateway.server.partition(away=gateway.loop.random.random() < 0.7)
            await asyncio.sleep(gateway.loop.random.choice((1.0, 6.0, 12.0)))
            gateway.store.memory.unavailable = ""
            gateway.server.partition(away=False)

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            blackouts(gateway), gateway.flips(ANN, 4), gateway.asks(ANN, BOB, times=5), gateway.connects(ANN, BOB)
        )

    explore(scenario, partial(Gateway, state_bound_seconds=5.0, unavailable=setting), ORDERS // 3)


def test_everything_at_once() -> None:
    async def faults(gateway: Gateway) -> None:
        random, server, dump = gateway.loop.random, gateway.server, gateway.server.dump()
        earlier = gateway.store.tables
        for _ in range(6):
            await gateway.loop.point("fault")
            match random.randrange(9):
                case 0:
                    server.flush()
                case 1:
                    server.restart(random.choice((dump, None)))
                case 2:
                    server.evict()
                case 3:
                    server.partition(away=not server.away)
                case 4:
                    await gateway.restart_control()
                case 5:
                    dump = server.dump()
                case 6:
                    gateway.control.kill()
                    gateway.store.restore(earlier)
                    await gateway.restart_control()
                case 7:
                    await gateway.restart_worker()
                case _:
                    earlier = gateway.store.tables

    async def edits(gateway: Gateway) -> None:
        await gateway.loop.point("edit")
        await gateway.edit_policy(Flag.REPORT_ONLY)
        await gateway.change_everybody(ANN)
        await gateway.edit_policy(Flag.ENFORCE)

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(
            faults(gateway),
            edits(gateway),
            gateway.flips(ANN, 3),
            gateway.flips(BOB, 3),
            gateway.asks(ANN, BOB, EVE),
            gateway.connects(ANN, ALIAS, BOB),
        )

    explore(scenario, partial(Gateway, workers=2, capacity=2, keep_changes=4, faulty_feed=True))
