"""TLS between a loop's transport and a protocol, on both event loops, against OpenSSL driven by hand over a socket."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from gateway.network.tls import server_context
from gateway.network.tls_connection import GATHERED_BYTES, PIECE_BYTES
from tests.network.authority import Authority
from tests.network.tls_by_hand import SECONDS, Bench, Heard

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]


Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def tell(tmp_path: Path, loop: Loop) -> Callable[[Story], None]:
    authority = Authority(tmp_path)
    context = server_context(authority.issue().files())

    def run(story: Story) -> None:
        async def told() -> None:
            async with asyncio.timeout(SECONDS):
                await story(Bench(context, authority))

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(told())

    return run


Tell = Callable[[Story], None]


@LOOPS
@pytest.mark.parametrize("at_once", [1, 7, 1 << 30])
def test_records_in_any_pieces(tell: Tell, at_once: int) -> None:
    async def story(bench: Bench) -> None:
        bench.server.on_data = lambda data: bench.server.transport.write(data.upper())
        async with bench.client() as client:
            await client.shake(at_once)
            await client.send(client.encrypted(b"hello") + client.encrypted(b" you"), at_once)
            assert await client.read(9) == b"HELLO YOU"
            assert bench.ended == [None]
            assert bench.server.transport.get_extra_info("cipher")[1] == "TLSv1.3"
            assert bench.server.transport.get_extra_info("ssl_object").selected_alpn_protocol() is None
            assert isinstance(bench.server.transport.get_extra_info("sslcontext"), ssl.SSLContext)
            assert bench.server.transport.get_extra_info("peercert") is None
            assert bench.server.transport.get_extra_info("socket") is not None
            assert bench.server.transport.get_extra_info("what", 3) == 3

    tell(story)


@LOOPS
def test_a_request_in_the_same_octets_as_the_end_of_the_handshake(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.client() as client:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.tls.do_handshake()
            await client.flush()
            while True:
                await client.more()
                try:
                    client.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    continue
            await client.send(client.encrypted(b"at once"))
            await bench.server.until(lambda: bench.server.octets == b"at once")

    tell(story)


@LOOPS
def test_much_both_ways(tell: Tell) -> None:
    """More than anybody's buffers; the server is told when the client does not take it."""

    async def story(bench: Bench) -> None:
        sent = os.urandom(3_000_000)
        async with bench.shaken() as client:
            sending = asyncio.create_task(client.send(client.encrypted(sent)))
            await bench.server.until(lambda: len(bench.server.octets) == len(sent))
            await sending
            assert bytes(bench.server.octets) == sent
            assert not bench.connection._unread
            bench.server.transport.write(memoryview(sent))
            bench.server.transport.writelines([b"and", b"", b"more"])
            assert "full" in bench.server.events
            assert bench.server.transport.get_write_buffer_size() > 0
            found = await client.read(len(sent) + 7)
            assert hashlib.sha256(found).digest() == hashlib.sha256(sent + b"andmore").digest()
            await bench.server.until(lambda: "room" in bench.server.events)

    tell(story)


@LOOPS
@pytest.mark.parametrize("records", [1, 3, 40])
def test_a_protocol_that_pauses_is_told_nothing_until_it_resumes(tell: Tell, records: int) -> None:
    """Also not of the end; after that everything comes, in order."""

    async def story(bench: Bench) -> None:
        sent = [bytes([65 + number % 26]) * 5_000 for number in range(records)]
        server = bench.server

        def pause(data: bytes) -> None:
            server.transport.pause_reading()

        server.on_data = pause
        async with bench.shaken() as client:
            octets = b"".join(client.encrypted(each) for each in sent)
            sending = asyncio.create_task(client.send(octets))
            told = 0
            while told < records * 5_000:
                await server.until(lambda told=told: len(server.octets) > told)  # type: ignore[misc]
                before, told = told, len(server.octets)
                assert told - before < GATHERED_BYTES + PIECE_BYTES
                for _ in range(5):
                    await asyncio.sleep(0)
                assert len(server.octets) == told
                assert not server.transport.is_reading()
                if told == records * 5_000:
                    await sending
                    client.sock.shutdown(socket.SHUT_WR)
                    for _ in range(5):
                        await asyncio.sleep(0)
                    assert "eof" not in server.events
                server.transport.resume_reading()
            await server.until(lambda: "lost" in server.events)
            assert bytes(server.octets) == b"".join(sent)
            assert [each for each in server.events if each in ("made", "eof", "lost")] == ["made", "eof", "lost"]

    tell(story)


@LOOPS
def test_a_protocol_that_takes_a_piece_at_a_time_has_the_client_wait(tell: Tell) -> None:
    """What it has not taken is a reading or two of the loop, not all that the client can send meanwhile."""

    async def story(bench: Bench) -> None:
        server, held = bench.server, [0]
        sent = os.urandom(6_000_000)

        def take(data: bytes) -> None:
            server.transport.pause_reading()
            asyncio.get_running_loop().call_later(0, take_more)

        def take_more() -> None:
            held[0] = max(held[0], len(bench.connection._unread))
            server.transport.resume_reading()

        server.on_data = take
        async with bench.shaken() as client:
            sending = asyncio.create_task(client.send(client.encrypted(sent)))
            await server.until(lambda: len(server.octets) == len(sent))
            await sending
            assert bytes(server.octets) == sent
            assert held[0] <= 600_000

    tell(story)


