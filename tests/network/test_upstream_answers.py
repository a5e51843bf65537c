"""Answers over pooled connections: whole and odd ones, however they are cut, and back-pressure both ways."""

import asyncio
import socket

import pytest

from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstream_connection import INTERIM_MOST, Keeper, UpstreamConnection
from gateway.protocols.http.response_head import HEAD_LONGEST
from tests.network.listener import PING, Listener, begun
from tests.support.scripted_origin import Origin, scripted_origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


ANSWERS = [
    (OK, b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-A: b\r\n\r\n", b"abcde"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
]


@pytest.mark.parametrize(("octets", "body"), ANSWERS)
async def test_an_answer_cut_anywhere(pool: UpstreamPool, origin: Origin, octets: bytes, body: bytes) -> None:
    connection = await pool.connect()
    await origin.connection()
    for cut in range(len(octets)):
        answer = Listener()
        connection.begin(answer, b"POST", PING, complete=True)
        for piece in (octets[:cut], octets[cut:]):
            if piece:
                connection.data_received(piece)
        assert (answer.body, answer.ended, answer.lost) == (body, True, ""), cut
        assert pool.take() is connection
    answer = Listener()
    connection.begin(answer, b"POST", PING, complete=True)
    for place in range(len(octets)):
        connection.data_received(octets[place : place + 1])
    assert (answer.body, answer.ended) == (body, True)


async def test_an_answer_to_head(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool, PING.replace(b"POST", b"HEAD"), method=b"HEAD")
    served = await origin.connection()
    await served.request()
    await served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n")
    await answer.until_done()
    assert (answer.body, answer.ended) == (b"", True)
    assert pool.take() is connection


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_answer_that_ends_with_the_connection(pool: UpstreamPool, origin: Origin, version: bytes) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    await served.send(b"HTTP/%b 200 OK\r\n\r\nall of it" % version)
    served.close()
    await answer.until_done()
    assert (answer.body, answer.ended, pool.open) == (b"all of it", True, 0)


async def test_an_answer_that_ends_with_a_reset_is_not_whole(pool: UpstreamPool, origin: Origin) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    await served.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    async with asyncio.timeout(20):
        while not answer.body:  # noqa: ASYNC110  (what is waited for happens in the loop)
            await asyncio.sleep(0)
    # With nothing to linger for, closing is a reset.
    served.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    served.close()
    await answer.until_done()
    assert answer.lost


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"220 mail.example ESMTP\r\n\r\n", "malformed head"),
        (b"HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n", "malformed head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length beside chunks"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unknown transfer coding"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "unexpected interim answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_MOST + 1), "unexpected interim answer"),
        (b"HTTP/1.0 100 Continue\r\n\r\n", "unexpected interim answer"),
        (b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n", "unexpected interim answer"),
        (b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * HEAD_LONGEST, "head that is too long"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "not hexadecimal"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX", "does not end with CRLF"),
    ],
)
async def test_answers_that_are_given_up(pool: UpstreamPool, origin: Origin, octets: bytes, words: str) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    await served.send(octets)
    await answer.until_done()
    assert words in answer.lost
    await served.until_ended()
    assert (pool.open, pool.take()) == (0, None)


async def test_many_interim_answers_one_after_the_other(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool)
    await origin.connection()
    for _ in range(INTERIM_MOST):
        connection.data_received(b"HTTP/1.1 102 Processing\r\n\r\n")
        assert not answer.over
    connection.data_received(OK)
    assert answer.ended


async def test_who_gives_up_at_the_head_hears_no_more(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool)
    answer.on_head = connection.abort
    served = await origin.connection()
    await served.request()
    await served.send(OK)
    await served.until_ended()
    await asyncio.sleep(0)
    assert (answer.status, answer.body, answer.over) == (200, b"", False)


async def test_an_answer_taken_as_it_came(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool, whole=True)
    served = await origin.connection()
    await served.request()
    await served.send(OK)
    await answer.until_done()
    assert (answer.taken, answer.heads) == (OK, [])
    assert pool.take() is connection


async def test_an_answer_that_is_handed_over(pool: UpstreamPool, origin: Origin) -> None:
    connection, first = await begun(pool)
    second = Listener()
    connection.hand_over(second)
    served = await origin.connection()
    await served.request()
    await served.send(OK)
    await second.until_done()
    assert (second.body, first.over, first.heads) == (b"ok", False, [])


# --- back-pressure


async def test_an_answer_that_nobody_takes_is_not_read() -> None:
    async with scripted_origin() as origin:
        pool = UpstreamPool(origin.url, None)
        connection, answer = await begun(pool)
        served = await origin.connection()
        await served.request()
        connection.pause()
        connection.pause()
        size = 16 << 20
        sending = asyncio.create_task(
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        )
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done, "16 MiB fit into no buffer of the kernel's"
        assert answer.body == b""
        connection.resume()
        await answer.until_done()
        await sending
        assert (len(answer.body), answer.ended) == (size, True)
        # Paused by whoever is through with it, it is read again by the next.
        again, answer = await begun(pool)
        assert again is connection
        await served.request()
        await served.send(OK)
        await answer.until_done()
        pool.close()


async def test_a_request_that_the_server_does_not_take() -> None:
    async with scripted_origin(receive_buffer=4096) as origin:
        pool = UpstreamPool(origin.url, None)
        size = 8 << 20
        connection, answer = await begun(pool, PING.replace(b": 0", b": %d" % size), complete=False)
        served = await origin.connection()
        await served.head()
        for number in range(8):
            connection.write(bytes(1 << 20), complete=number == 7)
        assert answer.writable == [False]
        taken = 0
        async with asyncio.timeout(60):
            while taken < size:
                taken += len(await asyncio.get_running_loop().sock_recv(served.sock, 1 << 20))
        await served.send(OK)
        await answer.until_done()
        assert answer.writable == [False, True]
        assert pool.take() is connection
        pool.close()


async def test_a_head_that_is_too_long_is_given_up_however_fast_it_comes(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool)
    await origin.connection()
    connection.data_received(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * HEAD_LONGEST + b"\r\nContent-Length: 2\r\n\r\nok")
    assert "head that is too long" in answer.lost


async def test_an_answer_before_the_request_is_all_sent(pool: UpstreamPool, origin: Origin) -> None:
    """A server that has not read the body may take what still comes for the next request."""
    connection, answer = await begun(pool, PING + bytes(50 << 20))
    served = await origin.connection()
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_size() > 0
    await served.send(OK)
    await answer.until_done()
    assert (answer.body, answer.ended) == (b"ok", True)
    assert pool.take() is None
    await served.until_ended()


async def test_a_server_that_speaks_before_it_is_asked_is_not_asked(
    pool: UpstreamPool, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = pool._opened

    async def spoken_to(keeper: Keeper) -> UpstreamConnection:
        connection = await opened(keeper)
        (await origin.connection()).send_now(OK)
        while not connection.unasked:
            pass
        return connection

    monkeypatch.setattr(pool, "_opened", spoken_to)
    with pytest.raises(UpstreamUnavailable, match="before it is asked"):
        await pool.connect()
    assert pool.open == 0
    await origin.connections[0].until_ended()
