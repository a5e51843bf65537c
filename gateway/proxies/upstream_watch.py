"""Whether a mail server can be reached: asked at the start, and again and again while it cannot.

For fronts whose sessions have a connection of their own to it, which would say nothing of it while nobody comes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from gateway.network.upstream import UpstreamUnavailable

log = structlog.get_logger()

WAIT_SECONDS = 2.0
"""Who asks waits no longer for it, the start included; what it says later counts just as well."""
AGAIN_SECONDS = 5.0
"""Between two questions while it is away."""


class Reachable(Protocol):
    """A mail server."""

    url: str
    reached: bool
    """Whether the last attempt to reach it worked."""


class UpstreamWatch:
    """Watches one mail server. ``question`` reaches it, and notes whether it could. Raises ``UpstreamUnavailable``."""

    def __init__(
        self, server: Reachable, question: Callable[[], Awaitable[object]], clock: Callable[[], float]
    ) -> None:
        self._server = server
        self._question = question
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = 0.0

    async def ask(self) -> None:
        """Ask it what it can do, unless that is under way, and wait a little. Never fails for one that is away."""
        await asyncio.wait([self._begun()], timeout=WAIT_SECONDS)

    def look(self) -> None:
        """Ask again if it was away: nobody else may, and health should know when it is back."""
        if not self._server.reached and self._clock() - self._asked_at >= AGAIN_SECONDS:
            self._begun()

    async def close(self) -> None:
        """Wait for nothing any more; may be called again."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _begun(self) -> "asyncio.Task[None]":
        if self._asking is None or self._asking.done():
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    async def _ask(self) -> None:
        was_away = not self._server.reached
        try:
            await self._question()
        except UpstreamUnavailable as error:
            if not was_away:
                log.warning("upstream_unavailable", reason=str(error))
            return
        if was_away:
            log.info("upstream_back", upstream=self._server.url)
