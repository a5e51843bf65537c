"""A mailbox server behind a whole gateway."""

from collections.abc import AsyncIterator

import pytest

from tests.support.upstream import MailboxServer, mailbox_server


@pytest.fixture
async def mailbox() -> AsyncIterator[MailboxServer]:
    async with mailbox_server() as server:
        yield server
