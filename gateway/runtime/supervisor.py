"""Starts the children, keeps them running, and ends them in order.

It holds the listening sockets, so that a dead worker loses no queued connection; starts the embedded cache server, then
all children; says ``ready`` once all of them have; restarts who dies, with back-off; passes the workers' status on to
the control process. SIGTERM and SIGINT drain: workers first, then the control process, then the cache server, each
within a bound, after which they are killed; a second signal means at once. SIGHUP and changed certificate files become
``reload`` messages. A child that dies ``START_TRIES`` times before the first ``ready``, or says that it cannot start,
ends the whole with exit 1; ``failure`` is the sentence for it then, and the log has what came before.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from gateway.domain.errors import DomainError
from gateway.runtime.back_off import BackOff
from gateway.runtime.cache_server import EmbeddedChild, keep_running, paused
from gateway.runtime.child import Child, ChildSpec
from gateway.runtime.child_output import ChildOutput, Write, to_stderr
from gateway.runtime.link import Message
from gateway.runtime.notify import SystemdNotify
from gateway.runtime.orphans import Orphans
from gateway.runtime.sockets import BoundSocket, close_all
from gateway.runtime.watch import FileWatch

log = structlog.get_logger()

START_TRIES = 3
SLOW_START_SECONDS = 30.0
WATCH_SECONDS = 2.0
AFTER_DRAIN_SECONDS = 5.0
"""What a child may take beyond its own drain time, to write down what it holds and to close."""
CONTROL_SECONDS = 10.0
"""For the control process, once the workers have ended."""
GIVING_UP_SECONDS = 2.0
"""For all together, when the start failed or was broken off: nobody is served yet."""
NAMED_SIGNALS = {number.value: number.name for number in signal.Signals}


class _Kept:
    """A child that is to run always, through all its lives."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.status: Message = {}
        self.quick_deaths = 0
        self.back_off = BackOff()

    def send(self, message: Message) -> None:
        if self.child is not None:
            self.child.send(message)

    def news(self) -> Message:
        """What those who are told of workers hear of it."""
        return {"type": "worker", "name": self.spec.name, "alive": self.child is not None, "status": self.status}


