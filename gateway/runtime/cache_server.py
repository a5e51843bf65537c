"""Keeps the embedded cache server running: what it must offer, and how it is brought back."""

import asyncio
from typing import Protocol

import structlog

from gateway.runtime.back_off import BackOff

log = structlog.get_logger()


class EmbeddedChild(Protocol):
    """The cache server that runs under the supervisor."""

    async def start(self) -> None:
        """Start it; returns when it answers. Raises with one clear sentence when it cannot."""
        ...

    async def wait(self) -> int:
        """Wait for its end; its exit code."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


async def keep_running(embedded: EmbeddedChild, stop: asyncio.Event) -> None:
    """Start it again whenever it ends, until ``stop``. It runs already."""
    loop, back_off = asyncio.get_running_loop(), BackOff()
    began = loop.time()
    while True:
        code = await embedded.wait()
        if stop.is_set():
            return
        log.error("cache_server_ended", code=code)
        wait_seconds = back_off.after(loop.time() - began)
        while not (await paused(stop, wait_seconds) or await _started(embedded)):
            wait_seconds = back_off.after(0.0)
        if stop.is_set():
            return
        log.info("cache_server_restarted")
        began = loop.time()


async def paused(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until ``stop``: whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _started(embedded: EmbeddedChild) -> bool:
    try:
        await embedded.start()
    except Exception as error:  # the one broad except of this task: whatever it was, it is tried again
        log.error("cache_server_not_started", reason=str(error))
        return False
    return True
