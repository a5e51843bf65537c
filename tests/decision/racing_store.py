"""A store under the order of a test, and beside it what was committed at each moment.

``Committed`` reads the tables in its own way, not by the code that assembles records: whose device shows the banned
app, and whether the ban enforces. From that it says which answers are right for somebody who knows all up to a moment.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.inventory import App, Platform
from gateway.domain.verdict import Effect
from gateway.ports.store import Change, Reading, Writing
from gateway.storage.memory import MemoryStore
from gateway.storage.memory.tables import Tables
from tests.support.interleaving import OrderedLoop

T = TypeVar("T")

TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok")
FIREFOX = App(Platform.ANDROID, "org.mozilla.firefox", "Firefox")
BAN = Ban("TikTok", (Matcher(MatcherKind.ID, TIKTOK.id, Platform.ANDROID),), flag=Flag.ENFORCE)


@dataclass(frozen=True, slots=True)
class Moment:
    """What stood in the store from one commit to the next."""

    incarnation: str
    sequence: int
    dirty: frozenset[str]
    """Logins, aliases included."""
    enforced: bool

    def right(self, login: str) -> Effect:
        """The answer that follows from this moment alone."""
        return Effect.DENY if self.enforced and login in self.dirty else Effect.ALLOW


class Committed:
    """All moments of a run."""

    def __init__(self, tables: Tables) -> None:
        self.moments = [_moment(tables)]

    def note(self, tables: Tables) -> None:
        """Something was committed."""
        self.moments.append(_moment(tables))

    def known(self, incarnation: str, sequence: int) -> int:
        """The number of the newest moment that somebody has heard of who is at this place of the change log."""
        for number in range(len(self.moments) - 1, -1, -1):
            moment = self.moments[number]
            if moment.incarnation == incarnation and moment.sequence <= sequence:
                return number
        return 0

    def right(self, login: str, since: int) -> set[Effect]:
        """The answers that follow from the moments from that number to now.

        Policy and evidence reach a worker by different ways: they may be of two of these moments.
        """
        moments = self.moments[since:]
        enforced = {moment.enforced for moment in moments}
        return {replace(moment, enforced=each).right(login) for moment in moments for each in enforced}


def _moment(tables: Tables) -> Moment:
    dirty: set[str] = set()
    for inventory in tables.inventories.values():
        if TIKTOK in inventory.apps:
            owner = next(key.value for key in inventory.device_keys if key.type == "user")
            dirty.update((owner, *tables.people[owner].aliases))
    version = tables.policies[max(tables.policies)]
    enforced = any(ban.flag is Flag.ENFORCE for ban in version.bans)
    return Moment(tables.incarnation, tables.sequence, frozenset(dirty), enforced)


class RacingStore:
    """``ports.store.Store`` that answers when it is its turn."""

    def __init__(self, loop: OrderedLoop, tables: Tables, *, keep_changes: int) -> None:
        self.memory = MemoryStore(keep_changes=keep_changes, now=lambda: 0.0)
        self.memory._tables = tables.copy()
        self.committed = Committed(tables)
        self._loop = loop
        self._lives = 1

    @property
    def tables(self) -> Tables:
        """The present state."""
        return self.memory._tables

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """The snapshot is taken some time after the question, and arrives some time after that."""
        return self._read()

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Reading]:
        await self._loop.point("read")
        async with self.memory.read() as reading:
            await self._loop.point("read answered")
            yield reading

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """The same for a reading in one go."""
        async with self.read() as reading:
            return await work(reading)

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """The commit is some time after the question; who asked hears of it some time after that."""
        await self._loop.point("write")
        answer = await self.memory.write(work)
        self._loop.trace.append(f"commit {self.tables.sequence}")
        self.committed.note(self.tables)
        await self._loop.point("write answered")
        return answer

    def restore(self, tables: Tables) -> None:
        """Put an earlier state back, as another life of the store."""
        self._lives += 1
        self.memory._tables = replace(tables, incarnation=f"life{self._lives}")
        self.committed.note(self.tables)

    async def scrub(self) -> str:
        """There are no files."""
        return ""

    async def close(self) -> None:
        """Nothing to let go of."""
