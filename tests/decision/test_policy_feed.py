"""The follower of changes by itself: silence, its marks and its bounds, on a clock that waits for nobody."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import pytest
from structlog.testing import capture_logs

from gateway.decision import policy_feed
from gateway.decision.policy_feed import PolicyFeed
from gateway.domain.bans import Flag
from gateway.domain.policy import Unavailable
from gateway.domain.verdict import Effect, Reason
from gateway.ports.state_cache import CacheUnavailable, FeedMessage
from gateway.ports.store import Change, ChangeKind, Person, Reading, Store, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from tests.decision.racing_gateway import ANN, BOB, Gateway, calmly
from tests.decision.racing_store import TIKTOK


def silence(gateway: Gateway) -> None:
    """The control process stops, and the store with it."""
    gateway.control.kill()
    gateway.store.memory.unavailable = "away"


def test_silence_is_called_stale_after_three_seconds() -> None:
    async def scenario(gateway: Gateway) -> None:
        feed = gateway.worker.feed
        for _ in range(20):
            await asyncio.sleep(0.5)
            assert not feed.stale
        silence(gateway)
        await asyncio.sleep(2.0)
        assert not feed.stale
        await asyncio.sleep(1.1)
        assert feed.stale
        assert not gateway.worker.decision.state_lost
        assert (await gateway.worker.ask(ANN)).effect is Effect.ALLOW
        await gateway.rest()
        assert not feed.stale

    calmly(scenario)


def test_a_control_process_that_stops_alone_is_missed_by_nobody() -> None:
    async def scenario(gateway: Gateway) -> None:
        gateway.control.kill()
        for _ in range(20):
            await asyncio.sleep(1.0)
            assert not gateway.worker.feed.stale
        assert not gateway.worker.feed.feed_up

    calmly(scenario)


@pytest.mark.parametrize(
    ("setting", "effect"),
    [(Unavailable.DEFER, Effect.DEFER), (Unavailable.ALLOW, Effect.ALLOW), (Unavailable.DENY, Effect.DENY)],
)
def test_beyond_the_bound_the_setting_answers_and_the_known_denial_stays(setting: Unavailable, effect: Effect) -> None:
    async def scenario(gateway: Gateway) -> None:
        worker = gateway.worker
        await gateway.report(BOB, TIKTOK)
        await asyncio.sleep(0.1)
        assert (await worker.ask(BOB)).effect is Effect.DENY
        phone = await worker.connect(ANN)
        silence(gateway)
        await asyncio.sleep(58.0)
        assert (await worker.ask(ANN)).reason is Reason.CLEAN
        assert phone.cut is None
        await asyncio.sleep(5.0)
        assert worker.decision.state_lost
        assert (await worker.ask(ANN)).effect is effect
        assert (phone.cut is not None) is (effect is not Effect.ALLOW)
        assert (await worker.ask(BOB)).effect is Effect.DENY
        await gateway.rest()
        assert not worker.decision.state_lost
        await gateway.check_at_rest()

    calmly(scenario, partial(Gateway, state_bound_seconds=60.0, unavailable=setting))


def test_a_person_never_loaded_is_not_let_in_when_the_state_is_lost() -> None:
    async def scenario(gateway: Gateway) -> None:
        await gateway.report(BOB, TIKTOK)
        silence(gateway)
        gateway.server.partition(away=True)
        await asyncio.sleep(5.0)
        assert (await gateway.worker.ask(BOB)).effect is Effect.DEFER
        await gateway.rest()
        assert (await gateway.worker.ask(BOB)).effect is Effect.DENY

    calmly(scenario)


@pytest.mark.parametrize("fault", ["flush", "restart", "old memory", "away"])
def test_without_the_shared_cache_a_session_is_cut_within_two_seconds(fault: str) -> None:
    async def scenario(gateway: Gateway) -> None:
        phone = await gateway.worker.connect(ANN)
        old = gateway.server.dump()
        await asyncio.sleep(0.7)
        match fault:
            case "flush":
                gateway.server.flush()
            case "restart":
                gateway.server.restart()
            case "old memory":
                gateway.server.restart(old)
            case _:
                gateway.server.partition(away=True)
        await gateway.report(ANN, TIKTOK)
        await asyncio.sleep(2.0)
        assert phone.cut is not None
        assert phone.cut.effect is Effect.DENY

    calmly(scenario)


def test_a_worker_that_begins_as_the_store_is_restored_follows_the_restored_one() -> None:
    async def scenario(gateway: Gateway) -> None:
        await gateway.report(ANN, TIKTOK)
        dirty = gateway.store.tables
        await gateway.report(ANN)
        newcomer = gateway.make_worker()
        gateway.control.kill()
        gateway.store.restore(dirty)
        await newcomer.start()
        assert (await newcomer.ask(ANN)).effect is Effect.DENY
        await newcomer.end()

    calmly(scenario)


class Scripted:
    """A subscription that delivers what a test says, whatever the store holds."""

    def __init__(self) -> None:
        self.heartbeat: FeedMessage | None = None
        self.messages: list[FeedMessage] = []

    async def next(self, timeout_seconds: float) -> Sequence[FeedMessage]:
        """A heartbeat each second, if there is one, and what was said."""
        await asyncio.sleep(1.0)
        messages, self.messages = self.messages, []
        return [*messages, self.heartbeat] if self.heartbeat else messages


def follower(gateway: Gateway, subscription: Scripted) -> PolicyFeed:
    """One that hears from the script alone."""
    decision = gateway.worker.decision
    return PolicyFeed(gateway.store, subscription, decision, monotonic=gateway.loop.time)


def test_messages_that_tell_nothing_new_do_not_keep_the_log_from_being_read() -> None:
    async def scenario(gateway: Gateway) -> None:
        script = Scripted()
        feed = follower(gateway, script)
        await feed.start()
        running = asyncio.create_task(feed.run())
        # An old heartbeat each second, as from a control process that hangs behind.
        script.heartbeat = FeedMessage("life1", feed.sequence - 1)
        await gateway.store.write(change)
        await asyncio.sleep(2.1)
        assert feed.sequence == gateway.store.tables.sequence
        running.cancel()

    calmly(scenario)


def test_a_store_that_lost_commits_under_its_name_is_followed_and_nothing_shared_believed() -> None:
    async def scenario(gateway: Gateway) -> None:
        script = Scripted()
        feed = follower(gateway, script)
        gateway.worker.decision.cache.invalidate_all(0)
        before = gateway.store.tables
        await gateway.report(ANN)
        await gateway.report(ANN, TIKTOK)
        await gateway.report(ANN)
        await gateway.report(ANN)
        await feed.start()
        running = asyncio.create_task(feed.run())
        gateway.store.restore(before)
        gateway.store.memory._tables = replace(gateway.store.tables, incarnation="life1")
        script.heartbeat = FeedMessage("life1", before.sequence)
        await asyncio.sleep(2.1)
        assert feed.sequence == before.sequence
        await gateway.store.write(change)
        script.heartbeat = FeedMessage("life1", before.sequence + 1)
        await asyncio.sleep(1.1)
        assert feed.sequence == before.sequence + 1
        found = await gateway.worker.cache.load(ANN)
        assert found is not None
        assert found.sequence == before.sequence + 1
        running.cancel()

    calmly(scenario)


async def change(writing: Writing) -> None:
    """Something about a person."""
    await writing.put_person(Person(ANN, groups=frozenset({"new"})))
    writing.log_people((ANN,))


def test_what_was_read_in_part_is_not_all_that_is_known() -> None:
    async def scenario(gateway: Gateway) -> None:
        store = MemoryStore()
        store._tables = gateway.store.tables.copy()
        feed = PolicyFeed(store, None, gateway.worker.decision, monotonic=gateway.loop.time)
        await feed.start()
        began = store._tables.sequence
        rows = {n: Change(n, ChangeKind.PERSON, (f"p{n}",)) for n in range(began + 1, began + 10_051)}
        store._tables = replace(store._tables, changes={**store._tables.changes, **rows}, sequence=began + 10_050)
        await asyncio.sleep(5.0)
        await feed.catch_up()
        assert feed.sequence == began + 10_050

    calmly(scenario)


def test_what_takes_long_to_apply_was_known_when_it_was_asked_for() -> None:
    async def scenario(gateway: Gateway) -> None:
        feed, decision = follower(gateway, Scripted()), gateway.worker.decision
        await feed.start()

        async def slowly(sequence: int) -> None:
            await asyncio.sleep(7.0)

        async def everybody(writing: Writing) -> None:
            writing.log_everybody()

        await gateway.store.write(everybody)
        decision.everybody_changed = slowly  # type: ignore[method-assign]
        await feed.catch_up()
        assert feed.age_seconds == 7.0

    calmly(scenario)


class Silent:
    """A server that takes every question and answers none: the connection gives up a second after it should have."""

    async def next(self, timeout_seconds: float) -> Sequence[FeedMessage]:
        """Nothing, late."""
        await asyncio.sleep(timeout_seconds + 1.0)
        raise CacheUnavailable("no answer in time")


def test_a_feed_that_never_answers_does_not_keep_the_log_from_being_read() -> None:
    async def scenario(gateway: Gateway) -> None:
        decision = gateway.worker.decision
        feed = PolicyFeed(gateway.store, Silent(), decision, monotonic=gateway.loop.time)
        await feed.start()
        running = asyncio.create_task(feed.run())
        for _ in range(5):
            await gateway.store.write(change)
            await asyncio.sleep(1.9)
            assert feed.sequence == gateway.store.tables.sequence
        running.cancel()

    calmly(scenario)


class HangingReads:
    """The store as a worker sees it while the disk under it takes its time: readings come when they are let go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open = asyncio.Event()
        self.away = False

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reading]:
        await self.open.wait()
        if self.away:
            raise StoreUnavailable("away")
        async with self._store.read() as reading:
            yield reading


