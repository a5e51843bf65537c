"""A mail server that knows one password, and an SMTP front before it that judges."""

from collections.abc import AsyncIterator

import pytest

from gateway.network.tls import ServerTls
from tests.network.authority import Authority
from tests.support.submission_server import SubmissionServer, submission_server
from tests.support.submitted import Submitted, submitted


@pytest.fixture
async def server() -> AsyncIterator[SubmissionServer]:
    """The mail server."""
    async with submission_server() as server:
        yield server


@pytest.fixture
async def front(server: SubmissionServer) -> AsyncIterator[Submitted]:
    """Before it; takes logins without TLS."""
    async with submitted(server.url) as front:
        yield front


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom clients and the gateway trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def shown(authority: Authority) -> ServerTls:
    """What the front shows."""
    return ServerTls(authority.issue().files(alpn=()))
