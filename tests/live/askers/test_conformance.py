"""One and the same request through every real web server, for people of every kind: the verdict is Gatepost's own.

``docs/conformance.md`` has the table by the wire, which ``tests/conformance`` makes; this is the same for
clients of the real programs, by the examples. ``WRITE_SEEN=1`` writes it there.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.verdict import Effect
from tests.conformance.people import LOGIN, PEOPLE, Person
from tests.conformance.ways import Answered, WrittenDown
from tests.live.askers.from_wheels import until_served
from tests.live.askers.web_servers import NAMES, Asked, missing_web, start_web
from tests.live.children import Child, free_ports
from tests.support import raw_http
from tests.support.asking import Asking, asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
BEGIN, END = "<!-- real servers begin -->\n", "<!-- real servers end -->\n"
ASKED = raw_http.request(eas("FolderSync", LOGIN, "ANNAPHONE"), FOLDER_SYNC, user=LOGIN, Host="localhost")
SEEN: dict[tuple[str, str], str] = {}


@dataclass(slots=True)
class Servers:
    """Those that are installed, each before one mail server, and whom they ask."""

    gatepost: Asking
    made: Certificates
    written: WrittenDown = field(default_factory=WrittenDown)
    ports: dict[str, int] = field(default_factory=dict)

    async def know(self, person: Person) -> None:
        """Judge by what is known of that person from now on, and by nothing else."""
        self.gatepost.evidence.records.clear()
        person.arrange(self.gatepost.evidence)
        self.gatepost.decision.suspect_everybody()
        policy = person.policy()
        # Verdicts are remembered by this number.
        version = replace(policy.version, number=100 + PEOPLE.index(person))
        await self.gatepost.decision.use(replace(policy, version=version))

    async def ask(self, name: str) -> Answered:
        """Anna's phone, through one of them."""
        self.written.first = None
        client = await Client.connected(f"https://localhost:{self.ports[name]}", tls=self.made.trust())
        try:
            return self.written.answered(told(await client.ask(ASKED)))
        finally:
            client.close()


def told(answer: HttpAnswer) -> Effect:
    """As the phone understands it."""
    if answer.status == 200 and answer.body == f"mail for {LOGIN}".encode():
        return Effect.ALLOW
    if b"129" in answer.body:
        return Effect.DENY
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    return Effect.DEFER


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(ground: Path, made: Certificates) -> AsyncIterator[Servers]:
    home = ground / "conformance"
    home.mkdir()
    home.chmod(0o755)
    children: list[Child] = []
    async with mailbox_server() as mailbox, asking(home) as gatepost:
        found = Servers(gatepost, made)
        found.written.listen(gatepost.decision)
        asked = Asked(*map(_port, (gatepost.http, gatepost.haproxy, f"grpc://{await gatepost.for_envoy()}")))
        for name, title in NAMES.items():
            if not missing_web(name):
                (port,) = free_ports(1)
                children.append(start_web(name, home / name, asked, listen=port, mail=_port(mailbox.url), made=made))
                found.ports[title] = port
                if name == "traefik":
                    await until_served(port, made)
        if not found.ports:
            pytest.skip(missing_web("nginx"))
        yield found
        for child in children:
            child.stop()
    if os.environ.get("WRITE_SEEN"):
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(found.ports) + END + rest.partition(END)[2], "utf-8")


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def table(names: dict[str, int]) -> str:
    """What was seen, in Markdown."""
    lines = [f"| | {' | '.join(names)} | reason |", "|---" * (len(names) + 2) + "|"]
    for person in PEOPLE:
        reason = person.of(IdentityStrength.DEVICE_ID)[1]
        lines.append(f"| {person.name} | {' | '.join(SEEN[name, person.name] for name in names)} | `{reason.value}` |")
    return "\n".join(lines) + "\n"


def on_the_page() -> dict[tuple[str, str], str]:
    """What the documentation says, by server and person."""
    lines = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return {(name, row[0]): cell for row in rows for name, cell in zip(head[1:], row[1:], strict=True)}


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
async def test_every_real_server_gives_the_same_verdict(servers: Servers, person: Person) -> None:
    effect, reason = person.of(IdentityStrength.DEVICE_ID)
    await servers.know(person)
    documented = {} if os.environ.get("WRITE_SEEN") else on_the_page()
    asked = set()
    for name in servers.ports:
        answered = await servers.ask(name)
        SEEN[name, person.name] = answered.told.name
        assert answered.told is answered.verdict.effect is effect, name
        assert answered.verdict.reason is reason, name
        assert (answered.asked.strength, answered.asked.protocol) == (IdentityStrength.DEVICE_ID, Protocol.ACTIVESYNC)
        assert documented.get((name, person.name), effect.name) == effect.name
        asked.add(answered.asked._replace(client_address=""))
    # One and the same question, too.
    assert len(asked) == 1


async def test_the_page_has_every_server_and_person() -> None:
    assert set(on_the_page()) >= {(title, person.name) for title in NAMES.values() for person in PEOPLE}
