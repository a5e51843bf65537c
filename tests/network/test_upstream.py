"""Pooled connections against a server that does what the test says: reuse, loss, limits, health, odd answers."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.network.upstream import INTERIM_MOST, UpstreamPool, UpstreamUnavailable, reason_of
from gateway.protocols.http.response_head import HEAD_LONGEST
from tests.network.listener import PING, Listener, begun
from tests.support.scripted_origin import Origin, scripted_origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with scripted_origin() as origin:
        yield origin


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


# --- answers, whole and odd, however they are cut

ANSWERS = [
    (OK, b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-A: b\r\n\r\n", b"abcde"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n", b""),
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
    await settled()
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
