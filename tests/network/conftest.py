"""A server that does what the test says, and a pool of connections to it."""

from collections.abc import AsyncIterator

import pytest

from gateway.network.upstream import UpstreamPool
from tests.support.scripted_origin import Origin, scripted_origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with scripted_origin() as origin:
        yield origin


@pytest.fixture
async def pool(origin: Origin) -> AsyncIterator[UpstreamPool]:
    pool = UpstreamPool(origin.url, None)
    yield pool
    pool.close()
