"""Starts the children, keeps them running, and ends them in order.

It holds the listening sockets, so that a dead worker loses no queued connection; starts the embedded cache server and,
beside it, all children; says ``ready`` once all of them have; restarts who dies, with back-off, and ends who hangs;
passes the workers' status on to the control process. SIGTERM and SIGINT drain: workers first, then the control
process, then the cache server, each within a bound, after which they are killed; a second signal means at once. SIGHUP
and changed certificate files become ``reload`` messages. SIGUSR2 lets the next version take over (``upgrade``), which
then is this process. A start that fails (``starting``) ends the whole with exit 1; ``failure`` is the sentence for it.
"""

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from gateway.runtime.cache_server import EmbeddedChild, keep_running
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.child_output import Write, to_stderr
from gateway.runtime.children import Children
from gateway.runtime.hanging import STDERR_FD, TELL_WHERE, end_the_hanging
from gateway.runtime.kept import Kept
from gateway.runtime.lives import Lives
from gateway.runtime.notify import SystemdNotify
from gateway.runtime.orphans import Orphans
from gateway.runtime.sockets import BoundSocket, close_all
from gateway.runtime.starting import Starting
from gateway.runtime.succession import Plan, Successor
from gateway.runtime.upgrade import HANDED_OVER, Upgrade
from gateway.runtime.watch import FileWatch

log = structlog.get_logger()

WATCH_SECONDS = 2.0
AFTER_DRAIN_SECONDS = 5.0
"""What a child may take beyond its own drain time, to write down what it holds and to close."""
CONTROL_SECONDS = 15.0
"""For the control process, once the workers have ended: requests and notices under way, then its last signature."""
GIVING_UP_SECONDS = 2.0
"""For all together, when the start failed or was broken off: nobody is served yet."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


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
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._notify = notify or SystemdNotify()
        self._sockets = tuple(sockets)
        self._children = Children(Kept(spec) for spec in children)
        self._starting = Starting(self._children, self._stop, on_ready, self._notify, done=bool(living))
        self._lives = Lives(self._children, self._starting, self._sockets, write, self._stop, living)
        self._follows = bool(living)
        self._successor = successor
        self._embedded = embedded
        self._drain_seconds = drain_seconds
        self._watch = FileWatch(watched_files)
        self._on_hangup = on_hangup
        self._broken = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._passing: set[str] = set()
        """The names of tasks that may end while the others go on."""

    @property
    def failure(self) -> str:
        """Why the start failed; empty where it did not."""
        return self._starting.failure

    async def run(self) -> int:
        """Run until told to end: 0, or 1 when the start failed.

        What ``embedded.start`` raises the first time comes out.
        """
        self._starting.begin()
        self._listen_to_signals()
        try:
            cache = self._begun_cache()
            for kept in self._children.kept:
                self._begin(kept.task_name, self._lives.keep(kept))
            self._begin("rounds", self._make_rounds())
            await self._keep_cache(cache)
            if self._follows:
                await self._follow_the_living()
            await self._until_told()
            await self._drain()
        finally:
            await self._end_all()
        return 1 if self._broken or self.failure else 0

    def _begun_cache(self) -> asyncio.Task[None] | None:
        """The start of the cache server, beside the children: they have a lot to load before they need it."""
        if self._embedded is None or self._follows:
            return None
        self._lives.cache_starts = True
        return asyncio.create_task(self._embedded.start())

    async def _keep_cache(self, begun: asyncio.Task[None] | None) -> None:
        if begun is not None:
            try:
                await begun
            except Exception as error:
                self._starting.give_up(str(error))
                raise
            self._lives.cache_starts = False
        if self._embedded is not None:
            self._begin("embedded", keep_running(self._embedded, self._stop))

    async def _follow_the_living(self) -> None:
        """Wait until the children that another program left are known, then hear of signals that came meanwhile."""
        while not self._lives.all_followed:  # noqa: ASYNC110  (a round or two)
            await asyncio.sleep(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._notify.ready(f"{len(self._children.workers())} workers")

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
            self._broken = True
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
        self._children.send({"type": "reload"})
        self._notify.ready("reloaded")

    def _told_to_upgrade(self) -> None:
        if self._successor is None or not self._starting.done or self._stop.is_set() or "upgrade" in self._tasks:
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
                self._notify.ready(f"{len(self._children.workers())} workers")

    def _become(self, successor: Successor, plan: Plan, began: float) -> None:
        """Give this process to the next version; when that fails, go on with its children."""
        present = self._children.kept
        if any(kept.child is None for kept in present):
            log.error("upgrade_not_finished", reason="a child has just died; send the signal again")
            return
        living = [kept.child.handed_over(kept.status) for kept in present if kept.child is not None]
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            successor.become(plan, living, began)
        except OSError as error:
            log.error("upgrade_not_finished", reason=f"the next version cannot be run ({error}): restart when you can")
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @property
    def generation(self) -> int:
        """How many upgrades there were."""
        return self._children.generation

    @property
    def kept(self) -> Sequence[Kept]:
        """The present children."""
        return tuple(self._children.kept)

    def take_on(self, kept: Kept) -> None:
        """Start a child and keep it."""
        self._children.take_on(kept)
        self._passing.add(kept.task_name)
        self._begin(kept.task_name, self._lives.keep(kept))

    def install(self, fresh: Sequence[Kept]) -> None:
        """These are the present children from now on; those that were are on their way out."""
        self._children.install(fresh)
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
            self._children.tell_of(kept, gone=True)
        self._children.gone(group)

    async def _make_rounds(self) -> None:
        """What is looked at now and then: changed files, the dead of others, a start that takes long."""
        orphans = Orphans() if os.getpid() == 1 else None
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._watch.changed():
                self._reload("files changed")
            if orphans is not None:
                orphans.reap()
            if not self._stop.is_set():
                end_the_hanging(self._children.everyone(), WATCH_SECONDS)
            self._starting.look()

    # --- the end

    async def _drain(self) -> None:
        self._notify.stopping()
        if (upgrade := self._tasks.pop("upgrade", None)) is not None:
            upgrade.cancel()
            await asyncio.wait({upgrade})
        there = [each for each in self._children.everyone() if each.task_name in self._tasks]
        watchers = [each for each in there if each.spec.told_of_workers]
        workers = [each for each in there if not each.spec.told_of_workers]
        bounds = ((workers, self._drain_seconds + AFTER_DRAIN_SECONDS), (watchers, CONTROL_SECONDS))
        for group, bound in bounds:
            for kept in group:
                kept.send({"type": "drain"})
            # The children close theirs as well: nobody connects any more to what nobody will serve.
            close_all(each for each in self._sockets if any(kept.spec.serves(each) for kept in group))
            await self._wait_for_the_end_of(group, bound if self._starting.done else GIVING_UP_SECONDS)
        say = log.debug if self.failure else log.info
        say("ended", seconds=round(self._starting.age, 3))

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
        for kept in self._children.everyone():
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
