"""The proxies run on uvloop; on the standard loop they must behave alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.support.fronted import Fronted, fronted
from tests.support.scripted_origin import Origin, scripted_origin
from tests.support.upstream import MailboxServer, mailbox_server


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A mail server that does what the test says."""
    async with scripted_origin() as server:
        yield server


@pytest.fixture
async def scripted(origin: Origin) -> AsyncIterator[Fronted]:
    """A gateway in front of ``origin``."""
    async with fronted(origin.url) as front:
        yield front


@pytest.fixture
async def mailbox() -> AsyncIterator[MailboxServer]:
    """A mail server that knows one password."""
    async with mailbox_server() as server:
        yield server


@pytest.fixture
async def gateway(mailbox: MailboxServer) -> AsyncIterator[Fronted]:
    """A gateway in front of ``mailbox``."""
    async with fronted(mailbox.url, start=True) as front:
        yield front
