"""Some hundreds of phones on sockets of their own: they wait for mail, some are cut and ask until they are let in.

All of them run in this one process beside the mailbox server that they wait at, so every length of time here has their
own work in it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.demo.phone import Answered, Phone
from gateway.demo.values import DemoFailed

HEARTBEAT_SECONDS = 3_000
AT_ONCE = 24
ASK_AGAIN_SECONDS = 0.25
"""How often a phone asks whether it may have mail again; they do not all ask at the same moment."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When something happened to each of many phones, in seconds since one moment."""

    seconds: tuple[float, ...]

    def at_share(self, share: float) -> float:
        """The moment by which it had happened to that share of them."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def last(self) -> float:
        """When it had happened to all of them."""
        return max(self.seconds)


@dataclass(slots=True)
class Crowd:
    """Phones, and their Pings while they wait."""

    turning: Sequence[Phone]
    """Those with the banned app."""
    staying: Sequence[Phone]
    pings: dict[str, "asyncio.Task[Answered]"] = field(default_factory=dict)
    """By DeviceId."""

    @property
    def phones(self) -> Sequence[Phone]:
        """All of them."""
        return (*self.turning, *self.staying)

    async def begin(self) -> None:
        """Each asks for its folders, as a phone does first. Raises ``DemoFailed``."""
        for phone, answer in zip(self.phones, await _each(self.phones, Phone.folder_sync), strict=True):
            _expect(answer.status == "1", f"{phone.user} was answered {answer.words}, not with folders")

    def park(self, phones: Iterable[Phone]) -> None:
        """Let them wait for mail."""
        for phone in phones:
            self.pings[phone.device_id] = asyncio.create_task(phone.ping(HEARTBEAT_SECONDS))

    async def cut(self, since: float) -> Moments:
        """When each of the turning ones was cut. Raises ``DemoFailed`` where one got anything else."""
        answers = [await self.pings[phone.device_id] for phone in self.turning]
        for phone, answer in zip(self.turning, answers, strict=True):
            _expect(answer.status == "7", f"the Ping of {phone.user} ended with {answer.words}, not with Status 7")
        return Moments(tuple(answer.at - since for answer in answers))

    async def refused(self) -> int:
        """How many of the turning ones are refused when they ask again; they hang up then."""
        answers = await _each(self.turning, Phone.folder_sync)
        for phone in self.turning:
            # While people are written down who are told, connections that rest are closed.
            phone.hang_up()
        return sum(answer.refused for answer in answers)

    def untouched(self) -> int:
        """How many of the others have waited all the time."""
        return sum(not self.pings[phone.device_id].done() for phone in self.staying)

    async def let_in(self, since: float) -> Moments:
        """The turning ones ask until each is let in, and wait for mail again then; when that was."""
        spread = ASK_AGAIN_SECONDS / len(self.turning)
        waits = (_until_let_in(phone, number * spread) for number, phone in enumerate(self.turning))
        moments = await asyncio.gather(*waits)
        return Moments(tuple(at - since for at in moments))

    async def end(self) -> None:
        """Hang up."""
        for ping in self.pings.values():
            ping.cancel()
        await asyncio.gather(*self.pings.values(), return_exceptions=True)
        for phone in self.phones:
            phone.hang_up()


async def _until_let_in(phone: Phone, first_after: float) -> float:
    await asyncio.sleep(first_after)
    while True:
        asked = time.monotonic()
        answer = await phone.folder_sync()
        if not answer.refused:
            _expect(answer.status == "1", f"{phone.user} was answered {answer.words}, not with folders")
            return answer.at
        await asyncio.sleep(max(0.0, asked + ASK_AGAIN_SECONDS - time.monotonic()))


async def _each(phones: Sequence[Phone], ask: Callable[[Phone], Awaitable[Answered]]) -> Sequence[Answered]:
    """An answer for each, some at a time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(phone: Phone) -> Answered:
        async with turn:
            return await ask(phone)

    return await asyncio.gather(*(one(phone) for phone in phones))


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise DemoFailed(otherwise)