async def hung(gateway: Gateway) -> HangingReads:
    """From now on the follower's readings hang."""
    reads = HangingReads(gateway.store)
    gateway.worker.feed._store = cast("Store", reads)
    return reads


def test_a_report_is_heard_of_while_a_reading_of_the_policy_hangs() -> None:
    async def scenario(gateway: Gateway) -> None:
        phone = await gateway.worker.connect(ANN)
        reads = await hung(gateway)
        await gateway.edit_policy(Flag.ENFORCE)
        await asyncio.sleep(0.3)
        await gateway.report(ANN, TIKTOK)
        await asyncio.sleep(1.9)
        assert phone.cut is not None
        assert (await gateway.worker.ask(ANN)).effect is Effect.DENY
        reads.open.set()
        await gateway.rest()
        await gateway.check_at_rest()

    calmly(scenario)


def test_an_edit_that_follows_one_that_took_long_waits_for_no_heartbeat() -> None:
    async def scenario(gateway: Gateway) -> None:
        feed = gateway.worker.feed
        for flag in (Flag.REPORT_ONLY, Flag.ENFORCE) * 3:
            reads = await hung(gateway)
            await gateway.edit_policy(Flag.OFF)
            await asyncio.sleep(0.2)
            reads.open.set()
            await asyncio.sleep(0.01)
            await gateway.edit_policy(flag)
            await asyncio.sleep(0.1)
            assert feed.sequence == gateway.store.tables.sequence
        await gateway.check_at_rest()

    calmly(scenario)


