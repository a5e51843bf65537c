"""The control process's listeners: clients that never ask, ask slowly, or take nothing, and too many of them."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.app import bounded_http
from gateway.app.serving import Serving, ServingLimits
from gateway.network import accepting
from gateway.network.tls import ServerTls
from gateway.runtime.sockets import BoundSocket
from tests.limits.neighbour import ADDRESS
from tests.network.authority import Authority
from tests.support.fronted import until
from tests.support.raw_http import Client, request

ASK = request("/", method="GET", Content_Length="")
BODIES = {"/": b"hello", "/medium": b"x" * 50_000, "/large": b"x" * 8_000_000}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, whatever comes in the body."""
    await PlainTextResponse(BODIES[Request(scope).url.path])(scope, receive, send)


class Served:
    """An application on a free port, and the connections that a test has to it."""

    def __init__(self, url: str, over: list[str], room: bounded_http.Room) -> None:
        self.url = url
        self.room = room
        self.over = over
        self._clients: list[Client] = []

    async def client(self, source: str = "", tls: ssl.SSLContext | None = None) -> Client:
        client = await Client.connected(self.url, source, tls)
        self._clients.append(client)
        return client

    async def is_there_for(self, source: str, tls: ssl.SSLContext | None = None) -> None:
        """Somebody from there is answered."""
        assert (await (await self.client(source, tls)).ask(ASK, "GET")).body == b"hello"

    def close(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def served(
    connections: int = 500,
    head_seconds: float = 30.0,
    tls: ServerTls | None = None,
    handshake_seconds: float = 10.0,
    send_buffer: int = 0,
) -> AsyncIterator[Served]:
    sock = socket.socket()
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    sock.bind(("127.0.0.1", 0))
    url = f"{'https' if tls else 'http'}://127.0.0.1:{sock.getsockname()[1]}"
    over: list[str] = []
    limits = ServingLimits(
        connections=connections, head_seconds=head_seconds, handshake_seconds=handshake_seconds, count=over.append
    )
    serving = Serving(application, [BoundSocket("inventory", url, sock, 0)], tls, limits)
    running = asyncio.create_task(serving.run())
    await serving.started()
    there = Served(url, over, serving.room)
    try:
        yield there
    finally:
        there.close()
        serving.stop()
        await running


async def test_a_connection_that_never_asks_is_closed() -> None:
    async with served(head_seconds=0.2) as there:
        client = await there.client()
        answer = await client.answer("GET")
        assert (answer.status, answer.closed) == (0, True)


async def test_a_head_that_never_ends_is_told_so() -> None:
    """An octet now and then gains no time."""
    async with served(head_seconds=0.4) as there:
        client = await there.client()
        dripping = asyncio.create_task(drip(client))
        assert (await client.answer("GET")).status == 408
        dripping.cancel()
        await there.is_there_for("")


async def drip(client: Client) -> None:
    for octet in ASK[:-4]:
        client.write(bytes([octet]))
        await asyncio.sleep(0.02)


async def test_the_second_head_has_its_time_too() -> None:
    async with served(head_seconds=0.3) as there:
        client = await there.client()
        assert (await client.ask(ASK, "GET")).status == 200
        client.write(ASK[:-4])
        assert (await client.answer("GET")).status == 408


async def test_a_body_that_drips_after_its_answer() -> None:
    async with served(head_seconds=0.3) as there:
        client = await there.client()
        client.write(request("/", b"x" * 1000)[:-500])
        assert (await client.answer()).status == 200
        dripping = asyncio.create_task(drip(client))
        assert (await client.answer()).closed
        dripping.cancel()


async def test_a_client_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "WRITE_SECONDS", 0.2)
    async with served() as there:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", int(there.url.rsplit(":", 1)[1])))
        await loop.sock_sendall(sock, request("/large", method="GET", Content_Length=""))
        await until(lambda: there.room.total == 1)
        await until(lambda: there.room.total == 0)
        sock.close()
        await there.is_there_for("")


async def test_a_client_that_takes_no_small_answer_is_left_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fits into what waits for a client: the connection, closed behind it, would stay for ever."""
    monkeypatch.setattr(bounded_http, "WRITE_SECONDS", 0.2)
    async with served(send_buffer=4096) as there:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", int(there.url.rsplit(":", 1)[1])))
        await loop.sock_sendall(sock, request("/medium", method="GET", Content_Length="", Connection="close"))
        await until(lambda: there.room.total == 1)
        await until(lambda: there.room.total == 0)
        sock.close()


async def test_one_address_does_not_take_all_the_room() -> None:
    async with served(connections=20) as there:
        for _ in range(10):
            await there.is_there_for("")
        assert (await (await there.client()).answer("GET")).closed
        assert there.over == ["address"]
        await there.is_there_for(ADDRESS)


async def test_one_too_many_is_told_and_many_too_many_are_closed() -> None:
    async with served(connections=8) as there:
        for number in range(8):
            await there.client(f"127.0.0.{10 + number}")
        told = await (await there.client(ADDRESS)).ask(ASK, "GET")
        assert (told.status, told.header("Connection")) == (503, "close")
        for number in range(bounded_http.ROOM_BEYOND):
            await there.client(f"127.0.1.{number + 1}")
        assert (await (await there.client(ADDRESS)).answer("GET")).closed
        assert set(there.over) == {"all"}


async def test_handshakes_that_never_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue()
    tls = ServerTls(issued.files())
    async with served(connections=20, tls=tls, handshake_seconds=0.5) as there:
        port = int(there.url.rsplit(":", 1)[1])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        with suppress(ConnectionError, ssl.SSLError):
            await there.client("", authority.trust())
        assert there.over == ["address"]
        await there.is_there_for(ADDRESS, authority.trust())
        for reader, writer in opened:
            assert await reader.read() == b""
            writer.close()
        await there.is_there_for("", authority.trust())


async def test_a_handshake_for_which_there_is_no_memory_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*given: object) -> None:
        raise ssl.SSLError("malloc failure")

    tls = ServerTls(Authority(tmp_path).issue().files())
    async with served(tls=tls) as there:
        with monkeypatch.context() as patched:
            patched.setattr(accepting, "TlsConnection", without_memory)
            client = await Client.connected(there.url.replace("https", "http"))
            assert (await client.answer("GET")).closed
            client.close()
        assert there.room.total == 0
