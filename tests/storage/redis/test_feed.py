"""The feed and the sightings through a real server: order, loss that shows, repetition that does no harm."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable, FeedMessage
from gateway.ports.store import Change, ChangeKind
from gateway.storage.redis import (
    EmbeddedValkey,
    RedisConnection,
    RedisPublisher,
    RedisRecords,
    RedisSubscription,
    SightingReceiver,
    SightingSender,
)
from gateway.storage.redis.connection import Compose, run_id_of
from gateway.storage.redis.feed import ENTRIES

CHANGES = [
    Change(1, ChangeKind.PERSON, ("ann", "bob"), at=5.5),
    Change(2, ChangeKind.POLICY, version=3, at=6.0),
    Change(3, ChangeKind.EVERYBODY, at=7.0),
]


@pytest.fixture
def publisher(connection: RedisConnection) -> RedisPublisher:
    return RedisPublisher(connection, "life1")


@pytest.fixture
async def subscription(connection: RedisConnection) -> RedisSubscription:
    begun = RedisSubscription(connection)
    assert await begun.next(0.01) == []
    return begun


async def ask(connection: RedisConnection, *words: str) -> object:
    return await connection.call(lambda run_id: words)


async def test_changes_and_heartbeats_arrive_in_order(
    publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    await publisher.publish(CHANGES[:2])
    await publisher.publish([])
    await publisher.publish(CHANGES[2:])
    await publisher.heartbeat(3)
    expected = [FeedMessage("life1", each.sequence, each) for each in CHANGES] + [FeedMessage("life1", 3)]
    assert await subscription.next(1.0) == expected
    assert await subscription.next(0.01) == []


async def test_a_waiting_reader_is_woken(publisher: RedisPublisher, subscription: RedisSubscription) -> None:
    waiting = asyncio.create_task(subscription.next(30.0))
    await asyncio.sleep(0)
    await publisher.heartbeat(8)
    async with asyncio.timeout(5):
        assert await waiting == [FeedMessage("life1", 8)]


async def test_whoever_comes_later_begins_with_what_comes_next(
    connection: RedisConnection, publisher: RedisPublisher
) -> None:
    await publisher.publish(CHANGES)
    late = RedisSubscription(connection)
    assert await late.next(0.01) == []
    await publisher.heartbeat(3)
    assert await late.next(1.0) == [FeedMessage("life1", 3)]


async def test_the_stream_is_capped_and_loss_shows_as_a_gap(
    connection: RedisConnection, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    for start in range(1, 3 * ENTRIES, 1000):
        await publisher.publish([Change(start + n, ChangeKind.PERSON, ("ann",)) for n in range(1000)])
    length = await ask(connection, "XLEN", "gp:feed")
    assert isinstance(length, int)
    assert ENTRIES <= length < 2 * ENTRIES
    first = (await subscription.next(1.0))[0]
    assert first.sequence > ENTRIES


async def test_after_flushall_the_next_message_arrives(
    connection: RedisConnection, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    await publisher.heartbeat(1)
    assert len(await subscription.next(1.0)) == 1
    await ask(connection, "FLUSHALL")
    # Ids count milliseconds: within the same one the new stream would begin at the position already read.
    await asyncio.sleep(0.005)
    await publisher.heartbeat(2)
    assert await subscription.next(1.0) == [FeedMessage("life1", 2)]


async def test_a_stream_that_begins_anew_below_the_position_is_noticed(
    connection: RedisConnection, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    await ask(connection, "XADD", "gp:feed", "99999999999999-0", "m", "")
    assert await subscription.next(1.0) == []
    await ask(connection, "FLUSHALL")
    await publisher.heartbeat(2)
    assert await subscription.next(0.01) == []
    assert await subscription.next(1.0) == [FeedMessage("life1", 2)]


async def test_what_cannot_be_read_is_left_out(
    connection: RedisConnection, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    for content in ("", "junk", "\x92\xa1x", "\x93\xa1x\x01\xa7strange"):
        await ask(connection, "XADD", "gp:feed", "*", "m", content)
    await publisher.heartbeat(2)
    assert await subscription.next(1.0) == [FeedMessage("life1", 2)]


async def test_a_number_that_is_none_is_a_cache_that_cannot_be_used(
    connection: RedisConnection, publisher: RedisPublisher
) -> None:
    """Whoever may write there could else keep the control process from starting."""
    run_id = await connection.call(lambda run_id: ("INFO", "server"))
    prefix = f"gp:life1:{run_id_of(run_id)[:12]}:"
    for content in ("x", "1e300", "9" * 5_000, "\xff"):
        await ask(connection, "SET", f"{prefix}seq", content)
        await ask(connection, "SET", f"{prefix}floor", content)
        with pytest.raises(CacheUnavailable, match="no number"):
            await publisher.published()
        with pytest.raises(CacheUnavailable, match="no number"):
            await RedisRecords(connection, "life1", 3600).get(["ann"])


async def test_a_killed_server_is_said_and_then_forgotten(
    server: EmbeddedValkey, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    await publisher.heartbeat(1)
    assert len(await subscription.next(1.0)) == 1
    waiting = asyncio.create_task(subscription.next(30.0))
    await asyncio.sleep(0.05)
    await server.stop()
    with pytest.raises(CacheUnavailable):
        async with asyncio.timeout(5):
            await waiting
    with pytest.raises(CacheUnavailable):
        await subscription.next(0.01)
    await server.start()
    assert await subscription.next(0.01) == []
    await publisher.heartbeat(2)
    assert await subscription.next(1.0) == [FeedMessage("life1", 2)]


async def test_a_server_restarted_between_two_calls_is_said(
    server: EmbeddedValkey, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    await publisher.heartbeat(1)
    assert len(await subscription.next(1.0)) == 1
    await server.stop()
    await server.start()
    with pytest.raises(CacheUnavailable, match="restarted"):
        await subscription.next(0.01)
    assert await subscription.next(0.01) == []
    await publisher.heartbeat(2)
    assert await subscription.next(1.0) == [FeedMessage("life1", 2)]


async def test_a_reader_given_up_leaves_no_answer_for_the_next(
    connection: RedisConnection, publisher: RedisPublisher, subscription: RedisSubscription
) -> None:
    waiting = asyncio.create_task(subscription.next(30.0))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await ask(connection, "ECHO", "mine") == b"mine"
    await publisher.heartbeat(4)
    assert await subscription.next(1.0) == [FeedMessage("life1", 4)]


async def test_sightings_wait_for_the_control_process(connection: RedisConnection) -> None:
    sender = SightingSender(connection)
    await sender.send([])
    await sender.send([b"one", b"\x00\xff"])
    receiver = SightingReceiver(connection)
    assert await receiver.next(1.0) == [b"one", b"\x00\xff"]
    await sender.send([b"three"])
    assert await receiver.next(1.0) == [b"three"]
    assert await receiver.next(0.01) == []
    assert await SightingReceiver(connection).next(1.0) == [b"one", b"\x00\xff", b"three"]


async def test_sightings_go_on_after_a_restart_of_the_server(
    server: EmbeddedValkey, connection: RedisConnection
) -> None:
    sender, receiver = SightingSender(connection), SightingReceiver(connection)
    await sender.send([b"one"])
    assert await receiver.next(1.0) == [b"one"]
    await server.stop()
    with pytest.raises(CacheUnavailable):
        await sender.send([b"two"])
    await server.start()
    await sender.send([b"two"])
    with pytest.raises(CacheUnavailable, match="restarted"):
        await receiver.next(0.01)
    assert await receiver.next(1.0) == [b"two"]


async def test_a_server_that_takes_its_place_back_is_not_believed(connection: RedisConnection, tmp_path: Path) -> None:
    """Its run id is the one from before, so its records stand under names that are read."""
    other = EmbeddedValkey(tmp_path / "other")
    await other.start()
    there = RedisConnection(other.url)
    try:
        moving = Moving(connection)
        publisher = RedisPublisher(cast(RedisConnection, moving), "life1")
        records = RedisRecords(connection, "life1", 60.0, publishing=True)
        await publisher.heartbeat(5)
        await records.put({"ann": PersonRecord("ann", known=True, sequence=5)})
        assert set(await records.get(["ann"])) == {"ann"}
        moving.to = there
        await publisher.heartbeat(9)
        moving.to = connection
        await publisher.heartbeat(9)
        assert await records.get(["ann"]) == {}
        await records.put({"ann": PersonRecord("ann", known=True, sequence=9)})
        await publisher.heartbeat(9)
        assert set(await records.get(["ann"])) == {"ann"}
    finally:
        await there.close()
        await other.stop()


class Moving:
    """A name that leads to one server and then to another."""

    def __init__(self, to: RedisConnection) -> None:
        self.to = to

    async def call(self, compose: Compose) -> object:
        """By the one of this moment."""
        return await self.to.call(compose)
