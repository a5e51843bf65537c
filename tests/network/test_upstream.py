"""Pooled connections against a server that does what the test says: reuse, loss, limits, health."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.network.upstream import UpstreamPool, UpstreamUnavailable, reason_of
from tests.network.listener import PING, begun
from tests.support.scripted_origin import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pool(origin: Origin, clock: Clock) -> AsyncIterator[UpstreamPool]:
    pool = UpstreamPool(origin.url, None, now=clock)
    yield pool
    pool.close()


async def settled() -> None:
    """What the loop has to do already is done."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- reuse


async def test_one_connection_after_the_other_request(pool: UpstreamPool, origin: Origin) -> None:
    first, answer = await begun(pool)
    served = await origin.connection()
    for number in range(5):
        assert (await served.request()).line == b"POST /ping HTTP/1.1"
        await served.send(OK)
        await answer.until_done()
        assert (answer.status, answer.body, answer.ended) == (200, b"ok", True)
        assert pool.open == 1
        if number < 4:
            again, answer = await begun(pool)
            assert again is first
    assert not origin.unaccepted


async def test_requests_at_once_have_connections_of_their_own(pool: UpstreamPool, origin: Origin) -> None:
    asked = [await begun(pool) for _ in range(3)]
    served = [await origin.connection() for _ in range(3)]
    for number, each in enumerate(served):
        await each.request()
        await each.answer(b"%d" % number)
    for _, answer in asked:
        await answer.until_done()
    assert sorted(answer.body for _, answer in asked) == [b"0", b"1", b"2"]
    assert pool.open == 3
    # The one used last is the freshest.
    assert pool.take() in {connection for connection, _ in asked}


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-a\r\nConnection: Close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        OK + b"more",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
async def test_answers_after_which_a_connection_is_not_used_again(
    pool: UpstreamPool, origin: Origin, octets: bytes
) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    await served.send(octets)
    await answer.until_done()
    assert (answer.body, answer.ended) == (b"ok", True)
    assert pool.take() is None
    await served.until_ended()
    assert pool.open == 0


async def test_an_answer_to_half_a_request(pool: UpstreamPool, origin: Origin) -> None:
    """What is still to be sent of it would be read as the next one."""
    connection, answer = await begun(pool, PING.replace(b": 0", b": 9") + b"half", complete=False)
    served = await origin.connection()
    await served.head()
    await served.send(OK)
    await answer.until_done()
    assert answer.ended
    assert pool.take() is None
    connection.write(b"later", complete=True)
    await served.until_ended()


async def test_a_request_in_pieces(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool, PING.replace(b": 0", b": 9") + b"half", complete=False)
    served = await origin.connection()
    connection.write(b"", complete=False)
    connection.write(b"later", complete=True)
    assert (await served.request()).body == b"halflater"
    await served.send(OK)
    await answer.until_done()
    assert pool.take() is connection


async def test_a_connection_that_the_server_closed_while_idle(pool: UpstreamPool, origin: Origin) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    await served.send(OK)
    await answer.until_done()
    served.close()
    # Asked before the loop could have told.
    assert pool.take() is None
    _, answer = await begun(pool)
    other = await origin.connection()
    await other.request()
    await other.send(OK)
    await answer.until_done()
    assert answer.ended


async def test_octets_that_nobody_asked_for(pool: UpstreamPool, origin: Origin) -> None:
    """They would be taken for the next answer, which may be another person's."""
    for told_by_the_loop in (False, True):
        _, answer = await begun(pool)
        served = await origin.connection()
        await served.request()
        await served.send(OK)
        await answer.until_done()
        served.send_now(OK)
        if told_by_the_loop:
            await served.until_ended()
        assert pool.take() is None


async def test_a_connection_that_was_idle_for_long(pool: UpstreamPool, origin: Origin, clock: Clock) -> None:
    for away, kept in ((3.9, True), (4.0, False)):
        connection, answer = await begun(pool)
        served = await origin.connection() if len(origin.connections) == 0 else origin.connections[-1]
        await served.request()
        await served.send(OK)
        await answer.until_done()
        clock.now += away
        taken = pool.take()
        assert (taken is connection) is kept
        if taken is not None:
            pool.put_back(taken)


async def test_old_connections_are_closed_now_and_then(pool: UpstreamPool, origin: Origin, clock: Clock) -> None:
    asked = [await begun(pool) for _ in range(2)]
    served = [await origin.connection() for _ in range(2)]
    for each, (_, answer) in zip(served, asked, strict=True):
        await each.request()
        await each.send(OK)
        await answer.until_done()
        clock.now += 3
    pool.drop_old()
    await served[0].until_ended()
    assert not served[1].ended
    assert pool.open == 1
    clock.now += 3
    pool.drop_old()
    await served[1].until_ended()
    assert (pool.open, pool.take()) == (0, None)


