"""From the beginning of a run to its first ``ready``, and what makes it fail until then.

All children must say that they are ready; a child that dies ``START_TRIES`` times before, or says that it cannot start,
ends the whole. The sentence for it is ``failure``; the log has what came before.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.domain.errors import DomainError
from gateway.runtime.children import Children
from gateway.runtime.kept import Kept
from gateway.runtime.notify import SystemdNotify

log = structlog.get_logger()

START_TRIES = 3
SLOW_START_SECONDS = 30.0


class Starting:
    """That of one run. ``stop`` is set when it fails."""

    def __init__(
        self,
        children: Children,
        stop: asyncio.Event,
        on_ready: Callable[[], None],
        notify: SystemdNotify,
        *,
        done: bool,
    ) -> None:
        """``done``: an earlier program of this process did it. What ``on_ready`` raises makes it fail."""
        self.done = done
        """Whether all children were ready once."""
        self.failure = ""
        """Why it failed; empty where it did not."""
        self._children = children
        self._stop = stop
        self._on_ready = on_ready
        self._notify = notify
        self._began = 0.0
        self._warned = False

    def begin(self) -> None:
        """Now."""
        self._began = asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return asyncio.get_running_loop().time() - self._began

    def note_ready(self, kept: Kept) -> None:
        """A child says that it is ready."""
        if kept.child is None:
            return
        kept.child.became_ready()
        kept.ready.set()
        if self.done:
            kept.child.show_output()
            log.info("child_ready", name=kept.spec.name, pid=kept.child.pid)
        elif not self._children.not_ready() and not self._stop.is_set():
            self._say_ready()

    def _say_ready(self) -> None:
        for kept in self._children.kept:
            if kept.child is not None:
                kept.child.show_output()
        try:
            self._on_ready()
        except DomainError as error:
            self.give_up(str(error))
            return
        except Exception as error:  # the caller's own work: nobody may wait for a ready that never comes
            self.give_up(f"all children are ready, but what was to follow failed ({error!r})")
            return
        self.done = True
        workers = len(self._children.workers())
        log.info("ready", workers=workers, seconds=round(self.age, 3))
        self._notify.ready(f"{workers} workers")

    def note_death(self, kept: Kept, ended: str) -> None:
        """A child has died unasked."""
        if self.done:
            return
        kept.quick_deaths += 1
        if kept.quick_deaths >= START_TRIES:
            self.give_up(f"{kept.spec.name} {ended} {START_TRIES} times while starting; what it said stands above")

    def give_up(self, reason: str) -> None:
        """It has failed; everything ends."""
        if self._stop.is_set():
            return
        log.debug("cannot_start", reason=reason)
        self.failure = reason
        for kept in self._children.kept:
            if kept.child is not None:
                kept.child.drop_output()
        self._stop.set()

    def look(self) -> None:
        """Say once that it takes long; called now and then."""
        if not self.done and not self._warned and self.age > SLOW_START_SECONDS:
            self._warned = True
            log.warning("slow_start", waiting_for=self._children.not_ready())
