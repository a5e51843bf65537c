"""Starts the children, keeps them running, and ends them in order.

It holds the listening sockets, so that a dead worker loses no queued connection; starts the embedded cache server, then
all children; says ``ready`` once all of them have; restarts who dies, with back-off, and ends who hangs; passes the
workers' status on to the control process. SIGTERM and SIGINT drain: workers first, then the control process, then the
cache server, each within a bound, after which they are killed; a second signal means at once. SIGHUP and changed
certificate files become ``reload`` messages. SIGUSR2 lets the next version take over (``upgrade``), which then is this
process. A child that dies ``START_TRIES`` times before the first ``ready``, or says that it cannot start, ends the
whole with exit 1; ``failure`` is the sentence for it then, and the log has what came before.
"""

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from gateway.domain.errors import DomainError
from gateway.runtime.cache_server import EmbeddedChild, keep_running, paused
from gateway.runtime.child import Child, ChildSpec, LivingChild
from gateway.runtime.child_output import ChildOutput, Write, to_stderr
from gateway.runtime.hanging import STDERR_FD, TELL_WHERE, end_the_hanging
from gateway.runtime.kept import Kept
from gateway.runtime.link import Message
from gateway.runtime.notify import SystemdNotify
from gateway.runtime.orphans import Orphans
from gateway.runtime.sockets import BoundSocket, close_all
from gateway.runtime.succession import Plan, Successor
from gateway.runtime.upgrade import HANDED_OVER, Upgrade
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
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
NAMED_SIGNALS = {number.value: number.name for number in signal.Signals}


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
        on_hangup: Callable[[], None] = lambda: None,
        notify: SystemdNotify | None = None,
        write: Write = to_stderr,
        successor: Successor | None = None,
        living: Sequence[LivingChild] = (),
    ) -> None:
        """``drain_seconds`` is what the workers themselves need at most; ``write`` gets the children's stderr.

        What ``on_ready`` raises makes the start fail. ``on_hangup`` is called at SIGHUP. ``living`` are children (and
        there is a cache server) that an earlier program of this process left: they are ready.
        """
        self.generation = 0
        self._kept = [Kept(spec) for spec in children]
        self._leaving: list[Kept] = []
        self._fresh: list[Kept] = []
        self._successor = successor
        self._living = {each.spec.name: each for each in living}
        self._sockets = tuple(sockets)
        self._embedded = embedded
        self._drain_seconds = drain_seconds
        self._watch = FileWatch(watched_files)
        self._on_ready = on_ready
        self._on_hangup = on_hangup
        self._notify = notify or SystemdNotify()
        self._write = write
        self._said: set[str] = set()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.failure = ""
        """Why the start failed; empty where it did not."""
        self._code = 0
        self._ready_once = bool(living)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._passing: set[str] = set()
        """The names of tasks that may end while the others go on."""

    async def run(self) -> int:
        """Run until told to end: 0, or 1 when the start failed.

        What ``embedded.start`` raises the first time comes out.
        """
        self._began = asyncio.get_running_loop().time()
        self._listen_to_signals()
        try:
            if self._embedded is not None:
                if not self._ready_once:
                    await self._embedded.start()
                self._begin("embedded", keep_running(self._embedded, self._stop))
            for kept in self._kept:
                self._begin(kept.task_name, self._keep(kept))
            self._begin("rounds", self._make_rounds())
            if self._living:
                await self._follow_the_living()
            await self._until_told()
            await self._drain()
        finally:
            await self._end_all()
        return self._code

    async def _follow_the_living(self) -> None:
        """Wait until the children that another program left are known, then hear of signals that came meanwhile."""
        while self._living or any(kept.child is None for kept in self._kept):  # noqa: ASYNC110  (a round or two)
            await asyncio.sleep(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._notify.ready(f"{len(self._workers())} workers")

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _until_told(self) -> None:
        """Wait for the word to end; a task of ours that ends before is a mistake of ours, and ends the whole."""
        told = asyncio.create_task(self._stop.wait())
        done: set[asyncio.Task[Any]] = set()
        try:
            while not done:
                # Children come and go with an upgrade.
                lasting = {task for name, task in self._tasks.items() if name not in self._passing}
                done, _ = await asyncio.wait(
                    {told, *lasting}, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                done = {task for task in done if task is told or task.get_name() not in self._passing}
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
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        loop.add_signal_handler(signal.SIGUSR2, self._told_to_upgrade)
        # As in the children: where it is. Others read their logs anew at this signal, so it will be sent here.
        faulthandler.register(TELL_WHERE, file=STDERR_FD)

    def _told_to_end(self, name: str) -> None:
        log.info("ending", reason=name, at_once=self._stop.is_set())
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _hung_up(self) -> None:
        self._reload("SIGHUP")
        self._on_hangup()

    def _reload(self, reason: str) -> None:
        log.info("reloading", reason=reason)
        self._notify.reloading()
        for kept in self._everyone():
            kept.send({"type": "reload"})
        self._notify.ready("reloaded")

    def _told_to_upgrade(self) -> None:
        if self._successor is None or not self._ready_once or self._stop.is_set() or "upgrade" in self._tasks:
            log.warning("upgrade_refused", reason="one is under way, or this is not the moment for it")
            return
        self._passing.add("upgrade")
        self._begin("upgrade", self._upgrade(self._successor))

    # --- the next version

    async def _upgrade(self, successor: Successor) -> None:
        began = time.monotonic()
        self._notify.reloading()
        bounds = {"worker_seconds": self._drain_seconds + AFTER_DRAIN_SECONDS, "watcher_seconds": CONTROL_SECONDS}
        try:
            plan = await Upgrade(self, successor, **bounds).run()
            if plan is not None:
                self._become(successor, plan, began)
        finally:
            self._tasks.pop("upgrade", None)
            if not self._stop.is_set():
                self._notify.ready(f"{len(self._workers())} workers")

    def _become(self, successor: Successor, plan: Plan, began: float) -> None:
        """Give this process to the next version; when that fails, go on with its children."""
        if any(kept.child is None for kept in self._kept):
            log.error("upgrade_not_finished", reason="a child has just died; send the signal again")
            return
        living = [kept.child.handed_over(kept.status) for kept in self._kept if kept.child is not None]
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            successor.become(plan, living, began)
        except OSError as error:
            log.error("upgrade_not_finished", reason=f"the next version cannot be run ({error}): restart when you can")
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @property
    def kept(self) -> Sequence[Kept]:
        """The present children."""
        return tuple(self._kept)

    def take_on(self, kept: Kept) -> None:
        """Start a child and keep it."""
        if kept not in self._kept:
            self._fresh.append(kept)
        self._passing.add(kept.task_name)
        self._begin(kept.task_name, self._keep(kept))

    def install(self, fresh: Sequence[Kept]) -> None:
        """These are the present children from now on; those that were are on their way out."""
        self._leaving += [kept for kept in self._kept if kept not in fresh]
        self._fresh = [kept for kept in self._fresh if kept not in fresh]
        self._kept = list(fresh)
        self.generation = max(kept.generation for kept in fresh)
        self._passing -= {kept.task_name for kept in fresh}

    async def let_go(self, group: Sequence[Kept], within_seconds: float) -> None:
        """Tell children to end for good, and wait; who does not in time is killed."""
        there = [kept for kept in group if kept.task_name in self._tasks]
        for kept in there:
            kept.retired = True
            self._passing.add(kept.task_name)
            if kept.ready.is_set() or not kept.trial:
                kept.send(HANDED_OVER)
            elif kept.standing_by.is_set():
                kept.send({"type": "drain"})
            elif kept.child is not None:
                kept.child.signal(signal.SIGKILL)
        await self._wait_for_the_end_of(there, within_seconds)
        for kept in there:
            self._tasks.pop(kept.task_name, None)
            self._tell_of(kept, gone=True)
        self._fresh = [kept for kept in self._fresh if kept not in group]
        self._leaving = [kept for kept in self._leaving if kept not in group]

    def _everyone(self) -> list[Kept]:
        return [*self._kept, *self._fresh, *self._leaving]

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
            if not self._stop.is_set():
                end_the_hanging(self._everyone(), WATCH_SECONDS)
            if not self._ready_once and not warned and self._age() > SLOW_START_SECONDS:
                warned = True
                log.warning("slow_start", waiting_for=self._not_ready())

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    # --- children

    async def _keep(self, kept: Kept) -> None:
        loop = asyncio.get_running_loop()
        while not (self._stop.is_set() or kept.retired or kept.failed.is_set()):
            began = loop.time()
            child = Child(kept.spec, self._sockets, ChildOutput(self._write, self._said))
            ended = await self._one_life(kept, child, self._living.pop(kept.spec.name, None))
            lived = loop.time() - began
            kept.child, kept.status, kept.silent_rounds = None, {}, None
            self._tell_of(kept)
            self._note_death(kept, child, ended)
            if kept.retired or kept.failed.is_set():
                return
            await paused(self._stop, kept.back_off.after(lived if child.ready else 0.0))

    async def _one_life(self, kept: Kept, child: Child, living: LivingChild | None) -> str:
        """How it ended, in words."""

        def started() -> None:
            kept.child = child
            self._tell_of(kept)
            if self._stop.is_set() and living is None:
                # Born too late: it serves nobody yet.
                child.signal(signal.SIGKILL)
            if kept.spec.told_of_workers and living is None:
                for other in self._everyone():
                    if not other.spec.told_of_workers and (other.ready.is_set() or not other.trial):
                        child.send(other.news_for(kept))

        def take(message: Message) -> None:
            self._take(kept, message)

        try:
            if living is not None:
                kept.status = living.status
                kept.ready.set()
                code = await child.follow(living, started, take)
            else:
                code = await child.run(started, take)
        except OSError as error:
            return f"could not be started ({error})"
        return f"ended by {NAMED_SIGNALS.get(-code, code)}" if code < 0 else f"ended with code {code}"

    def _note_death(self, kept: Kept, child: Child, ended: str) -> None:
        if kept.trial and not kept.retired:
            kept.fail(ended)
        if self._stop.is_set() or kept.retired:
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

    def _take(self, kept: Kept, message: Message) -> None:
        kind = message.get("type")
        if kind == "ready":
            self._note_ready(kept)
        elif kind == "status":
            kept.status, kept.silent_rounds = message, 0
            self._tell_of(kept)
        elif kind == "standing_by":
            kept.standing_by.set()
            if not kept.trial:
                kept.send({"type": "begin"})
        elif kind == "failed" and kept.trial:
            kept.fail(str(message.get("sentence")))
        elif kind == "failed" and not self._ready_once:
            self._give_up(str(message.get("sentence")))
        elif kind == "failed":
            log.error("child_failed", name=kept.spec.name, reason=message.get("sentence"))

    def _note_ready(self, kept: Kept) -> None:
        if kept.child is None:
            return
        kept.child.became_ready()
        kept.ready.set()
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

    def _workers(self) -> list[Kept]:
        return [each for each in self._kept if not each.spec.told_of_workers]

    def _tell_of(self, worker: Kept, *, gone: bool = False) -> None:
        if worker.spec.told_of_workers or (worker.trial and not (worker.ready.is_set() or gone)):
            return
        for kept in self._everyone():
            if kept.spec.told_of_workers:
                kept.send(worker.news_for(kept, gone=gone))

    # --- the end

    async def _drain(self) -> None:
        self._notify.stopping()
        if (upgrade := self._tasks.pop("upgrade", None)) is not None:
            upgrade.cancel()
            await asyncio.wait({upgrade})
        there = [each for each in self._everyone() if each.task_name in self._tasks]
        watchers = [each for each in there if each.spec.told_of_workers]
        workers = [each for each in there if not each.spec.told_of_workers]
        bounds = ((workers, self._drain_seconds + AFTER_DRAIN_SECONDS), (watchers, CONTROL_SECONDS))
        for group, bound in bounds:
            for kept in group:
                kept.send({"type": "drain"})
            # The children close theirs as well: nobody connects any more to what nobody will serve.
            close_all(each for each in self._sockets if any(kept.spec.serves(each) for kept in group))
            await self._wait_for_the_end_of(group, bound if self._ready_once else GIVING_UP_SECONDS)
        say = log.debug if self.failure else log.info
        say("ended", seconds=round(self._age(), 3))

    async def _wait_for_the_end_of(self, group: Sequence[Kept], within_seconds: float) -> None:
        tasks = [self._tasks[kept.task_name] for kept in group]
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
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        for kept in self._everyone():
            if kept.child is not None:
                kept.child.signal(signal.SIGKILL)
        for name in {"embedded", "rounds", "upgrade"} & self._tasks.keys():
            self._tasks[name].cancel()
        outcomes = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._embedded is not None:
            await self._embedded.stop()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("supervisor_task_failed", error=repr(outcome), exc_info=outcome)
        close_all(self._sockets)
