"""A report on its way through a real store and a real cache server, to whoever listens there."""

from pathlib import Path

from gateway.domain.posture import open_hits
from gateway.inventory.publication import Publication
from gateway.storage.redis import EmbeddedValkey, RedisConnection, RedisPublisher, RedisRecords, RedisSubscription
from gateway.storage.sql import open_store
from tests.inventory.chain import Chain, loaded
from tests.inventory.events import GMAIL, TIKTOK, USER, full
from tests.inventory.receiving import source


async def test_from_the_socket_to_the_feed(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    server = EmbeddedValkey(tmp_path / "cache", maxmemory="16mb")
    await server.start()
    connection = RedisConnection(server.url, timeout_seconds=5.0)
    store = await open_store(f"sqlite:///{tmp_path}/gatepost.db", writable=True)
    try:
        async with store.read() as reading:
            life = await reading.incarnation()
        records = RedisRecords(connection, life, 600.0, publishing=True)
        publication = Publication(store, records, RedisPublisher(connection, life), loaded)
        subscription = RedisSubscription(connection)
        assert await subscription.next(0.01) == []
        receiver = Chain(store)
        receiver.publication = publication
        await receiver.write(source())
        for sequence, apps in enumerate(((GMAIL,), (GMAIL, TIKTOK), (GMAIL,)), 1):
            await receiver.post(full(sequence, apps))
            (message,) = await subscription.next(5.0)
            assert (message.incarnation, message.sequence) == (life, sequence)
            assert message.change is not None
            assert message.change.names == (USER,)
            record = (await records.get([USER]))[USER]
            assert record == await receiver.record(USER)
            (device,) = record.devices.values()
            assert bool(open_hits(device, receiver.policy.index)) is (TIKTOK in apps)
    finally:
        await store.close()
        await connection.close()
        await server.stop()
