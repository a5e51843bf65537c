"""Which accounts have had mail here lately, so that their mail programs know the real mailbox already.

A program that is set up against a notice mailbox can be left with an account that does not go on with the real one
(isync does not); so only an account that was let in before is shown a notice. Remembered here and, for all workers,
in the shared cache; where neither knows, the answer is no, and the refusal is told in words. With a device credential
or a client certificate it is that device's account.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway.domain.access import AccessRequest
from gateway.ports.marks import Marks
from gateway.ports.state_cache import CacheUnavailable

log = structlog.get_logger()

SEEN_FOR_SECONDS = 90 * 86_400.0
AGAIN_AFTER_SECONDS = 86_400.0
"""An account is marked once a day at most."""
REMEMBERED_MOST = 200_000
UNDER_WAY_MOST = 64
"""Marks that are being set; one more is left for the account's next login."""


class SeenAccounts:
    """One per front that shows notices."""

    def __init__(self, marks: Marks | None, now: Callable[[], float] = time.time) -> None:
        """Without ``marks`` only this process's own memory counts."""
        self._marks = marks
        self._now = now
        self._seen: dict[str, float] = {}
        """When, by name."""
        self._under_way: set[asyncio.Task[None]] = set()

    def note(self, request: AccessRequest) -> None:
        """It is let in now."""
        name, now = _name(request), self._now()
        if now - self._seen.get(name, 0.0) < AGAIN_AFTER_SECONDS:
            return
        if self._marks is None:
            self._remember(name, now)
        elif len(self._under_way) < UNDER_WAY_MOST:
            task = asyncio.get_running_loop().create_task(self._mark(self._marks, name, now))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _mark(self, marks: Marks, name: str, now: float) -> None:
        try:
            await marks.put(name, SEEN_FOR_SECONDS)
        except CacheUnavailable as error:
            # It is noted at its next login.
            log.debug("account_not_marked", reason=str(error))
            return
        self._remember(name, now)

    def _remember(self, name: str, now: float) -> None:
        while len(self._seen) >= REMEMBERED_MOST:
            del self._seen[next(iter(self._seen))]
        self._seen[name] = now

    async def knows(self, request: AccessRequest) -> bool:
        """Whether it was let in within the last 90 days, as far as is known."""
        name = _name(request)
        if self._now() - self._seen.get(name, 0.0) < SEEN_FOR_SECONDS:
            return True
        if self._marks is None:
            return False
        try:
            return await self._marks.has(name)
        except CacheUnavailable:
            return False

    async def close(self) -> None:
        """Give up what is being set."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _name(request: AccessRequest) -> str:
    name = f"{request.protocol.value}:{request.login}"
    if request.credential is not None:
        return f"{name}%{request.credential.id}"
    certificate = request.certificate
    # A renewed certificate is of the same device, where the settings have that read.
    return name if certificate is None else f"{name}!{certificate.device_key or certificate.id}"
