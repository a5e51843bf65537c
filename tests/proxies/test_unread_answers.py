"""A client that asks and asks without reading what it is answered: its answers do not pile up in memory."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from gateway.proxies.client_connection import ClientConnection
from tests.support.fronted import fronted, until, until_still
from tests.support.raw_http import eas, request
from tests.support.scripted_origin import Origin, OriginConnection
from tests.support.spine import FOLDER_SYNC

ASKED = 2_000
ANSWER = b"m" * 20_000
"""Small: the proxy never waits for the client in the middle of one."""


@asynccontextmanager
async def answering(origin: Origin) -> AsyncIterator[list[bytes]]:
    """The mail server answers every request; the list holds those it got."""
    served: list[bytes] = []
    tasks = []

    async def answer_all(connection: OriginConnection) -> None:
        with suppress(EOFError, ConnectionResetError, BrokenPipeError):
            while True:
                served.append((await connection.request()).head)
                await connection.answer(ANSWER)

    async def accept() -> None:
        while True:
            tasks.append(asyncio.create_task(answer_all(await origin.connection(patience_seconds=60))))

    tasks.append(asyncio.create_task(accept()))
    try:
        yield served
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_unread_answers_do_not_pile_up(origin: Origin) -> None:
    async with fronted(origin.url, send_buffer=4096) as gateway, answering(origin) as served:
        gateway.clean("anna", "phone1")
        await gateway.known("anna")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]), limit=4096)
        reading = cast("asyncio.Transport", writer.transport)
        reading.pause_reading()
        writer.write(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna") * ASKED)
        await until_still(lambda: len(served))
        (behind,) = gateway.front._connections
        assert behind.transport is not None
        assert behind.transport.get_write_buffer_size() < 10 * len(ANSWER)
        assert len(served) < ASKED / 2
        reading.resume_reading()
        for _ in range(ASKED):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(ANSWER)) == ANSWER
        assert len(served) == ASKED
        writer.close()


async def test_a_last_answer_that_nobody_takes_is_given_up(origin: Origin) -> None:
    """The connection was to close behind it: what is written waits for its client no longer than any other answer."""
    async with fronted(origin.url, send_buffer=4096) as gateway, answering(origin) as served:
        gateway.clean("anna", "phone1")
        await gateway.known("anna")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
            last = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna", Connection="close")
            await loop.sock_sendall(sock, last)
            await until(lambda: bool(served))
            (behind,) = gateway.front._connections
            transport = behind.transport
            assert transport is not None
            await until(transport.is_closing)
            assert transport.get_write_buffer_size() > 0
            gateway.clock.ahead += 119.0
            gateway.front.sweep()
            await asyncio.sleep(0)
            assert behind in gateway.front._connections
            gateway.clock.ahead += 2.0
            gateway.front.sweep()
            await until(lambda: behind not in gateway.front._connections)


async def test_what_is_left_of_a_body_is_no_request_when_the_answer_to_it_is_taken_late(origin: Origin) -> None:
    """Behind a front proxy the answer to such a request would be somebody else's."""
    async with fronted(origin.url, send_buffer=4096) as gateway:
        gateway.clean("anna", "phone1")
        gateway.proved("anna")
        await gateway.known("anna")
        inner = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna")
        begun = bytes.fromhex("03016a00455c4f4b03")
        asked = request(eas("Sync", "anna", "phone1"), begun, user="anna", Content_Length=str(len(begun) + len(inner)))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]), limit=4096)
        reading = cast("asyncio.Transport", writer.transport)
        reading.pause_reading()
        writer.write(asked)
        connection = await origin.connection()
        await connection.head()
        early = b"m" * 3_000_000
        sending = asyncio.create_task(connection.answer(early))
        (behind,) = gateway.front._connections
        await until(lambda: behind._choked)
        reading.resume_reading()
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(early)) == early
        await sending
        await until(lambda: behind.exchange is None and not behind._choked)
        writer.write(inner)
        await until(lambda: not behind.body_to_come)
        await asyncio.sleep(0)
        assert gateway.front.status()["responding"] == 0
        assert not origin.unaccepted
        assert not connection.has_heard
        writer.write(inner)
        second = await origin.connection()
        await second.request()
        await second.answer(b"once")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(4) == b"once"
        writer.close()


async def test_a_client_that_takes_an_early_answer_slowly_has_its_time(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its body is not through; that is not waited for before the answer is taken."""
    async with fronted(origin.url) as gateway:
        gateway.clean("anna", "phone1")
        gateway.proved("anna")
        await gateway.known("anna")
        client = await gateway.client()
        begun = bytes.fromhex("03016a00455c4f4b03")
        asked = request(eas("Sync", "anna", "phone1"), begun + b"x" * 100, user="anna")
        client.write(asked[:-100])
        connection = await origin.connection()
        await connection.head()
        write = ClientConnection.write

        def write_too_much(behind: ClientConnection, octets: bytes) -> None:
            write(behind, octets)
            behind.pause_writing()

        monkeypatch.setattr(ClientConnection, "write", write_too_much)
        await connection.answer(b"early")
        (behind,) = gateway.front._connections
        await until(lambda: behind.exchange is None)
        monkeypatch.undo()
        assert behind.body_to_come
        gateway.clock.ahead += 3
        gateway.front.sweep()
        assert (await client.answer()).body == b"early"
        behind.resume_writing()
        client.write(asked[-100:] + request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna"))
        second = await origin.connection()
        await second.request()
        await second.answer(b"again")
        assert (await client.answer()).body == b"again"
