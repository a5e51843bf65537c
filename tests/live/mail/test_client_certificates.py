"""curl and Python's own client show a client certificate to a gateway before a real Dovecot, where one is demanded."""

import asyncio
import imaplib
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.mail.conftest import CERTIFIED, DOMAIN
from tests.live.mail.dovecot import Dovecot
from tests.live.mail_servers import PASSWORD
from tests.network.authority import Authority, Issued
from tests.support.certified import Enrolment
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

LOGIN_DENIED = 67
"""CURLE_LOGIN_DENIED."""


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway by which nobody reads mail without a certificate; the user's laptop is clean, the phone is not."""

    gateway: Running
    agent: Agent
    enrolment: Enrolment

    @property
    def port(self) -> int:
        """Of ``imaps``."""
        port = urlsplit(self.gateway.listening["imap"][0]).port
        assert port is not None
        return port

    def issue(self, device: str, user: str = CERTIFIED, ends: datetime | None = None) -> Issued:
        """For a device of a user."""
        return self.enrolment.issue(f"{user}@{DOMAIN}", device, ends)

    async def curl(self, issued: Issued | None) -> subprocess.CompletedProcess[bytes]:
        """List the mailboxes."""
        words = ["curl", "-sS", "--max-time", "30", "--cacert", str(self.enrolment.authority.certificate)]
        if issued is not None:
            words += ["--cert", str(issued.certificate), "--key", str(issued.key)]
        words += ["-u", f"{CERTIFIED}:{PASSWORD}", f"imaps://127.0.0.1:{self.port}/"]
        return await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False, timeout=60)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    directory: Path = tmp_path_factory.mktemp("certified")
    enrolment = Enrolment(Authority(directory))
    more = (
        f'[tls]\ncertificate = "{enrolment.shown.certificate}"\nkey = "{enrolment.shown.key}"\n'
        f'client_ca = "{enrolment.authority.certificate}"\nclient_crl = "{enrolment.crl}"\n'
        f'[identity]\ndefault_domain = "{DOMAIN}"\ncertificate_user = "email"\ncertificate_device = "subject_serial"\n'
        'certificate_device_key = "mdm_id"\ndemand = { imap = "certificate" }\n'
        f'[imap]\nlisten = "imaps://127.0.0.1:0"\nupstream = "{dovecot.url("imaps")}"\n'
        f'upstream_ca = "{dovecot.certificates.authority}"\n'
    )
    async with running(directory, "http://127.0.0.1:9", more=more) as gateway, agent_of(gateway) as agent:
        await enforce_tiktok(gateway)
        for device, apps in (("laptop", HARMLESS), ("phone", (*HARMLESS, TIKTOK))):
            event = agent.event(f"{CERTIFIED}@{DOMAIN}", "", apps, device=device)
            assert (await agent.send(event)).status_code == 202
        yield Office(gateway, agent, enrolment)


async def test_what_curl_sees_of_its_certificate(office: Office) -> None:
    right = await office.curl(office.issue("LAPTOP"))
    assert (right.returncode, b"INBOX" in right.stdout) == (0, True)
    for refused in (None, office.issue("PHONE"), office.issue("LAPTOP", "somebody")):
        assert (await office.curl(refused)).returncode == LOGIN_DENIED
    expired = await office.curl(office.issue("LAPTOP", ends=datetime.now(UTC) - timedelta(hours=1)))
    assert expired.returncode not in (0, LOGIN_DENIED)
    assert b"alert" in expired.stderr


async def test_python_s_own_client_is_cut_when_it_is_revoked(office: Office) -> None:
    issued = office.issue("LAPTOP")
    session = await asyncio.to_thread(
        imaplib.IMAP4_SSL, "127.0.0.1", office.port, ssl_context=office.enrolment.client(issued), timeout=60
    )
    await asyncio.to_thread(session.login, CERTIFIED, PASSWORD)
    assert (await asyncio.to_thread(session.select))[0] == "OK"
    office.enrolment.revoke(issued)
    office.gateway.process.send_signal(signal.SIGHUP)
    said = await asyncio.to_thread(session.readline)
    assert said.startswith(b"* BYE [ALERT]")
    assert b"revoked or has expired" in said
    await asyncio.to_thread(session.shutdown)
    revoked = await office.curl(issued)
    assert revoked.returncode not in (0, LOGIN_DENIED)
    assert b"revoked" in revoked.stderr
