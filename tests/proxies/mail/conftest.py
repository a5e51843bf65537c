"""A scripted mail server, and fronts for IMAP and POP3 before it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from tests.network.authority import Authority
from tests.support.mail_fronted import MailFronted, ScriptedServer, mail_fronted, scripted_server


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A mail server without TLS."""
    async with scripted_server() as made:
        yield made


@pytest.fixture
async def imap(server: ScriptedServer) -> AsyncIterator[MailFronted]:
    """IMAP without TLS."""
    async with mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}") as made:
        yield made


@pytest.fixture
async def pop3(server: ScriptedServer) -> AsyncIterator[MailFronted]:
    """POP3 without TLS."""
    async with mail_fronted(POP3, f"pop3://127.0.0.1:{server.port}") as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who issues certificates."""
    return Authority(tmp_path)
