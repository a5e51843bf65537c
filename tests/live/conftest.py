"""The mail site and two gateways before it, started once for a test run; every test runs on the one loop they live on.

``plain`` listens without TLS and goes to nginx without TLS, ``tls`` has TLS on both sides, ``direct`` is no gateway.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.conversation import DIALECTS, Conversation, Dialect, converse
from tests.live.site import Site, missing, running_site
from tests.support.phone import Account, Phone
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.system.arranging import agent_of, enforce_tiktok

READER, COLLEAGUE, BYSTANDER, SECURE, SYNCING = "reader", "colleague", "bystander", "secure", "syncing"
COLLECTOR = "collector"
PLANNER = "planner"
WAYS = ("direct", "plain", "tls")
WAITERS = {(command, way): f"waiter{command.lower()}{way}" for command in ("Ping", "Sync") for way in WAYS}
CUT = {dialect: f"cut{dialect.name}" for dialect in DIALECTS}
SECOND = {name: f"second{name}" for name in ("direct", "tls", "cut")}
USERS = (
    READER,
    COLLEAGUE,
    BYSTANDER,
    SECURE,
    SYNCING,
    COLLECTOR,
    PLANNER,
    *WAITERS.values(),
    *CUT.values(),
    *SECOND.values(),
)
ATTACHMENT = os.urandom(2**20)
HUGE = os.urandom(10 * 2**20)
"""In few dialects only: SOGo takes seconds for each."""


MakePhone = Callable[[Account], Phone]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to SOGo."""

    url: str
    trusted: ssl.SSLContext | None = None

    def account(self, user: str, device_id: str, dialect: Dialect) -> Account:
        """Of a phone that comes this way."""
        return Account(self.url, user, device_id, dialect.version, dialect.base64_query, trusted=self.trusted)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The mail site with what the reader finds in the Inbox."""
    if reason := missing():
        pytest.skip(reason)
    with running_site(USERS) as site:
        site.mail.send(READER, "Minutes", "The minutes of the last meeting.\n")
        site.mail.send(READER, "Grüße", "Schöne Grüße aus Zürich, 5 € für Kaffee ☕\n")
        site.mail.send(READER, "Large", attachment=ATTACHMENT)
        site.mail.send(COLLECTOR, "Huge", attachment=HUGE)
        for subject in ("Minutes", "Large"):
            site.mail.until_arrived(READER, subject)
        site.mail.until_arrived(COLLECTOR, "Huge")
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A gateway without TLS, of two workers, that enforces a ban."""
    async with running(tmp_path_factory.mktemp("plain"), site.plain, workers=2) as gateway:
        await enforce_tiktok(gateway)
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opened_gateway(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A gateway at which calendars and address books are open under the verdict."""
    environment = {"GATEPOST_WEBMAIL__DAV": "verdict", "GATEPOST_WEBMAIL__DAV_PATHS": "/SOGo/dav"}
    async with running(tmp_path_factory.mktemp("opened"), site.plain, environment=environment) as gateway:
        await enforce_tiktok(gateway)
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def secure_gateway(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A gateway with TLS on both sides that enforces a ban."""
    made = site.certificates
    tables = f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"\n'
    environment = {"GATEPOST_HTTP__LISTEN": "https://127.0.0.1:0", "GATEPOST_HTTP__UPSTREAM_CA": str(made.authority)}
    directory: Path = tmp_path_factory.mktemp("tls")
    async with running(directory, site.tls, more=tables, environment=environment) as gateway:
        await enforce_tiktok(gateway)
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ways(site: Site, gateway: Running, secure_gateway: Running) -> dict[str, Way]:
    """Every way to SOGo by its name."""
    return {
        "direct": Way(site.plain),
        "plain": Way(gateway.http),
        "tls": Way(secure_gateway.http, site.certificates.trust()),
    }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def agent(gateway: Running) -> AsyncIterator[Agent]:
    """Reports to the gateway without TLS."""
    async with agent_of(gateway) as agent:
        yield agent


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def secure_agent(secure_gateway: Running) -> AsyncIterator[Agent]:
    """Reports to the gateway with TLS."""
    async with agent_of(secure_gateway) as agent:
        yield agent


@pytest_asyncio.fixture(loop_scope="session")
async def phone() -> AsyncIterator[MakePhone]:
    """Makes phones, and hangs them up after the test."""
    made: list[Phone] = []

    def make(account: Account) -> Phone:
        made.append(Phone(account))
        return made[-1]

    yield make
    for each in made:
        each.hang_up()


def subject(dialect: Dialect, way: str) -> str:
    """Of the mail that is written in one conversation; no other's contains it."""
    return f"by {way} in {dialect}."


FIRST = Dialect("14.1"), "first"


class Conversations:
    """What was said by each way in each dialect; held once, however many tests look at it."""

    def __init__(self, ways: dict[str, Way]) -> None:
        self._ways = ways
        self._held: dict[tuple[Dialect, str], Conversation] = {}

    async def by(self, dialect: Dialect, way: str) -> Conversation:
        """The conversation in a dialect by a way."""
        if not self._held and (dialect, way) != FIRST:
            # The first conversation of all marks a mail as answered and makes folders, which the next one would see.
            await self.by(*FIRST)
        if (dialect, way) not in self._held:
            account = self._ways.get(way, self._ways["direct"]).account(READER, f"{way}{dialect.name}", dialect)
            self._held[dialect, way] = await converse(account, COLLEAGUE, subject(dialect, way))
        return self._held[dialect, way]


@pytest.fixture(scope="session")
def conversations(ways: dict[str, Way]) -> Conversations:
    """What phones and SOGo have said to each other."""
    return Conversations(ways)
