"""Rounds of the loop, on both loops: what has arrived at a round's beginning is known at its end."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from gateway.network.rounds import Rounds
from gateway.network.upstream import UpstreamPool
from gateway.network.upstream_connection import UpstreamConnection
from tests.network.listener import begun
from tests.support.scripted_origin import OriginConnection, scripted_origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOOPS = pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(loop: LoopFactory, work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await work()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(whole())


class Pooled:
    """A pool with an idle connection, and what may be taken of it at the end of each round."""

    def __init__(self, url: str) -> None:
        self.taken: list[UpstreamConnection | None] = []
        self.rounds = Rounds(self._at_end)
        self.pool = UpstreamPool(url, None, rounds=self.rounds)
        self.served: OriginConnection

    def _at_end(self) -> None:
        self.taken.append(self.pool.take_settled(time.monotonic()))
        if connection := self.taken[-1]:
            self.pool._idle.append(connection)

    async def another_round(self) -> None:
        """Something arrives from somewhere else."""
        here, there = socket.socketpair()
        with here, there:
            loop, seen = asyncio.get_running_loop(), asyncio.Event()

            def arrived() -> None:
                self.rounds.enter()
                seen.set()

            loop.add_reader(here, arrived)
            there.send(b"x")
            await seen.wait()
            loop.remove_reader(here)
        await asyncio.sleep(0)


@asynccontextmanager
async def pooled() -> AsyncIterator[Pooled]:
    async with scripted_origin() as origin:
        pooled = Pooled(origin.url)
        _, answer = await begun(pooled.pool)
        pooled.served = await origin.connection()
        await pooled.served.request()
        await pooled.served.send(OK)
        await answer.until_done()
        await asyncio.sleep(0)
        yield pooled
        pooled.pool.close()


@LOOPS
def test_the_end_comes_once_and_after_everything_of_the_round(loop: LoopFactory) -> None:
    async def work() -> None:
        happened: list[str] = []
        rounds = Rounds(lambda: happened.append("end"))
        pairs = [socket.socketpair() for _ in range(3)]
        for number, (here, there) in enumerate(pairs):

            def arrived(number: int = number, here: socket.socket = here) -> None:
                here.recv(1)
                rounds.enter()
                happened.append(str(number))

            asyncio.get_running_loop().add_reader(here, arrived)
            there.send(b"x")
        while len(happened) < 4:  # noqa: ASYNC110  (round and round is what is looked at)
            await asyncio.sleep(0)
        assert sorted(happened[:3]) == ["0", "1", "2"]
        assert happened[3:] == ["end"]
        assert rounds.number == 1
        for here, there in pairs:
            asyncio.get_running_loop().remove_reader(here)
            here.close()
            there.close()

    run(loop, work)


@LOOPS
def test_a_connection_is_lent_again_in_the_round_after(loop: LoopFactory) -> None:
    async def work() -> None:
        async with pooled() as pool:
            # The round in which its answer came.
            assert pool.taken == [None]
            await pool.another_round()
            assert pool.taken[1:] == [pool.pool._idle[0]]

    run(loop, work)


@LOOPS
@pytest.mark.parametrize("what", ["octets", "an end"])
def test_what_a_mail_server_sent_unasked_is_known_before_its_connection_is_lent(loop: LoopFactory, what: str) -> None:
    async def work() -> None:
        async with pooled() as pool:
            if what == "octets":
                pool.served.send_now(OK)
            else:
                pool.served.close()
            await pool.another_round()
            assert pool.taken == [None, None]
            assert pool.pool.take() is None

    run(loop, work)


@LOOPS
def test_a_connection_that_is_too_old_is_not_lent(loop: LoopFactory) -> None:
    async def work() -> None:
        async with pooled() as pool:
            await pool.another_round()
            assert pool.taken[-1] is not None
            assert pool.pool.take_settled(time.monotonic() + 5) is None
            await pool.served.until_ended()

    run(loop, work)
