"""An API over a store in memory, and a client of it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.control import Control


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
async def api(control: Control) -> AsyncIterator[httpx.AsyncClient]:
    async with await control.client() as client:
        yield client
