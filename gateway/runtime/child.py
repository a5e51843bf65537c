"""One life of a child process: started by its words, with its sockets and its link, until it ends.

A child has a session of its own, so that Ctrl-C in a terminal reaches the supervisor only.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.observability.logging import TERMINAL_VARIABLE
from gateway.runtime.adopted import AdoptedProcess
from gateway.runtime.child_output import ChildOutput
from gateway.runtime.link import LINK_VARIABLE, SOCKETS_VARIABLE, Link, Message
from gateway.runtime.sockets import BoundSocket

log = structlog.get_logger()

CACHE_STARTS_VARIABLE = "GATEPOST_CACHE_STARTS"
"""Set for a child that begins before the embedded cache server has."""
NOT_FOR_CHILDREN = frozenset(
    {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "PYTHONHASHSEED"}
)
"""The last one would give every process the same, known key for its hashes (PEP 456)."""
LAST_WORDS_SECONDS = 1.0
"""For what stands in the pipe after the end; somebody else may hold its other end."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to start."""

    name: str
    """``control``, ``worker-1`` …"""
    argv: tuple[str, ...]
    sockets: tuple[str, ...] = ()
    """The parts whose sockets it serves."""
    worker: int = 0
    """Its number, for parts that have a socket per worker."""
    told_of_workers: bool = False
    """It gets the workers' status messages (the control process), and is itself no worker."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables added for it."""

    def serves(self, bound: BoundSocket) -> bool:
        """Whether a socket is this child's."""
        return bound.part in self.sockets and bound.worker in (0, self.worker)


@dataclass(frozen=True, slots=True)
class LivingChild:
    """A child that another program of this process started, as it is handed over."""

    spec: ChildSpec
    pid: int
    link_fd: int
    unread: bytes
    unsent: bytes
    output_fd: int
    status: Message


class Child:
    """One process. ``run`` or ``follow`` may be called once."""

    def __init__(
        self, spec: ChildSpec, sockets: Sequence[BoundSocket], output: ChildOutput, *, cache_starts: bool = False
    ) -> None:
        self.spec = spec
        self._cache_starts = cache_starts
        self._sockets = [each for each in sockets if spec.serves(each)]
        self._output = output
        self._link: Link | None = None
        self._process: asyncio.subprocess.Process | AdoptedProcess | None = None
        self.ready = False

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self._process.pid if self._process else 0

    def send(self, message: Message) -> None:
        """Tell the child something; nothing where there is none yet or no more."""
        if self._link is not None:
            self._link.send(message)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def became_ready(self) -> None:
        """It said so."""
        self.ready = True

    def show_output(self) -> None:
        """The start is done: what it prints is printed at once from now on."""
        self._output.release()

    def drop_output(self) -> None:
        """The start failed for a reason that is known: what it said meanwhile is of no interest."""
        self._output.drop()

    async def run(self, on_start: Callable[[], None], on_message: Callable[[Message], None]) -> int:
        """Start it and wait for its end: its exit code, negative for a signal. Raises ``OSError`` when it cannot start.

        ``on_start`` is called when messages can be sent.
        """
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        try:
            with theirs:
                self._process = await self._start(theirs, write_end)
        except BaseException:
            ours.close()
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return await self._live(self._process, Link(ours), read_end, on_start, on_message)

    async def follow(
        self, living: LivingChild, on_start: Callable[[], None], on_message: Callable[[Message], None]
    ) -> int:
        """Like ``run``, for one that lives already and is ready. Raises ``OSError`` when it cannot be watched."""
        try:
            self._process = AdoptedProcess(living.pid)
        except OSError:
            # What cannot be watched ends by its link, and another one begins.
            os.close(living.link_fd)
            os.close(living.output_fd)
            raise
        self.ready = True
        self._output.release()
        link = Link.taken_over(living.link_fd, living.unread, living.unsent)
        os.set_inheritable(living.output_fd, False)
        return await self._live(self._process, link, living.output_fd, on_start, on_message)

    def handed_over(self, status: Message) -> LivingChild:
        """What another program of this process needs to go on with it; it must live."""
        assert self._link is not None
        return LivingChild(self.spec, self.pid, *self._link.handed_over(), self._output.fd, status)

    async def _live(
        self,
        process: asyncio.subprocess.Process | AdoptedProcess,
        link: Link,
        output_fd: int,
        on_start: Callable[[], None],
        on_message: Callable[[Message], None],
    ) -> int:
        self._link = link
        tasks = [
            asyncio.create_task(self._output.follow(output_fd)),
            asyncio.create_task(self._listen(link, on_message)),
        ]
        on_start()
        try:
            code = await process.wait()
            # What it said last is on its way still.
            await asyncio.wait(tasks, timeout=LAST_WORDS_SECONDS)
            return code
        finally:
            self._output.died()
            await self._close(tasks)

    async def _close(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _listen(self, link: Link, on_message: Callable[[Message], None]) -> None:
        try:
            await link.run(on_message)
        except (ValueError, KeyError, TypeError) as error:
            log.error("child_speaks_nonsense", name=self.spec.name, reason=repr(error))
            self.signal(signal.SIGKILL)

    async def _start(self, theirs: socket.socket, stderr: int) -> asyncio.subprocess.Process:
        rows = [{"part": each.part, "url": each.url, "fd": each.socket.fileno()} for each in self._sockets]
        kept = {name: value for name, value in os.environ.items() if name not in NOT_FOR_CHILDREN}
        if sys.stderr.isatty():
            kept[TERMINAL_VARIABLE] = "1"
        return await asyncio.create_subprocess_exec(
            *self.spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs.fileno(), *(each.socket.fileno() for each in self._sockets)],
            start_new_session=True,
            env={
                **kept,
                **self.spec.environment,
                **({CACHE_STARTS_VARIABLE: "1"} if self._cache_starts else {}),
                LINK_VARIABLE: str(theirs.fileno()),
                SOCKETS_VARIABLE: json.dumps(rows),
            },
        )
