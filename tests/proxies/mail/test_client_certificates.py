"""The client certificate by IMAP and POP3: within TLS from the start and after STARTTLS, and over a session's life."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog

from gateway.domain.access import Protocol
from gateway.domain.credential import DeviceCredential, digest_of
from gateway.domain.shown import Demand, Demands
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from gateway.proxies.mail.spoken import Spoken
from tests.network.authority import Authority
from tests.proxies.mail.conversations import ANNA, LOGGED_IN, LOGGED_IN_AS_TOLD, LOGIN, asked
from tests.support.certified import Enrolment
from tests.support.fronted import TIKTOK
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer, mail_fronted

WRONG = b"a NO [AUTHENTICATIONFAILED]"
KEY = "serial:f9fxj0"
ID, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def enrolment(authority: Authority) -> Enrolment:
    return Enrolment(authority)


@asynccontextmanager
async def serving(
    enrolment: Enrolment,
    server: ScriptedServer,
    spoken: Spoken = IMAP,
    demands: Demands | None = None,
    *,
    secure: bool = True,
) -> AsyncIterator[MailFronted]:
    """A front that asks for certificates. Anna's laptop is clean and reported, her phone is dirty."""
    url = f"{spoken.protocol.value}://127.0.0.1:{server.port}"
    async with mail_fronted(
        *(spoken, url, enrolment.server((spoken.alpn,))),
        secure=secure,
        certificates=enrolment.reader(),
        demands=demands,
    ) as gateway:
        gateway.evidence.put(ANNA, "phone", TIKTOK)
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "laptop", keys=(KEY,)))
        yield gateway


async def greeted(gateway: MailFronted, tls: ssl.SSLContext) -> Peer:
    client = await gateway.client(trusted=tls)
    assert (await client.line()).startswith((b"* OK [CAPABILITY IMAP4rev1 ", b"+OK "))
    return client


async def logged_in(gateway: MailFronted, server: ScriptedServer, tls: ssl.SSLContext) -> Peer:
    client = await greeted(gateway, tls)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    return client


async def test_the_device_of_the_certificate_decides(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server) as gateway:
        await logged_in(gateway, server, enrolment.device(ANNA, "F9FXJ0"))
        # Without it all devices answer, the dirty phone among them.
        client = await greeted(gateway, enrolment.client(None))
        client.send(LOGIN)
        (await asked(server)).send(LOGGED_IN)
        assert (await client.line()).startswith(b"* NO [ALERT]")


async def test_after_starttls(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server, secure=False) as gateway:
        client = await gateway.client()
        await client.line()
        assert (await client.ask(b"s STARTTLS\r\n")).startswith(b"s OK")
        await client.start_tls(enrolment.device(ANNA, "F9FXJ0"))
        client.send(LOGIN)
        (await asked(server)).send(LOGGED_IN)
        await client.expect(LOGGED_IN_AS_TOLD)


async def test_of_another_user_it_is_a_wrong_login(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server) as gateway:
        client = await greeted(gateway, enrolment.device("bert@corp.example", "F9FXJ0"))
        with structlog.testing.capture_logs() as logs:
            assert (await client.ask(LOGIN)).startswith(WRONG)
        (line,) = [each for each in logs if each["event"] == "certificate_wrong"]
        assert (line["login"], line["protocol"]) == (ANNA, "imap")
        assert server.unasked
        assert gateway.logins("wrong_credential") == 1


async def test_of_a_device_that_nobody_reports_all_devices_answer(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server) as gateway:
        client = await greeted(gateway, enrolment.device(ANNA, "NOBODY"))
        client.send(LOGIN)
        (await asked(server)).send(LOGGED_IN)
        assert (await client.line()).startswith(b"* NO [ALERT]")


