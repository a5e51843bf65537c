"""Runs coroutines in an order chosen on purpose: every await on a ``point`` waits until it is its turn.

When nothing can go on by itself, one of the waiting points is released, chosen by a seeded generator. A thousand seeds
are a thousand orders, each repeatable. ``Orders`` does so within the loop of a test; ``OrderedLoop`` is a loop of its
own, without sockets, in which the time that passes is one of the choices.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")

LONGEST_SECONDS = 600.0
"""A run that takes longer, by its own clock, has an actor who waits for ever."""
TIME_PASSES = 0.12
"""How often a timer comes before a point that waits, when there are both."""


class Orders:
    """One run in one order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self.trace: list[str] = []

    async def point(self, name: str) -> None:
        """Wait for one's turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((name, turn))
        await turn

    async def run(self, *actors: Coroutine[object, object, None]) -> None:
        """Run the actors to their ends."""
        tasks = [asyncio.ensure_future(actor) for actor in actors]
        try:
            while not all(task.done() for task in tasks):
                await self.settle()
                if not self._waiting:
                    await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED)
                    continue
                self.release_one()
            for task in tasks:
                task.result()
        finally:
            # Where one has failed, the others neither stay nor say so a second time.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Let everything run that can run by itself."""
        for _ in range(12):
            await asyncio.sleep(0)

    def release_one(self) -> None:
        """Let one of the waiting points go on."""
        name, turn = self._waiting.pop(self._random.randrange(len(self._waiting)))
        self.trace.append(name)
        if not turn.done():
            turn.set_result(None)

    async def finish(self) -> None:
        """Release everything that still waits."""
        while True:
            await self.settle()
            if not self._waiting:
                return
            self.release_one()


class _Idle(selectors.SelectSelector):
    """Stands where a loop waits for its sockets: when nothing is ready, something is made so."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []


class OrderedLoop(asyncio.SelectorEventLoop):
    """A loop in which everything outside the process takes as long as the seed says, and waiting takes no time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trace: list[str] = []
        self.calm = False
        """While set, points let everybody through at once and only timers pass."""
        self._elapsed = 0.0
        self._points: list[tuple[str, asyncio.Future[int]]] = []
        super().__init__(_Idle(self._choose))

    def time(self) -> float:
        """Seconds that the timers of this loop have passed."""
        return self._elapsed

    async def point(self, name: str) -> None:
        """Leave the process: whatever else can happen may happen first."""
        if self.calm:
            return
        turn: asyncio.Future[int] = self.create_future()
        self._points.append((name, turn))
        for _ in range(await turn):
            # What is released together still comes apart, or meets in any step.
            await asyncio.sleep(0)

    def _choose(self, timeout: float | None) -> None:
        self._points = [each for each in self._points if not each[1].done()]
        if self._points and (timeout is None or self.calm or self.random.random() >= TIME_PASSES):
            for _ in range(min(len(self._points), self.random.choice((1, 1, 1, 2, 3)))):
                name, turn = self._points.pop(self.random.randrange(len(self._points)))
                self.trace.append(name)
                turn.set_result(self.random.choice((0, 0, 1, 2, 3, 5)))
        elif timeout is not None:
            self._elapsed += timeout
            if self._elapsed > LONGEST_SECONDS:
                raise AssertionError("it does not come to an end")
            self.trace.append(f"+{timeout:.2f} s")
        else:
            raise AssertionError("everybody waits for somebody else")


def in_order(seed: int, scenario: Callable[[OrderedLoop], Coroutine[object, object, T]]) -> T:
    """Run a scenario in the order of that seed; a failure tells the seed and what happened in which order."""
    loop = OrderedLoop(seed)
    try:
        return loop.run_until_complete(scenario(loop))
    except BaseException as error:
        error.add_note(f"seed {seed}: {' · '.join(loop.trace)}")
        raise
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.calm = True
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