class Supervisor:
    """One run of Gatepost. ``run`` may be called once, in the main thread."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        sockets: Sequence[BoundSocket],
        embedded: EmbeddedChild | None = None,
        *,
        drain_seconds: float = 25.0,
        watched_files: Iterable[str] = (),
        on_ready: Callable[[], None] = lambda: None,
        notify: SystemdNotify | None = None,
        write: Write = to_stderr,
    ) -> None:
        """``drain_seconds`` is what the workers themselves need at most; ``write`` gets the children's stderr.

        What ``on_ready`` raises makes the start fail.
        """
        self._kept = [_Kept(spec) for spec in children]
        self._sockets = tuple(sockets)
        self._embedded = embedded
        self._drain_seconds = drain_seconds
        self._watch = FileWatch(watched_files)
        self._on_ready = on_ready
        self._notify = notify or SystemdNotify()
        self._write = write
        self._said: set[str] = set()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.failure = ""
        """Why the start failed; empty where it did not."""
        self._code = 0
        self._ready_once = False
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> int:
        """Run until told to end: 0, or 1 when the start failed.

        What ``embedded.start`` raises the first time comes out.
        """
        self._began = asyncio.get_running_loop().time()
        self._listen_to_signals()
        try:
            if self._embedded is not None:
                await self._embedded.start()
                self._begin("embedded", keep_running(self._embedded, self._stop))
            for kept in self._kept:
                self._begin(kept.spec.name, self._keep(kept))
            self._begin("rounds", self._make_rounds())
            await self._until_told()
            await self._drain()
        finally:
            await self._end_all()
        return self._code

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _until_told(self) -> None:
        """Wait for the word to end; a task of ours that ends before is a mistake of ours, and ends the whole."""
        told = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({told, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
        if not self._stop.is_set():
            self._code = 1
            self._stop.set()
            log.error("supervisor_broken", lost=[task.get_name() for task in done])

    # --- signals

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload, "SIGHUP")

    def _told_to_end(self, name: str) -> None:
        log.info("ending", reason=name, at_once=self._stop.is_set())
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _reload(self, reason: str) -> None:
        log.info("reloading", reason=reason)
        self._notify.reloading()
        for kept in self._kept:
            kept.send({"type": "reload"})
        self._notify.ready("reloaded")

    async def _make_rounds(self) -> None:
        """What is looked at now and then: changed files, the dead of others, a start that takes long."""
        orphans = Orphans() if os.getpid() == 1 else None
        warned = False
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._watch.changed():
                self._reload("files changed")
            if orphans is not None:
                orphans.reap()
            if not self._ready_once and not warned and self._age() > SLOW_START_SECONDS:
                warned = True
                log.warning("slow_start", waiting_for=self._not_ready())

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    # --- children

    async def _keep(self, kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            child = Child(kept.spec, self._sockets, ChildOutput(self._write, self._said))
            ended = await self._one_life(kept, child)
            lived = loop.time() - began
            kept.child, kept.status = None, {}
            self._tell_of(kept)
            self._note_death(kept, child, ended)
            await paused(self._stop, kept.back_off.after(lived if child.ready else 0.0))

    async def _one_life(self, kept: _Kept, child: Child) -> str:
        """How it ended, in words."""

        def started() -> None:
            kept.child = child
            self._tell_of(kept)
            if self._stop.is_set():
                # Born too late: it serves nobody yet.
                child.signal(signal.SIGKILL)
            if kept.spec.told_of_workers:
                for other in self._workers():
                    child.send(other.news())

        try:
            code = await child.run(started, lambda message: self._take(kept, message))
        except OSError as error:
            return f"could not be started ({error})"
        return f"ended by {NAMED_SIGNALS.get(-code, code)}" if code < 0 else f"ended with code {code}"

    def _note_death(self, kept: _Kept, child: Child, ended: str) -> None:
        if self._stop.is_set():
            # After a start that failed, that sentence is all there is to say.
            say = log.debug if self.failure else log.info
            say("child_drained", name=kept.spec.name, how=ended)
            return
        log.error("child_ended", name=kept.spec.name, how=ended, was_ready=child.ready)
        if self._ready_once:
            return
        kept.quick_deaths += 1
        if kept.quick_deaths >= START_TRIES:
            self._give_up(f"{kept.spec.name} {ended} {START_TRIES} times while starting; what it said stands above")

    def _give_up(self, reason: str) -> None:
        if not self._stop.is_set():
            log.debug("cannot_start", reason=reason)
            self.failure = reason
            for kept in self._kept:
                if kept.child is not None:
                    kept.child.drop_output()
            self._code = 1
            self._stop.set()

    def _take(self, kept: _Kept, message: Message) -> None:
        kind = message.get("type")
        if kind == "ready":
            self._note_ready(kept)
        elif kind == "status":
            kept.status = message
            self._tell_of(kept)
        elif kind == "failed" and not self._ready_once:
            self._give_up(str(message.get("sentence")))
        elif kind == "failed":
            log.error("child_failed", name=kept.spec.name, reason=message.get("sentence"))

    def _note_ready(self, kept: _Kept) -> None:
        if kept.child is None:
            return
        kept.child.became_ready()
        if self._ready_once:
            kept.child.show_output()
            log.info("child_ready", name=kept.spec.name, pid=kept.child.pid)
        elif not self._not_ready() and not self._stop.is_set():
            self._say_ready()

    def _say_ready(self) -> None:
        for kept in self._kept:
            if kept.child is not None:
                kept.child.show_output()
        try:
            self._on_ready()
        except DomainError as error:
            self._give_up(str(error))
            return
        except Exception as error:  # the caller's own work: nobody may wait for a ready that never comes
            self._give_up(f"all children are ready, but what was to follow failed ({error!r})")
            return
        self._ready_once = True
        log.info("ready", workers=len(self._workers()), seconds=round(self._age(), 3))
        self._notify.ready(f"{len(self._workers())} workers")

    def _not_ready(self) -> list[str]:
        return [each.spec.name for each in self._kept if each.child is None or not each.child.ready]

    def _workers(self) -> list[_Kept]:
        return [each for each in self._kept if not each.spec.told_of_workers]

    def _tell_of(self, worker: _Kept) -> None:
        if not worker.spec.told_of_workers:
            for kept in self._kept:
                if kept.spec.told_of_workers:
                    kept.send(worker.news())

    # --- the end

    async def _drain(self) -> None:
        self._notify.stopping()
        watchers = [each for each in self._kept if each.spec.told_of_workers]
        bounds = ((self._workers(), self._drain_seconds + AFTER_DRAIN_SECONDS), (watchers, CONTROL_SECONDS))
        for group, bound in bounds:
            for kept in group:
                kept.send({"type": "drain"})
            # The children close theirs as well: nobody connects any more to what nobody will serve.
            close_all(each for each in self._sockets if any(kept.spec.serves(each) for kept in group))
            await self._wait_for_the_end_of(group, bound if self._ready_once else GIVING_UP_SECONDS)
        say = log.debug if self.failure else log.info
        say("ended", seconds=round(self._age(), 3))

    async def _wait_for_the_end_of(self, group: Sequence[_Kept], within_seconds: float) -> None:
        tasks = [self._tasks[kept.spec.name] for kept in group]
        if not tasks:
            return
        ended = asyncio.ensure_future(asyncio.wait(tasks))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=within_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        for kept in group:
            if kept.child is not None:
                say = log.debug if self.failure else log.warning
                say("child_killed", name=kept.spec.name, reason="it did not end in time")
                kept.child.signal(signal.SIGKILL)
        await ended

    async def _end_all(self) -> None:
        self._stop.set()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
        for kept in self._kept:
            if kept.child is not None:
                kept.child.signal(signal.SIGKILL)
        for name in {"embedded", "rounds"} & self._tasks.keys():
            self._tasks[name].cancel()
        outcomes = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._embedded is not None:
            await self._embedded.stop()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("supervisor_task_failed", error=repr(outcome))
        close_all(self._sockets)
