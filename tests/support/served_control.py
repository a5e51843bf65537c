"""The admin API on a real port, in a thread of its own, for tests of clients that know nothing of asyncio."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn

from gateway.changes.apply import ensure_first_policy
from tests.support.control import Control

T = TypeVar("T")
WITHIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """A control process's API that answers at ``url``."""

    url: str
    token: str
    control: Control
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something where the API runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WITHIN_SECONDS)

    @property
    def environment(self) -> dict[str, str]:
        """How a client on another machine finds it."""
        return {"GATEPOST_URL": self.url, "GATEPOST_TOKEN": self.token}


@contextmanager
def served(control: Control | None = None) -> Iterator[Served]:
    """Serve an API; it is up inside, and ended after."""
    control = control or Control(now=time.time())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        loop = asyncio.new_event_loop()
        server = uvicorn.Server(uvicorn.Config(control.api(), log_config=None, lifespan="off"))
        thread = threading.Thread(target=_serve, args=(loop, server, sock), daemon=True)
        thread.start()
        try:
            token = asyncio.run_coroutine_threadsafe(_prepared(control), loop).result(WITHIN_SECONDS)
            yield Served(f"http://127.0.0.1:{sock.getsockname()[1]}", token, control, loop)
        finally:
            server.should_exit = True
            thread.join(WITHIN_SECONDS)
            loop.close()


def _serve(loop: asyncio.AbstractEventLoop, server: uvicorn.Server, sock: socket.socket) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(server.serve([sock]))


async def _prepared(control: Control) -> str:
    await ensure_first_policy(control.store, control.publish, control.now)
    return await control.token()
