"""The lives of the children: each is started, listened to, and started again with back-off when it dies."""

import asyncio
import signal
from collections.abc import Sequence

import structlog

from gateway.runtime.cache_server import paused
from gateway.runtime.child import Child, LivingChild
from gateway.runtime.child_output import ChildOutput, Write
from gateway.runtime.children import Children
from gateway.runtime.kept import Kept
from gateway.runtime.link import Message
from gateway.runtime.sockets import BoundSocket
from gateway.runtime.starting import Starting

log = structlog.get_logger()

NAMED_SIGNALS = {number.value: number.name for number in signal.Signals}


class Lives:
    """All lives of all children of one supervisor, until ``stop``."""

    def __init__(
        self,
        children: Children,
        starting: Starting,
        sockets: Sequence[BoundSocket],
        write: Write,
        stop: asyncio.Event,
        living: Sequence[LivingChild],
    ) -> None:
        """``write`` gets their stderr; ``living`` are children that an earlier program of this process left."""
        self._children = children
        self._starting = starting
        self._sockets = sockets
        self._write = write
        self._stop = stop
        self._living = {each.spec.name: each for each in living}
        self._said: set[str] = set()
        self.cache_starts = False
        """Whether the embedded cache server has yet to begin: children are told so."""

    @property
    def all_followed(self) -> bool:
        """Whether every child that an earlier program left is known by now."""
        return not self._living

    async def keep(self, kept: Kept) -> None:
        """Keep one child alive, until it is to end for good."""
        loop = asyncio.get_running_loop()
        while not (self._stop.is_set() or kept.retired or kept.failed.is_set()):
            began = loop.time()
            output = ChildOutput(self._write, self._said)
            child = Child(kept.spec, self._sockets, output, cache_starts=self.cache_starts)
            ended = await self._one_life(kept, child, self._living.pop(kept.spec.name, None))
            lived = loop.time() - began
            kept.child, kept.status, kept.silent_rounds = None, {}, 0
            if not kept.trial:
                kept.ready.clear()
            self._children.tell_of(kept)
            self._note_death(kept, child, ended)
            if kept.retired or kept.failed.is_set():
                return
            await paused(self._stop, kept.back_off.after(lived if child.ready else 0.0))

    async def _one_life(self, kept: Kept, child: Child, living: LivingChild | None) -> str:
        """How it ended, in words."""

        def started() -> None:
            kept.child = child
            self._children.tell_of(kept)
            if (self._stop.is_set() or kept.retired) and living is None:
                # Born too late: it serves nobody yet, and was not there when all were told to end.
                child.signal(signal.SIGKILL)
            if kept.spec.told_of_workers and living is None:
                self._children.tell_all_to(kept, child)

        def take(message: Message) -> None:
            self._take(kept, message)

        try:
            if living is not None:
                # Told to the program before: silence counts from here on.
                kept.status = living.status
                kept.ready.set()
                code = await child.follow(living, started, take)
            else:
                code = await child.run(started, take)
        except OSError as error:
            return f"could not be started ({error})"
        except Exception as error:  # one child's trouble, whatever it is, is not the end of all others
            log.error("supervisor_task_failed", error=repr(error), exc_info=error)
            return f"was lost ({error!r})"
        return f"ended by {NAMED_SIGNALS.get(-code, code)}" if code < 0 else f"ended with code {code}"

    def _note_death(self, kept: Kept, child: Child, ended: str) -> None:
        if kept.trial and not kept.retired:
            kept.fail(ended)
        if self._stop.is_set() or kept.retired:
            # After a start that failed, that sentence is all there is to say.
            say = log.debug if self._starting.failure else log.info
            say("child_drained", name=kept.spec.name, how=ended)
            return
        log.error("child_ended", name=kept.spec.name, how=ended, was_ready=child.ready)
        self._starting.note_death(kept, ended)

    def _take(self, kept: Kept, message: Message) -> None:
        kind = message.get("type")
        if kind == "ready":
            # From here on it has less time to be silent.
            kept.silent_rounds = 0
            self._starting.note_ready(kept)
        elif kind == "status":
            kept.status, kept.silent_rounds = message, 0
            self._children.tell_of(kept)
        elif kind == "standing_by":
            kept.standing_by.set()
            if not kept.trial:
                kept.send({"type": "begin"})
        elif kind == "failed" and kept.trial:
            kept.fail(str(message.get("sentence")))
        elif kind == "failed" and not self._starting.done:
            self._starting.give_up(str(message.get("sentence")))
        elif kind == "failed":
            log.error("child_failed", name=kept.spec.name, reason=message.get("sentence"))
