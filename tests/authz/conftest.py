"""External authorization runs on uvloop; on the standard loop it must behave alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.support.asking import Asking, asking
from tests.support.cutting import Cutting


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def authz(tmp_path: Path) -> AsyncIterator[Asking]:
    """A front with a clean phone of Anna's and a dirty one of Bert's."""
    async with asking(tmp_path) as made:
        made.clean("anna@corp.example", "annaphone")
        made.dirty("bert@corp.example", "bertphone")
        yield made


@pytest.fixture
async def cutting(tmp_path: Path) -> AsyncIterator[Cutting]:
    """Anna's phone is clean, Bert's is not."""
    made = Cutting()
    async with asking(tmp_path, following=made.following) as made.asking:
        made.asking.clean("anna@corp.example", "annaphone")
        made.asking.dirty("bert@corp.example", "bertphone")
        yield made