async def test_a_closed_pool(pool: UpstreamPool, origin: Origin) -> None:
    (_, waiting), (_, answered) = await begun(pool), await begun(pool)
    served = [await origin.connection() for _ in range(2)]
    for each in served:
        await each.request()
    pool.close()
    for each in served:
        await each.until_ended()
    assert pool.open == 0
    # Who closes knows it: nobody is told.
    assert not waiting.over
    assert not answered.over


# --- nothing is sent twice


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("got", [b"", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"])
async def test_a_request_whose_answer_is_lost(pool: UpstreamPool, origin: Origin, reused: bool, got: bytes) -> None:
    _, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    if reused:
        await served.send(OK)
        await answer.until_done()
        _, answer = await begun(pool)
        await served.request()
    if got:
        await served.send(got)
    served.close()
    await answer.until_done()
    assert answer.lost == "the mail server closed the connection before its answer was whole"
    assert answer.body == got.partition(b"\r\n\r\n")[2]
    await settled()
    assert not origin.unaccepted, "the request must not be sent again"
    assert pool.open == 0


async def test_a_request_that_is_given_up(pool: UpstreamPool, origin: Origin) -> None:
    connection, answer = await begun(pool)
    served = await origin.connection()
    await served.request()
    closed = asyncio.Event()
    connection.abort(closed.set)
    async with asyncio.timeout(20):
        await closed.wait()
    # When it is told, the server can know.
    assert served.ended
    assert not answer.over
    assert pool.open == 0
    again = asyncio.Event()
    connection.abort(again.set)
    assert again.is_set()


# --- limits, time and health


async def test_no_more_connections_than_allowed(origin: Origin) -> None:
    pool = UpstreamPool(origin.url, None, connections=2)
    first, _ = await begun(pool)
    await begun(pool)
    with pytest.raises(UpstreamUnavailable, match="all 2 connections are in use"):
        await pool.connect()
    # That is no sign of bad health of the mail server.
    assert pool.healthy
    first.abort()
    await settled()
    await begun(pool)
    assert pool.open == 2
    pool.close()


async def test_connections_on_their_way_count(origin: Origin) -> None:
    pool = UpstreamPool(origin.url, None, connections=2)
    made = await asyncio.gather(*(pool.connect() for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, UpstreamUnavailable) for each in made) == 2
    assert (pool.open, pool.connecting) == (2, 0)
    pool.close()


async def test_a_server_that_does_not_complete_the_connection(origin: Origin) -> None:
    pool = UpstreamPool(origin.url.replace("http", "https"), ssl.create_default_context(), connect_seconds=0.05)
    with pytest.raises(UpstreamUnavailable, match="no connection within the time-out"):
        await pool.connect()
    assert (pool.open, pool.connecting, pool.healthy) == (0, 0, False)
    await (await origin.connection()).until_ended()


async def test_who_waits_for_a_connection_may_give_up(origin: Origin) -> None:
    pool = UpstreamPool(origin.url.replace("http", "https"), ssl.create_default_context())
    waiting = asyncio.create_task(pool.connect())
    served = await origin.connection()
    assert pool.connecting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await served.until_ended()
    assert (pool.open, pool.connecting, pool.healthy) == (0, 0, True)


async def test_health_comes_back(clock: Clock) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    pool = UpstreamPool(f"http://127.0.0.1:{listener.getsockname()[1]}", None, now=clock)
    assert pool.healthy
    waits: list[float] = []
    for _ in range(7):
        with pytest.raises(UpstreamUnavailable, match="refused"):
            await pool.connect()
        assert not pool.healthy
        began = clock.now
        while not pool.healthy:
            clock.now += 0.5
        waits.append(clock.now - began)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    listener.listen()
    await pool.connect()
    assert pool.healthy
    listener.close()
    with pytest.raises(UpstreamUnavailable):
        await pool.connect()
    clock.now += 1.0
    assert pool.healthy, "a success wipes earlier failures out"
    pool.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no connection within the time-out"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (ConnectionResetError(), "it closed the connection during the TLS handshake"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "connection reset by peer"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
    ],
)
def test_reasons_in_words(error: BaseException, words: str) -> None:
    assert words in reason_of(error)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://mail.internal", "mail.internal", 80),
        ("https://mail.internal", "mail.internal", 443),
        ("https://mail.internal:8443", "mail.internal", 8443),
        ("http://[::1]:8080", "::1", 8080),
    ],
)
def test_addresses(url: str, host: str, port: int) -> None:
    pool = UpstreamPool(url, None)
    assert (pool.host, pool.port) == (host, port)
