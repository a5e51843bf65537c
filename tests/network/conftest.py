"""A server that does what the test says, a pool of connections to it, and an authority for certificates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.network.upstream import UpstreamPool
from tests.network.authority import Authority, Issued
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


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue()
