"""The stores that must all behave alike. Another one joins by one more entry in ``OPENERS``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.ports.store import Store
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.support.migrated_stores import MigratedStores

KEEP_CHANGES = 50


class LeaseClock:
    """The stores' time for leases."""

    at = 1_000.0

    def __call__(self) -> float:
        return self.at


LEASE_CLOCK = LeaseClock()

Opener: TypeAlias = Callable[[pytest.FixtureRequest, Path], Awaitable[Store]]


async def open_memory(request: pytest.FixtureRequest, directory: Path) -> Store:
    return MemoryStore(keep_changes=KEEP_CHANGES, now=LEASE_CLOCK)


async def open_sqlite(request: pytest.FixtureRequest, directory: Path) -> Store:
    migrated: MigratedStores = request.getfixturevalue("migrated")
    url = await migrated.sqlite(directory)
    return await open_store(url, writable=True, keep_changes=KEEP_CHANGES, lease_clock=LEASE_CLOCK)


async def open_postgres(request: pytest.FixtureRequest, directory: Path) -> Store:
    migrated: MigratedStores = request.getfixturevalue("migrated")
    url = await migrated.postgres(request.getfixturevalue("postgres"))
    return await open_store(url, writable=True, keep_changes=KEEP_CHANGES, lease_clock=LEASE_CLOCK)


OPENERS: dict[str, Opener] = {"memory": open_memory, "sqlite": open_sqlite, "postgres": open_postgres}
STORES = ("memory", "sqlite", pytest.param("postgres", marks=pytest.mark.live))


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await OPENERS[request.param](request, tmp_path)
    yield opened
    await opened.close()