async def test_expired_it_does_not_get_in(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server) as gateway:
        try:
            client = await gateway.client(trusted=enrolment.expired(ANNA, "F9FXJ0"))
            said = await client.line()
        except (ssl.SSLError, ConnectionError):
            said = b""
        assert said == b""


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_its_end_cuts_an_idling_session(enrolment: Enrolment, server: ScriptedServer, end: str) -> None:
    async with serving(enrolment, server) as gateway:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client = await logged_in(gateway, server, enrolment.client(issued))
        other = await logged_in(gateway, server, enrolment.device(ANNA, "F9FXJ0"))
        assert gateway.certificates is not None
        with structlog.testing.capture_logs() as logs:
            if end == "revoked":
                enrolment.revoke(issued)
                gateway.certificates.reload(gateway.decision)
            else:
                gateway.now.ahead = 86_400.0 + 60.0
                await gateway.decision.rejudge_all()
            said = await client.rest()
            await gateway.decision.afterwards.close()
        assert said.startswith(b"* BYE [ALERT] Mail on this device is blocked by your organization.")
        assert b"The client certificate of this device was revoked or has expired." in said
        assert next(each["reason"] for each in logs if each["event"] == "cut") == "certificate_ended"
        if end == "revoked":
            other.send(b"b NOOP\r\n")
            assert await server.peers[-1].line() == b"b NOOP\r\n"
            # A new handshake does not get in with it once listeners have read the list; a login on a connection that
            # stood before is told why.
            client = await greeted(gateway, enrolment.client(issued))
            client.send(LOGIN)
            (await asked(server)).send(LOGGED_IN)
            assert b"revoked or has expired" in await client.line()


async def test_beside_a_device_credential_both_answer(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server) as gateway:
        held = (DeviceCredential(ID, digest_of(ID, SECRET), "phone"),)
        gateway.evidence.sequence += 1
        record = replace(gateway.evidence.records[ANNA], credentials=held, sequence=gateway.evidence.sequence)
        gateway.evidence.records[ANNA] = record
        gateway.decision.changed(ANNA, record.sequence)
        client = await greeted(gateway, enrolment.device(ANNA, "F9FXJ0"))
        client.send(b'a LOGIN "%b%%%b-%b" "secret"\r\n' % (ANNA.encode(), ID.encode(), SECRET.encode()))
        (await asked(server)).send(LOGGED_IN)
        assert (await client.line()).startswith(b"* NO [ALERT]")


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand.CERTIFICATE, b"opens only with the client certificate of a managed device"),
        (Demand.CREDENTIAL, b"opens only with a device credential behind the user name"),
        (Demand.EITHER, b"or with a device credential behind the user name"),
    ],
)
async def test_what_is_demanded_is_told(
    enrolment: Enrolment, server: ScriptedServer, demand: Demand, words: bytes
) -> None:
    async with serving(enrolment, server, demands={Protocol.IMAP: demand}) as gateway:
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "phone"))
        client = await greeted(gateway, enrolment.client(None))
        client.send(LOGIN)
        (await asked(server)).send(LOGGED_IN)
        assert words in await client.line()
        assert (await client.line()).startswith(b"a NO [CONTACTADMIN]")
        if demand is not Demand.CREDENTIAL:
            await logged_in(gateway, server, enrolment.device(ANNA, "F9FXJ0"))


async def test_by_pop3(enrolment: Enrolment, server: ScriptedServer) -> None:
    async with serving(enrolment, server, POP3, {Protocol.POP3: Demand.CERTIFICATE}) as gateway:
        client = await greeted(gateway, enrolment.device("bert@corp.example", "F9FXJ0"))
        assert (await client.ask(b"USER %b\r\n" % ANNA.encode())).startswith(b"+OK")
        assert (await client.ask(b"PASS secret\r\n")).startswith(b"-ERR [AUTH]")
        assert server.unasked
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client, peer = await logged_in_by_pop3(gateway, server, enrolment.client(issued))
        assert (await client.line()).startswith(b"+OK")
        enrolment.revoke(issued)
        assert gateway.certificates is not None
        gateway.certificates.reload(gateway.decision)
        # POP3 has no word for it.
        assert await client.rest() in (b"", b"(reset)")
        client, peer = await logged_in_by_pop3(gateway, server, enrolment.client(None))
        assert b"client certificate of a managed device" in await client.line()
        peer.close()


async def logged_in_by_pop3(gateway: MailFronted, server: ScriptedServer, tls: ssl.SSLContext) -> tuple[Peer, Peer]:
    """As far as the mail server has accepted the password."""
    client = await greeted(gateway, tls)
    assert (await client.ask(b"USER %b\r\n" % ANNA.encode())).startswith(b"+OK")
    client.send(b"PASS secret\r\n")
    peer = await server.accepted()
    peer.send(b"+OK ready\r\n")
    line = await peer.line()
    while b"CAPA" in line:
        peer.send(b"+OK\r\nSASL PLAIN\r\nUSER\r\n.\r\n")
        line = await peer.line()
    if line.startswith(b"AUTH PLAIN\r"):
        peer.send(b"+ \r\n")
        await peer.line()
    elif line.startswith(b"USER"):
        peer.send(b"+OK\r\n")
        await peer.line()
    peer.send(b"+OK Logged in.\r\n")
    return client, peer
