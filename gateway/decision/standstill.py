"""Notices that this process stood still (stopped, swapped out, its machine paused) and has missed what happened.

The requests that waited meanwhile are read first when it goes on, before any news of changes. So what the decision
point knows counts for ``TRUSTED_SECONDS`` at a time, renewed by a pulse. A pulse that comes late has slept through
something: the change log is read first, and nobody is judged from memory until then.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.ports.store import StoreUnavailable

log = structlog.get_logger()

TRUSTED_SECONDS = 1.0
PULSE_SECONDS = 0.25
GIVE_UP_SECONDS = 5.0
"""Where the log cannot be read, what was known before is better than nothing: the feed minds how old it is."""


class Standstill:
    """The pulse of one decision point."""

    def __init__(self, decision: DecisionPoint, catch_up: Callable[[], Awaitable[None]]) -> None:
        self._decision = decision
        self._catch_up = catch_up
        self._learning: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        """Keep the decision point trusted, until cancelled."""
        try:
            while True:
                self._decision.trust(TRUSTED_SECONDS)
                await asyncio.sleep(PULSE_SECONDS)
                self._settle()
                late = self._decision.untrusted_for
                if late > 0.0:
                    log.warning("stood_still", seconds=round(late + TRUSTED_SECONDS, 1))
                    await self._learn_what_was_missed()
        finally:
            for each in self._learning:
                each.cancel()
            await asyncio.gather(*self._learning, return_exceptions=True)

    async def _learn_what_was_missed(self) -> None:
        learning = asyncio.create_task(self._learn())
        self._learning.add(learning)
        # Not cancelled when it is given up: in the midst of a change, sessions would be left that nobody judges by it.
        await asyncio.wait({learning}, timeout=GIVE_UP_SECONDS)
        if not learning.done():
            log.warning("change_log_unreadable", error="no answer in time", age_seconds=0.0)

    async def _learn(self) -> None:
        try:
            await self._catch_up()
        except StoreUnavailable as error:
            log.warning("change_log_unreadable", error=str(error), age_seconds=0.0)

    def _settle(self) -> None:
        """Let go of what has ended; a mistake there ends the watch."""
        for each in [each for each in self._learning if each.done()]:
            self._learning.discard(each)
            each.result()
