"""A whole gateway in front of a mailbox server, and an inventory agent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.spine import added_agent
from tests.support.upstream import MailboxServer, mailbox_server


@pytest.fixture
async def mailbox() -> AsyncIterator[MailboxServer]:
    async with mailbox_server() as server:
        yield server


@pytest.fixture
async def gateway(tmp_path: Path, mailbox: MailboxServer) -> AsyncIterator[Running]:
    async with running(tmp_path, mailbox.url) as gateway:
        yield gateway


@pytest.fixture
async def agent(gateway: Running) -> AsyncIterator[Agent]:
    async with added_agent(gateway) as agent:
        yield agent
