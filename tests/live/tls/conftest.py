"""Two gateways with TLS on loopback: one for everybody with two certificates, one that wants client certificates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.tls.secured import CORPORATE, Secured, secured
from tests.network.authority import Authority
from tests.support.upstream import MailboxServer, mailbox_server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues all certificates here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mailbox() -> AsyncIterator[MailboxServer]:
    """The mail server behind both."""
    async with mailbox_server() as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def secure(
    authority: Authority, mailbox: MailboxServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Secured]:
    """A gateway of two workers; an ECDSA certificate for everybody, one of RSA for who asks for ``CORPORATE``."""
    own, corporate = authority.issue(), authority.issue(CORPORATE, with_rsa=True)
    directory: Path = tmp_path_factory.mktemp("secure")
    names = f'names = [{{ certificate = "{corporate.certificate}", key = "{corporate.key}" }}]'
    async with secured(directory, mailbox.url, own, names, workers=2) as gateway:
        yield Secured(gateway, authority, own, corporate)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded(
    authority: Authority, mailbox: MailboxServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Secured]:
    """A gateway that speaks TLS 1.3 only, and only with clients that show a certificate."""
    own = authority.issue()
    directory: Path = tmp_path_factory.mktemp("guarded")
    more = f'client_ca = "{authority.certificate}"\nclient_certificate = "required"\nminimum = "1.3"'
    async with secured(directory, mailbox.url, own, more) as gateway:
        yield Secured(gateway, authority, own, own)
