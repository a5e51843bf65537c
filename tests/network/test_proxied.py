"""Connections from balancers: whose they are, on both loops, with TLS and without; and what is no header."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import uvloop

from gateway.network import proxied
from gateway.network.proxied import Balancers, ProxiedAcceptor
from gateway.network.tls import ServerTls
from gateway.protocols.proxy_protocol import Header, version_1, version_2
from tests.network.authority import Authority

CLIENT, OURS = ("192.0.2.7", 4711), ("198.51.100.1", 993)
HEADERS = {"version 1": version_1(CLIENT, OURS), "version 2": version_2(CLIENT, OURS)}
LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
Loop = Callable[[], asyncio.AbstractEventLoop]


class Echo(asyncio.Protocol):
    """Says for whom a connection speaks, then what it is sent."""

    def __init__(self, header: Header | None) -> None:
        self._header = header

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        source = self._header.source if self._header else None
        self._transport.write(f"{self._header is not None} {source}\n".encode())

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@dataclass(slots=True)
class Bench:
    """An acceptor, and what it told."""

    port: int = 0
    room: bool = True
    counted: list[str] = field(default_factory=list)
    handshakes: int = 0
    failed: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def arrived(self, address: str) -> bool:
        if self.room:
            self.counted.append(address)
            self.handshakes += 1
        return self.room

    def shaken(self, address: str) -> None:
        self.handshakes -= 1

    def tls_failed(self, reason: str) -> None:
        self.failed.append(reason)

    async def client(
        self, first: bytes, trusted: ssl.SSLContext | None = None, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that begins with these octets, then goes on within TLS if that is trusted."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        writer.write(first)
        if trusted is not None:
            await writer.start_tls(trusted, server_hostname="127.0.0.1")
        return reader, writer


@asynccontextmanager
async def accepting(tls: ServerTls | None, balancers: str = "127.0.0.1/32") -> AsyncIterator[Bench]:
    bench = Bench()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    bench.port = sock.getsockname()[1]
    acceptor = ProxiedAcceptor(
        sock, tls, Echo, bench, 10.0, Balancers([balancers]), lambda *told: bench.refused.append(told)
    )
    acceptor.start()
    try:
        yield bench
    finally:
        acceptor.close()
        await asyncio.sleep(0)


def run(loop: Loop, test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await test()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(within())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("form", HEADERS)
def test_who_it_is_and_nothing_of_what_follows_is_lost(loop: Loop, form: str) -> None:
    async def test() -> None:
        async with accepting(None) as bench:
            reader, writer = await bench.client(HEADERS[form] + b"hello\n")
            assert await reader.readline() == b"True ('192.0.2.7', 4711)\n"
            assert await reader.readline() == b"hello\n"
            writer.close()
            assert bench.handshakes == 0

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("form", HEADERS)
def test_octet_by_octet(loop: Loop, form: str) -> None:
    async def test() -> None:
        async with accepting(None) as bench:
            reader, writer = await bench.client(b"")
            for octet in HEADERS[form] + b"hello\n":
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readline() == b"True ('192.0.2.7', 4711)\n"
            assert await reader.readline() == b"hello\n"
            writer.close()

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("form", HEADERS)
def test_before_tls(loop: Loop, form: str, authority: Authority) -> None:
    """The ClientHello right behind it, in one packet, is for OpenSSL; the client is counted and not the balancer."""

    async def test() -> None:
        async with accepting(ServerTls(authority.issue().files())) as bench:
            reader, writer = await bench.client(HEADERS[form], authority.trust())
            assert await reader.readline() == b"True ('192.0.2.7', 4711)\n"
            assert bench.counted == ["127.0.0.1", "192.0.2.7"]
            assert bench.handshakes == 0
            writer.close()

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_from_others_no_header_is_looked_for(loop: Loop, authority: Authority) -> None:
    async def test() -> None:
        async with accepting(None) as bench:
            reader, writer = await bench.client(HEADERS["version 1"], source="127.0.0.2")
            assert await reader.readline() == b"False None\n"
            assert await reader.readline() == HEADERS["version 1"]
            writer.close()
        async with accepting(ServerTls(authority.issue().files())) as bench:
            reader, writer = await bench.client(b"", authority.trust(), source="127.0.0.2")
            assert await reader.readline() == b"False None\n"
            writer.close()
            reader, writer = await bench.client(HEADERS["version 1"], source="127.0.0.2")
            assert b"hello" not in await reader.read()
            writer.close()
            assert bench.failed
            assert bench.refused == []

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_balancers_own_connection_speaks_for_itself(loop: Loop) -> None:
    async def test() -> None:
        async with accepting(None) as bench:
            reader, writer = await bench.client(b"PROXY UNKNOWN\r\n")
            assert await reader.readline() == b"True None\n"
            writer.close()

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("begins", [b"a LOGIN anna secret\r\n", b"PROXY TCP4 x\r\n", bytes.fromhex("16030100")])
def test_what_is_no_header_from_a_balancer_is_closed(
    loop: Loop, secure: bool, begins: bytes, authority: Authority
) -> None:
    async def test() -> None:
        async with accepting(ServerTls(authority.issue().files()) if secure else None) as bench:
            reader, writer = await bench.client(begins)
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert bench.refused == [("127.0.0.1", "malformed")]
            assert bench.handshakes == 0

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_header_that_does_not_come(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxied, "HEADER_SECONDS", 0.05)

    async def test() -> None:
        async with accepting(None) as bench:
            reader, writer = await bench.client(b"PROXY TCP4 192.0")
            assert await reader.read() == b""
            writer.close()
            reader, writer = await bench.client(b"PROXY TCP4 192.0")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            assert bench.refused == [("127.0.0.1", "timeout"), ("127.0.0.1", "gone")]

    run(loop, test)


@pytest.mark.parametrize("secure", [False, True])
def test_without_room_it_is_closed_before_anything_is_read(secure: bool, authority: Authority) -> None:
    async def test() -> None:
        async with accepting(ServerTls(authority.issue().files()) if secure else None) as bench:
            bench.room = False
            reader, writer = await bench.client(HEADERS["version 2"])
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    run(asyncio.new_event_loop, test)


def test_networks() -> None:
    balancers = Balancers(["10.1.0.0/16", "2001:db8::/32"])
    assert "10.1.2.3" in balancers
    assert "::ffff:10.1.2.3" in balancers
    assert "2001:db8::1%eth0" in balancers
    assert "10.2.0.1" not in balancers
    assert "" not in balancers
    assert balancers
    assert not Balancers([])
