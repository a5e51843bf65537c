"""Connections: in all, from one address, and TLS handshakes that never end. One too many is told or closed, cheaply."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.network.addresses import counted_as
from gateway.network.tls import ServerTls
from gateway.proxies.turned_away import DISCARDED_MOST, TOLD_MOST
from tests.limits.neighbour import Neighbour, sync
from tests.network.authority import Authority
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client
from tests.support.upstream import MailboxServer


async def full(gateway: Fronted, count: int) -> list[Client]:
    """So many connections from the crowded address, all admitted."""
    before = len(gateway.front.admission.connections)
    clients = [await gateway.client() for _ in range(count)]
    await until(lambda: len(gateway.front.admission.connections) == before + count)
    return clients


@pytest.mark.parametrize("limit", ["all", "address"])
async def test_one_too_many_is_told_to_come_back(mailbox: MailboxServer, neighbour: Neighbour, limit: str) -> None:
    settings: dict[str, Any] = {"max_connections": 5} if limit == "all" else {"max_connections_per_address": 3}
    async with fronted(mailbox.url, retry_after_seconds=7, **settings) as gateway:
        await neighbour.waits(gateway)
        clients = await full(gateway, 4 if limit == "all" else 3)
        # Before anything is read: also for a client that has sent nothing yet.
        told = await (await gateway.client()).answer()
        assert (told.status, told.header("Retry-After"), told.header("Connection")) == (503, "7", "close")
        assert b"Mail will come back by itself" in told.body
        assert gateway.counted("gatepost_connections_refused_total", limit) == 1
        if limit == "all":
            clients.pop().close()
            await until(lambda: len(gateway.front.admission.connections) == 4)
        await neighbour.is_unharmed(gateway)
        # Those that are there go on, and a place that is free is taken.
        assert (await clients[0].ask(sync())).status == 200
        clients[0].close()
        await until(lambda: len(gateway.front.admission.connections) < (4 if limit == "all" else 3))
        assert (await (await gateway.client()).ask(sync())).status == 200


async def test_its_whole_request_is_discarded_and_the_word_arrives(mailbox: MailboxServer) -> None:
    async with fronted(mailbox.url, max_connections_per_address=1) as gateway:
        await full(gateway, 1)
        client = await gateway.client()
        answer = await client.ask(sync(X_Long="a" * 30_000))
        assert (answer.status, answer.closed) == (503, False)
        assert mailbox.received == []


async def test_the_last_words_are_bounded(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    """In number, in time and in octets: a client that stays for them is reset."""
    async with fronted(mailbox.url, max_connections_per_address=2) as gateway:
        await neighbour.waits(gateway)
        admission = gateway.front.admission
        kept, _ = await full(gateway, 2)
        clients = [await gateway.client() for _ in range(TOLD_MOST + 40)]
        await until(lambda: gateway.counted("gatepost_connections_refused_total", "address") == TOLD_MOST + 40)
        assert len(admission._told) == TOLD_MOST
        assert dict(admission.by_address) == {"127.0.0.1": 2, "127.0.0.2": 1}
        answers = [await client.answer() for client in clients]
        assert [answer.status for answer in answers].count(503) == TOLD_MOST
        assert [answer.status for answer in answers].count(0) == 40
        clients[0].write(bytes(DISCARDED_MOST + 300_000))
        await until(lambda: len(admission._told) < TOLD_MOST)
        gateway.clock.ahead += 3.0
        gateway.front.sweep()
        await until(lambda: not admission._told)
        assert (await kept.ask(sync())).status == 200
        await neighbour.is_unharmed(gateway)


def test_a_network_of_ipv6_is_one_address() -> None:
    """Whoever has one address there has 2^64."""
    assert counted_as("2001:db8:1:2:3:4:5:6") == counted_as("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::1") != counted_as("2001:db8:1:2::1")
    assert counted_as("fe80::1%eth0") == "fe80::/64"
    # IPv4 on a listener for both families: each stands for itself.
    assert counted_as("::ffff:203.0.113.9") == counted_as("203.0.113.9") == "203.0.113.9"
    assert counted_as("") == ""


# --- TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def secure(mailbox: MailboxServer, authority: Authority, **settings: Any) -> AsyncIterator[Fronted]:
    """A front that serves by TLS."""
    issued = authority.issue()
    async with fronted(mailbox.url, **settings) as gateway:
        gateway.url = await gateway.listen(ServerTls(issued.files()))
        yield gateway


@asynccontextmanager
async def silent(gateway: Fronted, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections that never begin their handshake."""
    address = urlsplit(gateway.url)
    before = gateway.front.admission.handshakes
    opened = [await asyncio.open_connection(address.hostname, address.port) for _ in range(count)]
    try:
        await until(lambda: gateway.front.admission.handshakes == before + count)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


