"""The whole gateway with client certificates: from settings and reports to a session, its cut by a new list, why."""

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.network.authority import Authority
from tests.support.certified import Enrolment
from tests.support.mail_fronted import Peer, ScriptedServer, scripted_server
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"
LOGIN = b'a LOGIN "anna" "secret"\r\n'
ANNA = "anna@corp.example"


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway of two workers before a mail server in the test's hands. Anna's phone is dirty, her laptop clean."""

    gateway: Running
    server: ScriptedServer
    agent: Agent
    enrolment: Enrolment

    async def client(self, tls: ssl.SSLContext) -> Peer:
        """A mail program that has been greeted."""
        port = urlsplit(self.gateway.listening["imap"][0]).port
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1"))
        assert (await peer.line()).startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        return peer

    async def report(self, device: str, *apps: str) -> None:
        """What is on a device of Anna's; it has no mail device of its own."""
        event = self.agent.event(ANNA, "", (*HARMLESS, *apps), device=device)
        assert (await self.agent.send(event)).status_code == 202

    async def logged_in(self, tls: ssl.SSLContext) -> bytes:
        """What a login is told in the end."""
        client = await self.client(tls)
        client.send(LOGIN)
        (await self.asked()).send(b"a OK Logged in\r\n")
        try:
            return await client.line()
        finally:
            client.close()

    async def session(self, tls: ssl.SSLContext) -> Peer:
        """A session that stands."""
        client = await self.client(tls)
        client.send(LOGIN)
        (await self.asked()).send(b"a OK Logged in\r\n")
        await client.expect(b"a OK Logged in\r\n")
        return client

    async def asked(self) -> Peer:
        """The mail server's connection on which a login is asked about; those that only look at it are let go."""
        while True:
            peer = await self.server.accepted()
            peer.send(GREETING)
            if (await peer.line()).startswith(b"a AUTHENTICATE PLAIN "):
                return peer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Ready, with a ban that is enforced."""
    directory: Path = tmp_path_factory.mktemp("certificates")
    enrolment = Enrolment(Authority(directory))
    async with scripted_server() as server:
        more = (
            f'[tls]\ncertificate = "{enrolment.shown.certificate}"\nkey = "{enrolment.shown.key}"\n'
            f'client_ca = "{enrolment.authority.certificate}"\nclient_crl = "{enrolment.crl}"\n'
            '[identity]\ndefault_domain = "corp.example"\ncertificate_user = "email"\n'
            'certificate_device = "subject_serial"\ncertificate_device_key = "mdm_id"\n'
            'demand = { pop3 = "certificate" }\n'
            f'[imap]\nlisten = "imaps://127.0.0.1:0"\nupstream = "imap://127.0.0.1:{server.port}"\n'
        )
        async with (
            running(directory, "http://127.0.0.1:9", workers=2, more=more) as gateway,
            agent_of(gateway) as agent,
        ):
            await enforce_tiktok(gateway)
            made = Office(gateway, server, agent, enrolment)
            await made.report("phone", TIKTOK)
            await made.report("laptop")
            yield made


async def test_a_report_decides_for_the_device_that_the_certificate_names(office: Office) -> None:
    laptop = office.enrolment.device(ANNA, "LAPTOP")
    assert (await office.logged_in(office.enrolment.client(None))).startswith(b"* NO [ALERT]")
    client = await office.session(laptop)
    await office.report("laptop", TIKTOK)
    assert (await client.rest()).startswith(b"* BYE [ALERT]")
    await office.report("laptop")
    assert await office.logged_in(laptop) == b"a OK Logged in\r\n"


async def test_a_new_list_cuts_what_came_by_a_revoked_one(office: Office) -> None:
    lost, kept = office.enrolment.issue(ANNA, "LAPTOP"), office.enrolment.issue(ANNA, "LAPTOP")
    cut, other = [await office.session(office.enrolment.client(each)) for each in (lost, kept)]
    office.enrolment.revoke(lost)
    office.gateway.process.send_signal(signal.SIGHUP)
    said = await cut.rest()
    assert said.startswith(b"* BYE [ALERT]")
    assert b"revoked or has expired" in said
    async with asyncio.timeout(20):
        # The other worker hears of it in the same moment, but not in the same instant.
        while await gets_in(office, office.enrolment.client(lost)):  # noqa: ASYNC110  (only a handshake tells)
            await asyncio.sleep(0.05)
    other.close()
    assert await office.logged_in(office.enrolment.client(kept)) == b"a OK Logged in\r\n"


async def gets_in(office: Office, tls: ssl.SSLContext) -> bool:
    """Whether a handshake succeeds; by TLS 1.3 a client may believe so until it reads."""
    try:
        (await office.client(tls)).close()
    except (ssl.SSLError, ConnectionError, AssertionError):
        return False
    return True


async def test_why_tells_what_comes_of_a_certificate(office: Office) -> None:
    async def told(*words: str) -> dict[str, object]:
        said = await office.gateway.gatepost("why", "anna", *words, "--json")
        found: dict[str, object] = json.loads(said)
        return found

    answers = (await told("--protocol", "imap", "--certificate", "mdm_id:Laptop"))["answers"]
    assert [(each["effect"], each["identity"]) for each in answers] == [("allow", "client_certificate")]  # type: ignore[attr-defined]
    answers = (await told("--protocol", "imap", "--certificate", "mdm_id:phone"))["answers"]
    assert [(each["effect"], each["reason"]) for each in answers] == [("deny", "banned_app")]  # type: ignore[attr-defined]
    unknown = await told("--protocol", "pop3", "--certificate", "serial:nobody")
    assert unknown["demand"] == "certificate"
    words = await office.gateway.gatepost("why", "anna", "--protocol", "pop3", "--certificate", "serial:nobody")
    assert "By pop3 nobody gets in without a client certificate" in words
