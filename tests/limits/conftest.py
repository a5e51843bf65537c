"""Both loops, as the proxies' own tests have them; and a neighbour whom no limit of somebody else may harm."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.limits.neighbour import Neighbour
from tests.support.upstream import MailboxServer, mailbox_server


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def mailbox() -> AsyncIterator[MailboxServer]:
    """A mail server that knows one password."""
    async with mailbox_server() as server:
        yield server


@pytest.fixture
async def neighbour(mailbox: MailboxServer) -> AsyncIterator[Neighbour]:
    """Somebody else's phone."""
    neighbour = Neighbour(mailbox)
    yield neighbour
    neighbour.close()