async def tls_client(gateway: Fronted, authority: Authority, source: str = "") -> Client:
    return await Client.connected(gateway.url, source, authority.trust())


@pytest.mark.parametrize("limit", ["all", "address"])
async def test_a_handshake_counts_from_its_arrival(
    mailbox: MailboxServer, neighbour: Neighbour, authority: Authority, limit: str
) -> None:
    settings: dict[str, Any] = {"max_connections": 5} if limit == "all" else {"max_connections_per_address": 3}
    async with secure(mailbox, authority, **settings) as gateway:
        await neighbour.waits(gateway, authority.trust())
        async with silent(gateway, 4 if limit == "all" else 3) as readers:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await tls_client(gateway, authority)
            assert gateway.counted("gatepost_connections_refused_total", limit) == 1
            assert gateway.front.admission.handshakes == len(readers)
            if limit == "address":
                await neighbour.is_unharmed(gateway, authority.trust())


async def test_a_handshake_has_its_time(mailbox: MailboxServer, neighbour: Neighbour, authority: Authority) -> None:
    async with secure(mailbox, authority, max_connections_per_address=20, tls_handshake_seconds=2.0) as gateway:
        await neighbour.waits(gateway, authority.trust())
        async with silent(gateway, 20) as readers:
            await neighbour.is_unharmed(gateway, authority.trust())
            for reader in readers:
                assert await reader.read() == b""
        assert gateway.counted("gatepost_tls_failed_total", "timeout") == 20
        await until(lambda: (gateway.front.admission.handshakes, gateway.front.status()["connections"]) == (0, 0))
        assert gateway.front.admission.by_address == {}
        client = await tls_client(gateway, authority)
        assert (await client.ask(sync())).status == 200
        client.close()


def not_believing(port: int | None) -> None:
    """A client that says so; asyncio's own hangs up without a word."""
    with socket.create_connection(("127.0.0.1", port or 0)) as sock:
        ssl.create_default_context().wrap_socket(sock, server_hostname="localhost").close()


async def test_what_is_no_handshake(mailbox: MailboxServer, authority: Authority) -> None:
    """Plain HTTP, noise, a client that does not believe our certificate, one that hangs up: each has its word."""
    async with secure(mailbox, authority) as gateway:

        def failed(*reasons: str) -> float:
            return sum(gateway.counted("gatepost_tls_failed_total", reason) for reason in reasons)

        address = urlsplit(gateway.url)
        for number, octets in enumerate((sync(), b"\x80\x2e\x01\x00\x02" + bytes(60), bytes(300)), 1):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(octets)
            await reader.read()
            writer.close()
            await until(lambda count=number: failed("not_tls", "version", "other") == count)  # type: ignore[misc]
        assert failed("not_tls") == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(not_believing, address.port)
        await until(lambda: failed("told_by_client") == 1)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        await until(lambda: gateway.front.admission.handshakes == 1)
        writer.close()
        await until(lambda: failed("gone") == 1)
        assert gateway.front.admission.by_address == {}


async def test_a_handshake_under_way_does_not_hold_up_the_end(mailbox: MailboxServer, authority: Authority) -> None:
    async with secure(mailbox, authority) as gateway, silent(gateway, 1) as readers:
        await gateway.front.drain(5.0)
        assert await readers[0].read() == b""
        await until(lambda: gateway.front.admission.handshakes == 0)
