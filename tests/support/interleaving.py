"""Runs coroutines in an order chosen on purpose: every await on ``Orders.point`` waits until it is its turn.

The loop is driven until nothing can go on by itself; then one of the waiting points is released, chosen by a seeded
generator. A thousand seeds are a thousand orders, each repeatable.
"""

import asyncio
import random
from collections.abc import Coroutine


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
        while not all(task.done() for task in tasks):
            await self.settle()
            if not self._waiting:
                await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED)
                continue
            self.release_one()
        for task in tasks:
            task.result()

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
