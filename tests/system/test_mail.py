"""The whole gateway with IMAP and POP3: from the settings to a session, its cut by a report, a reload and the end."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.network.authority import Authority, Issued
from tests.support.mail_fronted import Peer, ScriptedServer, scripted_server
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running, stop
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"
WITHIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway of two workers before a mail server in the test's hands."""

    gateway: Running
    server: ScriptedServer
    agent: Agent
    authority: Authority
    shown: Issued
    """What the listeners show, as files."""

    async def client(self, trust: ssl.SSLContext) -> Peer:
        """A mail program that has been greeted."""
        port = urlsplit(self.gateway.listening["imap"][0]).port
        opened = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="127.0.0.1")
        peer = Peer(*opened)
        assert (await peer.line()).startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        return peer

    async def report(self, user: str, *apps: str) -> None:
        """What is on the user's one phone."""
        event = self.agent.event(f"{user}@corp.example", "", (*HARMLESS, *apps), device=f"phone-of-{user}")
        assert (await self.agent.send(event)).status_code == 202

    async def idling(self, user: str) -> tuple[Peer, Peer]:
        """A session that waits for mail, as client and mail server have it."""
        client = await self.client(self.authority.trust())
        client.send(b'a LOGIN "%b" "secret"\r\n' % user.encode())
        peer = await self.asked()
        peer.send(b"a OK Logged in\r\n")
        await client.expect(b"a OK Logged in\r\n")
        client.send(b"b IDLE\r\n")
        await peer.expect(b"b IDLE\r\n")
        peer.send(b"+ idling\r\n")
        await client.expect(b"+ idling\r\n")
        return client, peer

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
    directory: Path = tmp_path_factory.mktemp("mail")
    authority = Authority(directory)
    shown = authority.issue()
    async with scripted_server() as server:
        more = (
            f'[tls]\ncertificate = "{shown.certificate}"\nkey = "{shown.key}"\n'
            f'[identity]\ndefault_domain = "corp.example"\n'
            f'[imap]\nlisten = "imaps://127.0.0.1:0"\nupstream = "imap://127.0.0.1:{server.port}"\n'
        )
        async with (
            running(directory, "http://127.0.0.1:9", workers=2, more=more) as gateway,
            agent_of(gateway) as agent,
        ):
            await enforce_tiktok(gateway, "Remove it.")
            yield Office(gateway, server, agent, authority, shown)


async def test_a_report_cuts_a_waiting_session_and_a_clean_one_gives_mail_back(office: Office) -> None:
    await office.report("anna")
    client, _ = await office.idling("anna")
    await office.report("anna", TIKTOK)
    said = await client.rest()
    assert said.startswith(b"* BYE [ALERT] Mail on this device is blocked")
    assert b"Remove it." in said
    client = await office.client(office.authority.trust())
    client.send(b'a LOGIN "anna" "secret"\r\n')
    (await office.asked()).send(b"a OK Logged in\r\n")
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    client.close()
    await office.report("anna")
    client, _ = await office.idling("anna")
    client.close()


async def test_everybody_else_goes_on(office: Office) -> None:
    await office.report("bert")
    await office.report("carl")
    waiting, its_server = await office.idling("bert")
    cut, _ = await office.idling("carl")
    await office.report("carl", TIKTOK)
    assert (await cut.rest()).startswith(b"* BYE [ALERT]")
    waiting.send(b"DONE\r\n")
    assert await its_server.line() == b"DONE\r\n"
    waiting.close()


async def test_one_switch_gives_everybody_mail(office: Office) -> None:
    await office.report("dora", TIKTOK)
    await office.gateway.gatepost("flag", "set", "TikTok", "off", "--protocol", "imap", "--yes")
    client, _ = await office.idling("dora")
    await office.gateway.gatepost("flag", "set", "TikTok", "enforce", "--protocol", "imap", "--yes")
    assert (await client.rest()).startswith(b"* BYE [ALERT]")


async def test_a_device_credential_names_the_device_until_it_is_revoked(office: Office) -> None:
    """By the commands, through the store and the change log, to the worker that has the session."""
    await office.report("fred")
    dirty = office.agent.event("fred@corp.example", "", (*HARMLESS, TIKTOK), device="tablet-of-fred")
    assert (await office.agent.send(dirty)).status_code == 202
    client = await office.client(office.authority.trust())
    client.send(b'a LOGIN "fred" "secret"\r\n')
    (await office.asked()).send(b"a OK Logged in\r\n")
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    client.close()
    phone = ("--source", "agents", "--source-device", "android/phone-of-fred")
    name = (await office.gateway.gatepost("credential", "issue", "fred", *phone)).strip()
    credential_id = name.rpartition("%")[2].partition("-")[0]
    client, _ = await office.idling(name)
    await office.gateway.gatepost("credential", "revoke", credential_id, "--yes")
    assert (await client.rest()).startswith(b"* BYE [ALERT]")
    client = await office.client(office.authority.trust())
    assert (await client.ask(b'a LOGIN "%b" "secret"\r\n' % name.encode())).startswith(b"a NO [AUTHENTICATIONFAILED]")
    client.close()


async def test_it_is_told_of(office: Office) -> None:
    checking = asyncio.create_task(office.gateway.gatepost("check", "--json", expect=1))
    peer = await office.server.accepted()
    peer.send(GREETING)
    assert await peer.line() == b"g LOGOUT\r\n"
    await checking
    async with office.gateway.api() as api:
        metrics = (await api.get(office.gateway.admin + "/metrics")).text
    assert 'gatepost_mail_sessions_total{protocol="imap",how="cut"}' in metrics or (
        'gatepost_mail_sessions_total{how="cut",protocol="imap"}' in metrics
    )


async def test_a_new_certificate_is_shown_and_the_end_is_said(office: Office) -> None:
    await office.report("eva")
    client, _ = await office.idling("eva")
    another = Authority(office.authority.directory, name="two")
    office.shown.replace(another.issue())
    office.gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await knows(office, another):  # noqa: ASYNC110  (only a handshake tells)
            await asyncio.sleep(0.05)
    # The session has not noticed; now it rests, and is ended with a word.
    ending = asyncio.create_task(stop(office.gateway.process))
    assert await client.rest() == b"* BYE The mail gateway restarts. Mail comes back at once.\r\n"
    await ending


async def knows(office: Office, authority: Authority) -> bool:
    """Whether a new connection is shown a certificate by that authority."""
    try:
        (await office.client(authority.trust())).close()
    except ssl.SSLError:
        return False
    return True