@LOOPS
def test_an_end_that_comes_right_after_the_protocol_resumed_is_told_after_what_came_before(tell: Tell) -> None:
    """What was held back is handed on a moment after it resumes: the end must not overtake it."""

    async def story(bench: Bench) -> None:
        server = bench.server
        async with bench.shaken() as client:
            server.on_data = lambda data: server.transport.pause_reading()
            await client.send(client.encrypted(b"one") + client.encrypted(b"two"))
            await server.until(lambda: server.octets == b"one")
            server.on_data = lambda data: None
            server.transport.resume_reading()
            bench.connection.eof_received()
            await server.until(lambda: "lost" in server.events)
            assert server.octets == b"onetwo"
            assert server.events == ["made", "eof", "lost"]

    tell(story)


@LOOPS
def test_a_close_says_that_it_is_all_and_comes_after_it(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.shaken() as client:
            bench.server.transport.write(b"x" * 1_000_000)
            bench.server.transport.close()
            bench.server.transport.write(b"too late")
            assert bench.server.transport.is_closing()
            # Without close_notify this raises.
            assert len(await client.read(2_000_000)) == 1_000_000
            await bench.server.until(lambda: "lost" in bench.server.events)

    tell(story)


@LOOPS
def test_a_client_that_says_that_it_is_all(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.shaken() as client:
            bench.server.on_data = bench.server.transport.write
            octets = client.encrypted(b"last")
            with contextlib.suppress(ssl.SSLError):
                client.tls.unwrap()
            await client.send(octets)
            await client.flush()
            await bench.server.until(lambda: "lost" in bench.server.events)
            assert bench.server.octets == b"last"
            assert bench.server.events == ["made", "eof", "lost"]
            # Its own word is said: that of the server after it is an error to OpenSSL.
            with pytest.raises(ssl.SSLZeroReturnError):
                assert await client.read(5) == b"last"

    tell(story)


@LOOPS
def test_what_is_no_record_gets_an_alert(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.shaken() as client:
            await client.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            await bench.server.until(lambda: "lost" in bench.server.events)
            assert bench.server.octets == b""
            with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
                await client.read(1)

    tell(story)


@LOOPS
def test_a_handshake_that_fails_says_why(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with bench.client(context) as client:
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                await client.shake()
            await bench.over.wait()
            (error,) = bench.ended
            assert isinstance(error, ssl.SSLError)
            assert error.reason == "NO_SHARED_CIPHER"
            assert bench.server.events == []

    tell(story)


@LOOPS
def test_http_in_clear_is_closed(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.client() as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while await client.more():
                continue
            # OpenSSL has no alert for it.
            assert client.wire == b""
            (error,) = bench.ended
            assert cast("ssl.SSLError", error).reason == "HTTP_REQUEST"

    tell(story)


@LOOPS
@pytest.mark.parametrize("said", [0, 100])
def test_a_client_that_goes_away_in_its_handshake(tell: Tell, said: int) -> None:
    async def story(bench: Bench) -> None:
        async with bench.client() as client:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.tls.do_handshake()
            await client.send(client._goes.read()[:said])
            client.sock.close()
            await bench.over.wait()
            assert isinstance(bench.ended[0], OSError)
            assert len(bench.ended) == 1
            assert bench.server.events == []

    tell(story)


@LOOPS
def test_an_abort_is_at_once_and_says_nothing(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        async with bench.shaken() as client:
            bench.server.transport.abort()
            bench.server.transport.write(b"never")
            with pytest.raises(ConnectionResetError):
                await client.read(1)
            await bench.server.until(lambda: "lost" in bench.server.events)

    tell(story)


@LOOPS
def test_a_fault_of_the_protocol_ends_its_connection(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        seen: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))

        def fault(data: bytes) -> None:
            raise LookupError("a fault")

        bench.server.on_data = fault
        async with bench.shaken() as client:
            await client.send(client.encrypted(b"x"))
            await bench.server.until(lambda: "lost" in bench.server.events)
            assert isinstance(seen[0]["exception"], LookupError)

    tell(story)


@LOOPS
def test_another_protocol_goes_on(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        other = Heard()
        async with bench.shaken() as client:
            bench.server.transport.set_protocol(other)
            assert bench.server.transport.get_protocol() is other
            assert not bench.server.transport.can_write_eof()
            await client.send(client.encrypted(b"to the other"))
            await other.until(lambda: other.octets == b"to the other")
            assert bench.server.octets == b""

    tell(story)


@LOOPS
def test_records_that_come_together_are_handed_on_together(tell: Tell) -> None:
    """Or each kilobyte of a large mail costs whoever passes it on as many writes as there are records."""

    async def story(bench: Bench) -> None:
        server, sizes = bench.server, list[int]()
        server.on_data = lambda data: sizes.append(len(data))
        sent = os.urandom(3_000_000)
        async with bench.shaken() as client:
            octets = client.encrypted(sent)
            for begin in range(0, len(octets), 200_000):
                bench.connection.data_received(octets[begin : begin + 200_000])
            assert bytes(server.octets) == sent
            assert max(sizes) < GATHERED_BYTES + PIECE_BYTES
            assert len(sizes) < 5 * len(sent) // 200_000

    tell(story)
