"""What the real servers ask: a front with a real decision point, behind a port that can be switched."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.domain.access import Protocol
from tests.live.askers.servers import missing, start_dovecot
from tests.live.askers.switch import Switch
from tests.live.children import free_ports
from tests.support.asking import Asking, asking
from tests.support.phone_certificates import Certificates, make_certificates

USERS = ("anna", "bert", "cora", "dora", "emil", "fred")
"""Anna's phone is clean, Bert's is not."""


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A directory that every server's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="gatepost-askers-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def made(ground: Path) -> Certificates:
    """The certificate of all of them."""
    return make_certificates(ground)


@pytest.fixture(scope="session")
def mailboxes(ground: Path) -> Iterator[dict[str, int]]:
    """Dovecot, which asks nobody: ports of IMAP and POP3, and where Postfix has passwords checked."""
    if reason := missing("dovecot"):
        pytest.skip(reason)
    imap, pop3, auth = free_ports(3)
    child = start_dovecot(ground / "mailboxes", USERS, imap=imap, pop3=pop3, auth=auth)
    yield {"imap": imap, "pop3": pop3, "auth": auth}
    child.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gatepost(ground: Path, mailboxes: dict[str, int]) -> AsyncIterator[Asking]:
    """What is asked."""
    (ground / "gatepost").mkdir()
    servers = {protocol: ("127.0.0.1", mailboxes[protocol.value]) for protocol in (Protocol.IMAP, Protocol.POP3)}
    # Of SMTP only refusals are looked at, which need no server.
    servers[Protocol.SMTP] = ("127.0.0.1", 9)
    async with asking(ground / "gatepost", mail_servers=servers, dovecot_proved=True) as made:
        yield made


@pytest.fixture(scope="session")
def switches() -> list[Switch]:
    """All that there are; each test leaves them as it likes."""
    return []


async def _switch(gatepost: str, switches: list[Switch]) -> AsyncIterator[Switch]:
    switch = Switch(free_ports(1)[0], gatepost)
    switches.append(switch)
    await switch.on()
    yield switch
    await switch.off()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http_switch(gatepost: Asking, switches: list[Switch]) -> AsyncIterator[Switch]:
    """Where HTTP askers ask."""
    async for switch in _switch(gatepost.http, switches):
        yield switch


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def haproxy_switch(gatepost: Asking, switches: list[Switch]) -> AsyncIterator[Switch]:
    """Where HAProxy asks."""
    async for switch in _switch(gatepost.haproxy, switches):
        yield switch


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postfix_switch(gatepost: Asking, switches: list[Switch]) -> AsyncIterator[Switch]:
    """Where Postfix asks."""
    async for switch in _switch(gatepost.postfix, switches):
        yield switch


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def envoy_switch(gatepost: Asking, switches: list[Switch]) -> AsyncIterator[Switch]:
    """Where Envoy asks over gRPC."""
    async for switch in _switch(f"grpc://{await gatepost.for_envoy()}", switches):
        yield switch


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def as_always(gatepost: Asking, switches: list[Switch]) -> AsyncIterator[Asking]:
    """Before each test: Gatepost answers, and knows of Anna's and Bert's phones what it always does."""
    gatepost.evidence.unavailable = False
    gatepost.clean("anna@corp.example", "annaphone")
    gatepost.dirty("bert@corp.example", "bertphone")
    yield gatepost
    for switch in switches:
        await switch.on()
