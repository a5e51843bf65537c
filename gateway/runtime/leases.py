"""Work that only one of several control processes does at a time: done by who holds a lease of the store.

The lease is taken for ``LEASE_SECONDS`` and renewed every third of that. The holder counts by its own monotonic clock
from before it asked, and gives up a margin early, so a process that stood still finds that it has lost the lease before
it does anything more. What must not happen twice at all compares the lease's term in the unit of work that does it.

As this writes every few seconds, it is also what notices first that the store takes no writes (a full disk, a standby):
``trouble`` says so, and so does the log, once.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import structlog

from gateway.ports.store import Lease, Store, StoreUnavailable, Writing

log = structlog.get_logger()

LEASE_SECONDS = 10.0
MARGIN_SECONDS = 1.0
"""Before its end a lease counts as lost already: clocks run at slightly different paces."""
GIVE_BACK_SECONDS = 2.0
FIRST_AFTER_SECONDS = 300.0
HOUR_SECONDS = 3_600.0


def holder_name() -> str:
    """A name for this process that no other one has or had."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Held:
    """A lease as its holder sees it."""

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self.name = name
        self.term = 0
        self._monotonic = monotonic
        self._until = 0.0

    def __bool__(self) -> bool:
        """Whether it is held at this moment."""
        return self._monotonic() < self._until

    @property
    def seconds_left(self) -> float:
        """Until it must count as lost."""
        return self._until - self._monotonic()

    async def hourly(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncIterator[None]:
        """Each hour while it is held, the first time five minutes after it was taken.

        Not an hour after that: where the lease changes hands more often, nobody would ever come to it.
        """
        await sleep(FIRST_AFTER_SECONDS)
        while self:
            yield
            await sleep(HOUR_SECONDS)

    def end(self) -> None:
        """Note that another one holds it."""
        self._until = 0.0

    def extend(self, lease: Lease, asked_at: float, seconds: float) -> None:
        """Note what the store has answered to a question of ``asked_at``."""
        self.term = lease.term
        self._until = asked_at + seconds - MARGIN_SECONDS


class Leases:
    """A control process's way to what it may do alone."""

    def __init__(
        self,
        store: Store,
        holder: str,
        *,
        seconds: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``seconds`` is how long a lease lasts that nobody renews; more than ``MARGIN_SECONDS``."""
        self._store = store
        self._holder = holder
        self._seconds = seconds
        self._monotonic = monotonic
        self.held: set[str] = set()
        """The names of those held now."""
        self.trouble = ""
        """Why the store could not be written the last time, one sentence; empty: it could."""

    async def run(self, name: str, work: Callable[[Held], Awaitable[None]]) -> None:
        """Do ``work`` whenever the lease is held, until cancelled; it is cancelled when the lease is lost.

        Work that comes to its end is begun again. Raises what ``work`` raises.
        """
        held = Held(name, self._monotonic)
        try:
            while True:
                if await self._ask(held):
                    await self._work(held, work)
                await asyncio.sleep(self._seconds / 5)
        finally:
            await self._give_back(held)

    async def _work(self, held: Held, work: Callable[[Held], Awaitable[None]]) -> None:
        log.info("lease_taken", lease=held.name, term=held.term)
        self.held.add(held.name)
        term, task = held.term, asyncio.ensure_future(work(held))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self._seconds / 3)
                # Looked at before it is renewed: this process may have stood still.
                if not task.done() and not await self._kept(held, term):
                    log.warning("lease_lost", lease=held.name, term=term)
                    return
        finally:
            self.held.discard(held.name)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _kept(self, held: Held, term: int) -> bool:
        """Renew; a store that does not answer leaves the lease as long as it lasts."""
        if held:
            await self._ask(held, held.seconds_left)
        return bool(held) and held.term == term

    async def _ask(self, held: Held, within_seconds: float | None = None) -> bool:
        """Take or renew; False for one that another holds, or when the store does not say in time."""

        async def work(writing: Writing) -> Lease | None:
            return await writing.take_lease(held.name, self._holder, self._seconds)

        asked_at = self._monotonic()
        try:
            async with asyncio.timeout(self._seconds if within_seconds is None else within_seconds):
                lease, _ = await self._store.write(work)
        except TimeoutError:
            self._not_written("the store does not say in time whether it has written")
            return False
        except StoreUnavailable as error:
            self._not_written(str(error))
            return False
        self._written()
        if lease is None:
            held.end()
            return False
        held.extend(lease, asked_at, self._seconds)
        return bool(held)

    def _not_written(self, reason: str) -> None:
        if not self.trouble:
            log.error("store_not_written", error=reason)
        self.trouble = reason

    def _written(self) -> None:
        if self.trouble:
            log.info("store_written_again")
        self.trouble = ""

    async def _give_back(self, held: Held) -> None:
        if not held:
            return

        async def work(writing: Writing) -> None:
            await writing.give_lease_back(held.name, self._holder)

        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._store.write(work)
