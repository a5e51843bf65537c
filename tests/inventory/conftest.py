"""A receiver over each store, alone or with all behind it, and one source that may report for everything."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ports.store import Store
from tests.inventory.chain import Chain
from tests.inventory.receiving import Receiving, source
from tests.storage.conformance.conftest import OPENERS


@pytest.fixture(params=("memory", "sqlite"))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await OPENERS[request.param](request, tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver(store: Store) -> AsyncIterator[Receiving]:
    receiving = Receiving(store)
    await receiving.write(source())
    yield receiving
    await receiving.client.aclose()


@pytest.fixture
async def chain(store: Store) -> AsyncIterator[Chain]:
    chain = Chain(store)
    await chain.write(source())
    yield chain
    await chain.client.aclose()