def test_a_report_is_heard_of_while_the_policy_cannot_be_read() -> None:
    """The store refuses at once, so that the report's own turn never comes."""

    async def scenario(gateway: Gateway) -> None:
        phone = await gateway.worker.connect(ANN)
        reads = await hung(gateway)
        reads.open.set()
        reads.away = True
        await gateway.edit_policy(Flag.ENFORCE)
        await asyncio.sleep(0.3)
        # Just as the store may be asked again.
        gateway.worker.feed._again_at = 0.0
        await gateway.report(ANN, TIKTOK)
        await asyncio.sleep(1.9)
        assert phone.cut is not None
        assert (await gateway.worker.ask(ANN)).effect is Effect.DENY
        reads.away = False
        await gateway.rest()
        await gateway.check_at_rest()

    calmly(scenario)


def test_a_report_is_heard_of_while_the_change_log_hangs() -> None:
    """Something was lost on the feed, so the log is asked, and does not answer."""

    async def scenario(gateway: Gateway) -> None:
        phone = await gateway.worker.connect(ANN)
        reads = await hung(gateway)
        gateway.worker.feed.sequence -= 1
        await asyncio.sleep(2.5)
        for _ in range(3):
            await gateway.report(ANN, TIKTOK)
            await asyncio.sleep(1.9)
            assert phone.cut is not None
            assert (await gateway.worker.ask(ANN)).effect is Effect.DENY
            await gateway.report(ANN)
            await asyncio.sleep(1.9)
            phone = await gateway.worker.connect(ANN)
            assert phone.cut is None
        # It says that it does not know everything.
        assert gateway.worker.feed.stale
        reads.open.set()
        await gateway.rest()
        await gateway.check_at_rest()

    calmly(scenario)


def test_a_store_that_hangs_for_ever_is_asked_again_and_told_of() -> None:
    async def scenario(gateway: Gateway) -> None:
        await hung(gateway)
        gateway.worker.feed.sequence -= 1
        with capture_logs() as lines:
            await asyncio.sleep(30.0)
        told = [line for line in lines if line["event"] == "change_log_unreadable"]
        assert 3 <= len(told) <= 6
        assert "no answer within 5 s" in told[0]["error"]

    calmly(scenario)


def test_more_than_is_remembered_of_a_busy_time_is_read_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_feed, "BACKLOG_MOST", 4)

    async def scenario(gateway: Gateway) -> None:
        reads = await hung(gateway)
        await gateway.edit_policy(Flag.REPORT_ONLY)
        for _ in range(5):
            await gateway.report(BOB, TIKTOK)
            await gateway.report(ANN, TIKTOK)
            await gateway.report(ANN)
        await asyncio.sleep(1.0)
        assert len(gateway.worker.feed._backlog) <= 4
        await gateway.edit_policy(Flag.ENFORCE)
        reads.open.set()
        await gateway.rest()
        await gateway.check_at_rest()

    calmly(scenario)
