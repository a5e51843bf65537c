"""One small question over a pooled connection: the whole answer, or why there is none; never asked twice."""

import asyncio
from contextlib import suppress

import pytest

from gateway.network.fetch import _Collector, fetch
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstream_connection import UpstreamConnection
from tests.support.fronted import until
from tests.support.kept import kept
from tests.support.scripted_origin import Origin


async def test_a_question_and_its_answer(pool: UpstreamPool, origin: Origin) -> None:
    for number in range(2):
        asking = asyncio.create_task(fetch(pool, b"OPTIONS", b"/a?b", b"mail.internal", [(b"X-A", b"b")]))
        served = await origin.connection() if not number else origin.connections[0]
        request = await served.request()
        assert request.line == b"OPTIONS /a?b HTTP/1.1"
        assert (request.header("host"), request.header("x-a"), request.body) == ("mail.internal", "b", b"")
        assert b"Content-Length" not in request.head
        await served.answer(b"mail", "200 OK", "X-B: 1", "x-b: 2")
        fetched = await asking
        assert (fetched.status, fetched.body, fetched.all(b"x-b")) == (200, b"mail", [b"1", b"2"])
        assert fetched.all(b"x-c") == []
    assert pool.open == 1


@pytest.mark.parametrize("body", [b"", b"content"])
async def test_a_post_has_a_length(pool: UpstreamPool, origin: Origin, body: bytes) -> None:
    asking = asyncio.create_task(fetch(pool, b"POST", b"/", b"a", (), body))
    served = await origin.connection()
    request = await served.request()
    assert (request.header("content-length"), request.body) == (str(len(body)), body)
    await served.answer()
    await asking


async def test_no_answer_in_time(pool: UpstreamPool, origin: Origin) -> None:
    asking = asyncio.create_task(fetch(pool, b"GET", b"/", b"a", (), timeout_seconds=0.05))
    served = await origin.connection()
    with pytest.raises(UpstreamUnavailable, match="no answer within"):
        await asking
    await served.until_ended()
    # A late answer must not be taken for that to the next question.
    assert (pool.open, pool.take()) == (0, None)
    assert not origin.unaccepted


async def test_half_an_answer_in_time(pool: UpstreamPool, origin: Origin) -> None:
    asking = asyncio.create_task(fetch(pool, b"GET", b"/", b"a", (), timeout_seconds=0.2))
    served = await origin.connection()
    await served.request()
    await served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
    with pytest.raises(UpstreamUnavailable, match="no answer within"):
        await asking
    await served.until_ended()


@pytest.mark.parametrize("excess", [0, 1])
async def test_an_answer_that_is_too_long(pool: UpstreamPool, origin: Origin, excess: int) -> None:
    asking = asyncio.create_task(fetch(pool, b"GET", b"/", b"a", (), body_longest=1000))
    served = await origin.connection()
    await served.request()
    await served.answer(bytes(1000 + excess))
    if excess:
        with pytest.raises(UpstreamUnavailable, match="too long"):
            await asking
        await served.until_ended()
        assert pool.open == 0
    else:
        assert len((await asking).body) == 1000
        assert pool.open == 1


async def test_who_asks_may_give_up(pool: UpstreamPool, origin: Origin) -> None:
    asking = asyncio.create_task(fetch(pool, b"GET", b"/", b"a", ()))
    served = await origin.connection()
    await served.request()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await served.until_ended()
    assert pool.open == 0


@pytest.mark.parametrize("octets", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"220 ready\r\n\r\n"])
async def test_an_answer_that_never_is_whole(pool: UpstreamPool, origin: Origin, octets: bytes) -> None:
    asking = asyncio.create_task(fetch(pool, b"GET", b"/", b"a", ()))
    served = await origin.connection()
    await served.request()
    if octets:
        await served.send(octets)
    served.close()
    with pytest.raises(UpstreamUnavailable):
        await asking
    assert pool.open == 0
    assert not origin.unaccepted


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["whole", "half", "too long", "none in time", "given up"])
async def test_nothing_is_kept_of_a_question_that_is_over(how: str, pool: UpstreamPool, origin: Origin) -> None:
    """Somebody's password is in it."""
    seconds = 0.05 if how == "none in time" else 20.0

    async def ask() -> None:
        with suppress(UpstreamUnavailable):
            await fetch(pool, b"GET", b"/", b"a", (), timeout_seconds=seconds, body_longest=10)

    asking = asyncio.create_task(ask())
    served = await origin.connection()
    await served.request()
    match how:
        case "whole":
            await served.answer(b"mail", "200 OK", "Connection: close")
        case "half":
            await served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
            served.close()
        case "too long":
            await served.answer(bytes(100))
        case "given up":
            asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    del asking
    await until(lambda: kept(_Collector, UpstreamConnection) == [])
