"""A child that is to run always, through all its lives; and how others learn of it."""

import asyncio

from gateway.runtime.back_off import BackOff
from gateway.runtime.child import Child, ChildSpec
from gateway.runtime.link import Message

AFTER, BEFORE = "of the next version", "of the version before"
"""How a watcher is told of workers that are of another version than itself."""


class Kept:
    """One place among the children. ``generation`` counts the upgrades of this process."""

    def __init__(self, spec: ChildSpec, generation: int = 0, *, trial: bool = False) -> None:
        self.spec = spec
        self.generation = generation
        self.child: Child | None = None
        self.status: Message = {}
        self.silent_rounds = 0
        """Rounds of the supervisor since it last told its status, or since this life of it began."""
        self.quick_deaths = 0
        self.back_off = BackOff()
        self.trial = trial
        """Of a version that has yet to prove itself: it is not started again when it ends."""
        self.retired = False
        """Told to end for good; others serve in its place."""
        self.standing_by = asyncio.Event()
        """It waits for the word to begin."""
        self.ready = asyncio.Event()
        """In its present life; on trial it has one only."""
        self.failed = asyncio.Event()
        """While it was on trial: it ended, or said that it cannot start."""
        self.reason = ""
        """Why."""

    @property
    def task_name(self) -> str:
        """Unique among all generations."""
        return f"{self.spec.name}@{self.generation}" if self.generation else self.spec.name

    def send(self, message: Message) -> None:
        """Tell it something; nothing where it does not live."""
        if self.child is not None:
            self.child.send(message)

    def fail(self, reason: str) -> None:
        """Note that it did not prove itself."""
        self.reason = self.reason or reason
        self.failed.set()

    def news_for(self, watcher: "Kept", *, gone: bool = False) -> Message:
        """What a watcher hears of this worker; ``gone``: it has ended for good."""
        name = self.spec.name
        if self.generation != watcher.generation:
            name = f"{name} {AFTER if self.generation > watcher.generation else BEFORE}"
        news = {"type": "worker", "name": name, "alive": self.child is not None, "status": self.status}
        return {**news, "gone": True} if gone else news
