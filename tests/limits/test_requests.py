"""Heads and bodies too long or too slow, connections idle or choked: a clear answer, counted, nobody else is harmed."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.limits.neighbour import Neighbour, sync
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.upstream import MailboxServer

MAIL: Any = {"user": "anna", "MS_ASProtocolVersion": "12.1", "Content_Type": "message/rfc822"}
"""Up to 12.1 the body of SendMail is the mail itself."""
BODY = request(eas("SendMail", "anna", "phone1"), b"x" * 5000, **MAIL)
CHUNKED = request(eas("SendMail", "anna", "phone1"), Content_Length="", Transfer_Encoding="chunked", **MAIL)


async def late(gateway: Fronted, client: Client, octets: bytes, seconds: float) -> HttpAnswer:
    """Send a part of a request, and let so much time pass."""
    client.write(octets)
    await until(lambda: any(each.exchange or each._buffer for each in gateway.front._connections if _crowded(each)))
    return await after(gateway, client, seconds)


async def after(gateway: Fronted, client: Client, seconds: float) -> HttpAnswer:
    """Let so much time pass."""
    gateway.clock.ahead += seconds
    gateway.front.sweep()
    return await client.answer()


def _crowded(connection: Any) -> bool:
    return bool(connection.address == "127.0.0.1")


async def head_too_long(gateway: Fronted, client: Client) -> HttpAnswer:
    return await client.ask(sync("anna", X_Long="a" * 9000))


async def head_without_end(gateway: Fronted, client: Client) -> HttpAnswer:
    return await client.ask(b"POST / HTTP/1.1\r\nX: " + b"a" * 9000)


async def head_too_slow(gateway: Fronted, client: Client) -> HttpAnswer:
    return await late(gateway, client, sync("anna")[:60], 16.0)


async def body_too_large(gateway: Fronted, client: Client) -> HttpAnswer:
    return await client.ask(BODY)


async def body_too_large_in_chunks(gateway: Fronted, client: Client) -> HttpAnswer:
    return await client.ask(CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n2\r\nxx")


@pytest.mark.parametrize(
    ("happens", "status", "reason"),
    [
        (head_too_long, 431, "head_too_long"),
        (head_without_end, 431, "head_too_long"),
        (head_too_slow, 408, "head_too_slow"),
        (body_too_large, 413, "body_too_large"),
        (body_too_large_in_chunks, 413, "body_too_large"),
    ],
)
async def test_what_is_too_much_has_a_word(
    mailbox: MailboxServer,
    neighbour: Neighbour,
    happens: Callable[[Fronted, Client], Awaitable[HttpAnswer]],
    status: int,
    reason: str,
) -> None:
    async with fronted(mailbox.url, max_head_bytes=8192, max_body_bytes=4096) as gateway:
        await neighbour.waits(gateway)
        answer = await happens(gateway, await gateway.client())
        assert (answer.status, answer.header("Connection")) == (status, "close")
        assert gateway.counted("gatepost_bad_requests_total", reason) == 1
        assert mailbox.commands(accepted_only=False) == ["Ping"]
        await neighbour.is_unharmed(gateway)


async def test_at_the_limit_is_within_it(mailbox: MailboxServer) -> None:
    head = sync("anna", X_Long="")
    async with fronted(
        mailbox.url, max_head_bytes=len(head) + 200, max_body_bytes=5000, requests_per_connection=9
    ) as gateway:
        client = await gateway.client()
        assert (await client.ask(BODY)).status == 200
        end = head.index(b"\r\n\r\n") + 4
        fitting = len(head) + 200 - end - len("X-Long: \r\n")
        assert (await client.ask(sync("anna", X_Long="a" * fitting))).status == 200
        assert (await client.ask(sync("anna", X_Long="a" * (fitting + 1)))).status == 431


async def test_a_body_that_stops(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    async with fronted(mailbox.url) as gateway:
        await neighbour.waits(gateway)
        answer = await late(gateway, await gateway.client(), BODY[:-1], 61.0)
        assert answer.closed
        assert gateway.ended("SendMail", "out_of_time") == 1
        await neighbour.is_unharmed(gateway)


async def test_one_that_is_idle(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    async with fronted(mailbox.url) as gateway:
        await neighbour.waits(gateway)
        client = await gateway.client()
        await client.ask(sync("anna"))
        assert (await after(gateway, client, 121.0)).closed
        await neighbour.is_unharmed(gateway)


async def test_a_connection_has_so_many_requests(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    async with fronted(mailbox.url, requests_per_connection=3) as gateway:
        await neighbour.waits(gateway)
        client = await gateway.client()
        answers = [await client.ask(sync("anna")) for _ in range(3)]
        assert [answer.header("Connection") for answer in answers] == ["", "", "close"]
        assert (await client.answer()).closed
        await neighbour.is_unharmed(gateway)


async def test_one_that_asks_and_takes_nothing(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    """A chain of requests whose answers nobody reads: what waits for the client is bounded in size and time."""
    async with fronted(mailbox.url, send_buffer=4096) as gateway:
        await neighbour.waits(gateway)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
        asking = asyncio.create_task(ask_on_and_on(sock))
        await until(lambda: any(map(_crowded, gateway.front._connections)))
        (behind,) = [each for each in gateway.front._connections if _crowded(each)]
        await until(lambda: behind._choked and behind._paused)
        transport = behind.transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 200_000
        assert len(behind._buffer) < 600_000
        gateway.clock.ahead += 121.0
        gateway.front.sweep()
        await until(lambda: behind not in gateway.front._connections)
        asking.cancel()
        await asyncio.wait({asking})
        sock.close()
        await neighbour.is_unharmed(gateway)


async def ask_on_and_on(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while True:
            await loop.sock_sendall(sock, request("/nothing", method="GET", Content_Length="") * 100)
