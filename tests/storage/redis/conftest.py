"""A real server for each test, started as the product starts it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.redis import EmbeddedValkey, RedisConnection


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    started = EmbeddedValkey(tmp_path, maxmemory="16mb")
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def connection(server: EmbeddedValkey) -> AsyncIterator[RedisConnection]:
    opened = RedisConnection(server.url, timeout_seconds=5.0)
    yield opened
    await opened.close()
