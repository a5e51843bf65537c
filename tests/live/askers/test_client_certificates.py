"""Web servers hand on their client's certificate by the lines of docs/external-authorization.md."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.from_wheels import until_served
from tests.live.askers.web_servers import Asked, missing_web, start_web
from tests.live.children import free_ports
from tests.network.authority import Authority
from tests.support import raw_http
from tests.support.asking import Asking, asking
from tests.support.certified import Enrolment
from tests.support.fronted import TIKTOK
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
"""FolderSync, Status 129."""
ANNA = "anna@corp.example"
ANNAS = raw_http.request(eas("FolderSync", "anna", "ANNAPHONE"), FOLDER_SYNC, user="anna", Host="localhost")


@dataclass(frozen=True, slots=True)
class Handing:
    """One of them, in whose place clients come."""

    url: str
    gatepost: Asking
    enrolment: Enrolment

    async def ask(self, tls: ssl.SSLContext, octets: bytes = ANNAS) -> HttpAnswer:
        """One request on a connection of its own."""
        client = await Client.connected(self.url, tls=tls)
        try:
            return await client.ask(octets)
        finally:
            client.close()


@pytest.fixture(scope="module")
def enrolment(ground: Path) -> Enrolment:
    directory = ground / "enrolment"
    directory.mkdir()
    return Enrolment(Authority(directory))


BELIEVED = {"caddy": "forward"}
"""As the settings call it; all others are called as they are."""


@asynccontextmanager
async def believing(directory: Path, enrolment: Enrolment, name: str) -> AsyncIterator[Asking]:
    """What it asks: Anna's one phone is clean, her other one is not."""
    directory.mkdir()  # noqa: ASYNC240
    believed = frozenset((BELIEVED.get(name, name),))
    async with asking(directory, enrolment.reader(), certificates_from=believed) as made:
        made.evidence.put(ANNA, "other", TIKTOK, keys=("serial:dirty",))
        made.decision.changed(ANNA, made.evidence.put(ANNA, "annaphone", keys=("serial:f9fxj0",)))
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mailbox() -> AsyncIterator[MailboxServer]:
    async with mailbox_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["nginx", "caddy", "haproxy", "traefik", "envoy"])
async def handing(
    request: pytest.FixtureRequest, ground: Path, enrolment: Enrolment, mailbox: MailboxServer
) -> AsyncIterator[Handing]:
    """Each of them in turn; of Envoy over HTTP none is taken."""
    name = str(request.param)
    if reason := missing_web(name):
        pytest.skip(reason)
    (listen,) = free_ports(1)
    shown = enrolment.shown
    made = Certificates(enrolment.authority.certificate, shown.certificate, shown.key)
    async with believing(ground / f"believing-{name}", enrolment, name) as gatepost:
        envoy = await gatepost.for_envoy() if name == "envoy" else ":0"
        asked = Asked(port_of(gatepost.http), port_of(gatepost.haproxy), port_of(f"grpc://{envoy}"))
        directory, mail = ground / f"handing-{name}", port_of(mailbox.url)
        child = start_web(name, directory, asked, listen=listen, mail=mail, made=made, handing_on=True)
        if name == "traefik":
            await until_served(listen, made)
        yield Handing(f"https://localhost:{listen}", gatepost, enrolment)
        child.stop()


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


async def test_the_device_of_the_certificate_answers_too(handing: Handing) -> None:
    enrolment = handing.enrolment
    for tls in (enrolment.client(None), enrolment.device(ANNA, "F9FXJ0")):
        assert (await handing.ask(tls)).body == b"mail for anna"
    # The clean phone's DeviceId, typed into the other one.
    assert (await handing.ask(enrolment.device(ANNA, "DIRTY"))).body == BLOCKED
    assert (await handing.ask(enrolment.device("bert@corp.example", "F9FXJ0"))).status == 401


async def test_a_certificate_in_a_header_of_the_client_s_own_counts_for_nothing(handing: Handing) -> None:
    lines = handing.enrolment.issue(ANNA, "DIRTY").certificate.read_text().split("-----")[2]
    dirty = "".join(lines.split())
    forged = raw_http.request(
        eas("FolderSync", "anna", "ANNAPHONE"),
        FOLDER_SYNC,
        user="anna",
        Host="localhost",
        X_Client_Cert=dirty,
        X_Client_Cert_Verify="SUCCESS",
        X_Forwarded_Tls_Client_Cert=dirty,
        X_Forwarded_Client_Cert=f'Hash=0;Cert="{dirty}"',
    )
    assert (await handing.ask(handing.enrolment.client(None), forged)).body == b"mail for anna"


async def test_revoked_it_is_refused(handing: Handing) -> None:
    issued = handing.enrolment.issue(ANNA, "F9FXJ0")
    tls = handing.enrolment.client(issued)
    assert (await handing.ask(tls)).body == b"mail for anna"
    handing.enrolment.revoke(issued)
    assert handing.gatepost.certificates is not None
    handing.gatepost.certificates.reload(handing.gatepost.decision)
    assert (await handing.ask(tls)).body == BLOCKED
