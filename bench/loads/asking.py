"""Askers as a load: connections that put one question after the other and see that the answer is "may"."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a kind of asker asks."""

    title: str
    port: int
    question: Callable[[int], bytes]
    """About a person, by number."""
    whole: Callable[[bytes], bool]
    """Whether that is a whole answer."""
    allowed: bytes
    """What stands in an answer that lets in."""
    hello: bytes = b""
    """What is said first, and answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one round saw."""

    answers: int
    seconds: float
    latencies: list[float]
    """Seconds of each."""


class _Asker(asyncio.Protocol):
    def __init__(self, dialect: Dialect, questions: Sequence[bytes], first: int, round_: "_Round") -> None:
        self._dialect = dialect
        self._questions = questions
        self._turn = first
        self._round = round_
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._greeted = not dialect.hello
        self._asked_at = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, or ask."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        if self._greeted:
            self._ask()
        else:
            self._transport.write(self._dialect.hello)

    def _ask(self) -> None:
        assert self._transport is not None
        self._asked_at = time.perf_counter()
        self._transport.write(self._questions[self._turn % len(self._questions)])
        # A stride, so that connections do not ask about the same people.
        self._turn += 7919

    def data_received(self, data: bytes) -> None:
        """The next question follows a whole answer."""
        self._answer += data
        if not self._dialect.whole(self._answer):
            return
        answer, self._answer = self._answer, b""
        if not self._greeted:
            self._greeted = True
        elif self._dialect.allowed not in answer:
            self._end(f"{self._dialect.title} was answered {answer[-300:]!r}")
            return
        else:
            self._round.latencies.append(time.perf_counter() - self._asked_at)
        if self._round.goes_on():
            self._ask()
        else:
            self._end("")

    def connection_lost(self, exc: Exception | None) -> None:
        """It should not end by itself."""
        self._transport = None
        self._end(f"{self._dialect.title}: the connection ended")

    def _end(self, wrong: str) -> None:
        if self.over.done():
            return
        if wrong:
            self.over.set_exception(ConnectionError(wrong))
        else:
            self.over.set_result(None)
        if self._transport is not None:
            self._transport.close()


class _Round:
    def __init__(self, seconds: float, at_least: int) -> None:
        self._until = time.monotonic() + seconds
        self._at_least = at_least
        self.latencies: list[float] = []

    def goes_on(self) -> bool:
        return time.monotonic() < self._until or len(self.latencies) < self._at_least


async def ask(
    dialect: Dialect, questions: Sequence[bytes], connections: int, seconds: float, at_least: int = 1
) -> Asked:
    """Ask over so many connections for so long, and at least so often."""
    round_, began = _Round(seconds, at_least), time.monotonic()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            partial(_Asker, dialect, questions, number * 104_729, round_),
            "127.0.0.1",
            dialect.port,
        )
        for number in range(connections)
    ]
    try:
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            await asyncio.gather(*(asker.over for _, asker in made))
    except (OSError, TimeoutError) as error:
        raise SystemExit(f"{dialect.title}: {type(error).__name__} {error}") from None
    return Asked(len(round_.latencies), time.monotonic() - began, round_.latencies)
