"""A supervisor in the test's own process, with real children, and what they said."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from gateway.runtime.cache_server import EmbeddedChild
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.sockets import BoundSocket, bind_all, listening
from gateway.runtime.succession import Successor
from gateway.runtime.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("scripted_child.py")
PATIENCE_SECONDS = 30.0
Line = dict[str, Any]


def child(name: str, *words: str, number: int = 0, control: bool = False) -> ChildSpec:
    """A scripted child."""
    return ChildSpec(
        name,
        (sys.executable, str(SCRIPT), *words),
        sockets=() if control else ("http",),
        worker=number,
        told_of_workers=control,
        environment={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )


def workers(count: int, kind: str = "worker") -> list[ChildSpec]:
    """Workers with a socket each."""
    return [child(f"worker-{number}", kind, number=number) for number in range(1, count + 1)]


class Supervised:
    """A run of a supervisor and the lines of its children."""

    def __init__(self, sockets: Sequence[BoundSocket], logged: list[Any]) -> None:
        self.sockets = sockets
        self.logged = logged
        self.lines: list[Line] = []
        self.text = ""
        self.supervisor: Supervisor
        self.task: asyncio.Task[int] | None = None
        self._news = asyncio.Event()

    @property
    def port(self) -> int:
        """Where the workers listen."""
        return int(listening(self.sockets)["http"][0].rpartition(":")[2])

    def write(self, octets: bytes) -> None:
        """Take a line of a child."""
        self.text += octets.decode()
        try:
            self.lines.append(json.loads(octets))
        except ValueError:
            self.lines.append({"event": "text", "text": octets.decode().strip()})
        self._news.set()

    def wake(self) -> None:
        """Look again."""
        self._news.set()

    async def until(self, seen: Callable[[], object]) -> None:
        """Wait until something is seen; looked at after each line and each log entry."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen():
                self._news.clear()
                await self._news.wait()

    def events(self, event: str) -> list[Line]:
        """What children told."""
        return [line for line in self.lines if line["event"] == event]

    def took(self, kind: str) -> list[Line]:
        """The messages of a type that children got."""
        return [line["message"] for line in self.events("took") if line["message"]["type"] == kind]

    def logs(self, event: str) -> list[Any]:
        """What the supervisor logged."""
        return [entry for entry in self.logged if entry["event"] == event]

    async def ready(self) -> None:
        """All children are."""
        await self.until(lambda: self.logs("ready"))

    async def ask(self, words: bytes = b"who\n") -> int:
        """The pid of the worker that answers; 0 when it dies over it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(words)
            async with asyncio.timeout(PATIENCE_SECONDS):
                return int(await reader.readline() or 0)
        except ConnectionResetError:
            return 0
        finally:
            writer.close()

    async def ended(self) -> int:
        """The exit code, within patience."""
        assert self.task is not None
        return await asyncio.wait_for(asyncio.shield(self.task), PATIENCE_SECONDS)

    async def end(self) -> int:
        """End it as an operator does."""
        assert self.task is not None
        if not self.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def supervised(
    children: Sequence[ChildSpec],
    *,
    embedded: EmbeddedChild | None = None,
    drain_seconds: float = 10.0,
    watched_files: Iterable[str] = (),
    on_ready: Callable[[], None] = lambda: None,
    successor: Successor | None = None,
    living: Sequence[LivingChild] = (),
) -> AsyncIterator[Supervised]:
    """Run a supervisor; it is ended after."""
    count = max((spec.worker for spec in children), default=0)
    sockets = bind_all({"http": ["http://127.0.0.1:0"]}, count, environment={})
    with capture_logs() as logged:
        run = Supervised(sockets, logged)
        supervisor = Supervisor(
            children,
            sockets,
            embedded,
            drain_seconds=drain_seconds,
            watched_files=watched_files,
            on_ready=on_ready,
            write=run.write,
            successor=successor,
            living=living,
        )
        run.supervisor = supervisor
        run.task = asyncio.create_task(supervisor.run())
        pulse = asyncio.create_task(_pulse(run))
        try:
            yield run
        finally:
            await run.end()
            pulse.cancel()


async def _pulse(run: Supervised) -> None:
    """Log entries bring no news of their own."""
    while True:
        await asyncio.sleep(0.01)
        run.wake()
