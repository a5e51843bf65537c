"""A server that is not written since it lacks commits ends the publication, also where the readers see another one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.inventory.publication import Publication
from gateway.ports.state_cache import StoreWentBack
from gateway.ports.store import MailDevice, Store, StoreUnavailable, Writing
from gateway.storage.sql import SqlStore, open_store
from gateway.storage.sql.group_commit import Transaction
from gateway.storage.sql.rows import Rows
from gateway.storage.sql.store import Database
from tests.inventory.chain import loaded
from tests.inventory.spread import Spread

T = TypeVar("T")


class TwoServers:
    """A database whose writing connection may lead to another server than the readers' do, which live on."""

    def __init__(self, read: Database) -> None:
        self.place = read.place
        self.read = self.written = read

    async def begin(self) -> Transaction:
        """Where it leads now."""
        return await self.written.begin()

    def reader(self) -> AbstractAsyncContextManager[tuple[Rows, int, str]]:
        """Always the same."""
        return self.read.reader()

    async def at_once(self, work: Callable[[Rows, int, str], Coroutine[Any, Any, T]]) -> T:
        """The same."""
        return await self.read.at_once(work)

    async def scrub(self) -> str:
        """Nothing is deleted here."""
        return ""

    async def close(self) -> None:
        """Whoever opened them closes them."""


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    both = [await open_store(f"sqlite:///{tmp_path}/{name}.db", writable=True) for name in ("left", "new")]
    yield both[0], both[1]
    for each in both:
        await each.close()


async def change(store: Store, publication: Publication | None = None) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mail_device(MailDevice("ann", "phone1", 1.0, 2.0))
        writing.log_people(["ann"])

    _, rows = await store.write(work)
    if publication is not None:
        await publication.publish(rows)


@pytest.mark.parametrize("cache_away", [False, True])
async def test_a_server_that_lacks_commits_ends_the_publication(
    opened: tuple[SqlStore, SqlStore], cache_away: bool
) -> None:
    """It took over without the last one, and the one before it still answers those who were connected to it."""
    left, new = opened
    servers = TwoServers(left._database)
    store, spread = SqlStore(servers, keep_changes=100, now=lambda: 0.0), Spread()
    publication = Publication(store, spread, spread, loaded)
    store.held_against(publication.newest_told, publication.went_back)
    await publication.start()
    running = asyncio.create_task(publication.run())
    await change(new)
    for _ in range(2):
        await change(store, publication)
    spread.away = cache_away
    servers.written = new._database
    with pytest.raises(StoreUnavailable, match="the control process begins anew"):
        await change(store, publication)
    with pytest.raises(StoreWentBack, match="newest change is 1, but 2 was told of"):
        async with asyncio.timeout(2):
            await running
