"""Device credentials by IMAP and POP3: judged by their own device, cut when revoked, never passed on."""

import base64
from dataclasses import replace

import pytest
import structlog

from gateway.domain.credential import DeviceCredential, digest_of
from tests.proxies.mail.conversations import ANNA, LOGGED_IN, LOGGED_IN_AS_TOLD, asked, greeted
from tests.support.fronted import TIKTOK
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer

ID, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"
NAME = f"{ANNA}%{ID}-{SECRET}"
LOGIN = b'a LOGIN "%b" "secret"\r\n' % NAME.encode()
WRONG = b"a NO [AUTHENTICATIONFAILED]"


def holding(gateway: MailFronted, device_id: str | None, login: str = ANNA) -> None:
    """A credential stands for that device of the person; None: it is revoked."""
    held = () if device_id is None else (DeviceCredential(ID, digest_of(ID, SECRET), device_id),)
    evidence = gateway.evidence
    evidence.sequence += 1
    evidence.records[login] = replace(evidence.records[login], credentials=held, sequence=evidence.sequence)
    gateway.decision.changed(login, evidence.sequence)


def dirty(gateway: MailFronted, device_id: str) -> None:
    gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, device_id, TIKTOK))


async def logged_in(gateway: MailFronted, server: ScriptedServer, source: str = "127.0.0.1") -> Peer:
    client = await greeted(gateway, source)
    client.send(LOGIN)
    # The mail server is asked about the user's own name.
    (await asked(server)).send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    return client


async def test_the_device_of_the_credential_decides(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    dirty(imap, "d2")
    holding(imap, "d1")
    client = await logged_in(imap, server)
    assert imap.logins("accepted") == 1
    holding(imap, "d2")
    assert (await client.rest()).startswith(b"* BYE [ALERT]")
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    assert (await client.line()).startswith(b"* NO [ALERT]")


@pytest.mark.parametrize("form", ["plain", "login", "domain_behind"])
async def test_in_every_form_of_a_login(imap: MailFronted, server: ScriptedServer, form: str) -> None:
    imap.clean(ANNA)
    holding(imap, "d1")
    client = await greeted(imap)
    if form == "plain":
        response = base64.b64encode(f"{NAME}\0{NAME}\0secret".encode())
        client.send(b"a AUTHENTICATE PLAIN %b\r\n" % response)
    elif form == "login":
        assert (await client.ask(b"a AUTHENTICATE LOGIN\r\n")).startswith(b"+ ")
        assert (await client.ask(base64.b64encode(NAME.upper().encode()) + b"\r\n")).startswith(b"+ ")
        client.send(base64.b64encode(b"secret") + b"\r\n")
    else:
        client.send(b'a LOGIN "anna%%%b-%b@corp.example" "secret"\r\n' % (ID.encode(), SECRET.encode()))
    if form == "login":
        peer = await server.accepted()
        peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
        told = base64.b64decode((await peer.line()).split()[-1])
        assert told == b"\0ANNA@CORP.EXAMPLE\0secret"
    else:
        peer = await asked(server)
    peer.send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)


async def test_a_wrong_one_is_a_wrong_login_and_the_mail_server_is_not_asked(
    imap: MailFronted, server: ScriptedServer
) -> None:
    imap.clean(ANNA)
    for held in (None, "d1"):
        holding(imap, held)
        client = await greeted(imap)
        name = f"{ANNA}%{ID}-{SECRET[::-1]}".encode()
        with structlog.testing.capture_logs() as logs:
            assert (await client.ask(b'a LOGIN "%b" "secret"\r\n' % name)).startswith(WRONG)
        (line,) = [each for each in logs if each["event"] == "credential_wrong"]
        assert (line["login"], line["credential"], line["client"]) == (ANNA, ID, "127.0.0.1")
        assert SECRET[::-1] not in str(logs)
    assert server.unasked
    assert imap.logins("wrong_credential") == 2
    assert imap.counted("gatepost_credentials_wrong_total", "imap") == 2


async def test_one_of_another_user_is_wrong(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    imap.clean("bert@corp.example")
    holding(imap, "d1")
    client = await greeted(imap)
    name = f"bert@corp.example%{ID}-{SECRET}".encode()
    assert (await client.ask(b'a LOGIN "%b" "secret"\r\n' % name)).startswith(WRONG)
    assert server.unasked


async def test_revoked_its_session_ends(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    holding(imap, "d1")
    client = await logged_in(imap, server)
    with structlog.testing.capture_logs() as logs:
        holding(imap, None)
        assert (await client.rest()).startswith(b"* BYE [ALERT]")
    (line,) = [each for each in logs if each["event"] == "cut"]
    assert (line["identity"], line["credential"], line["reason"]) == ("device_credential", ID, "credential_invalid")
    assert (await (await greeted(imap)).ask(LOGIN)).startswith(WRONG)


async def test_a_name_with_a_percent_sign_is_a_name(imap: MailFronted, server: ScriptedServer) -> None:
    client = await greeted(imap)
    client.send(b'a LOGIN "a%b@corp.example" "secret"\r\n')
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
    assert base64.b64decode((await peer.line()).split()[-1]) == b"\0a%b@corp.example\0secret"


async def test_use_from_two_addresses_is_told_of(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    holding(imap, "d1")
    with structlog.testing.capture_logs() as logs:
        await logged_in(imap, server)
        await logged_in(imap, server)
        assert imap.counted("gatepost_credentials_used_twice_total", "imap") == 0
        await logged_in(imap, server, "127.0.0.2")
        await logged_in(imap, server, "127.0.0.3")
    assert imap.counted("gatepost_credentials_used_twice_total", "imap") == 2
    (line,) = [each for each in logs if each["event"] == "credential_used_twice"]
    assert (line["credential"], line["client"], line["other"]) == (ID, "127.0.0.2", "127.0.0.1")


async def test_by_pop3(pop3: MailFronted, server: ScriptedServer) -> None:
    pop3.clean(ANNA)
    holding(pop3, None)
    client = await greeted(pop3)
    assert (await client.ask(b"USER %b\r\n" % NAME.encode())).startswith(b"+OK")
    assert (await client.ask(b"PASS secret\r\n")).startswith(b"-ERR [AUTH]")
    assert server.unasked
    holding(pop3, "d1")
    assert (await client.ask(b"USER %b\r\n" % NAME.encode())).startswith(b"+OK")
    client.send(b"PASS secret\r\n")
    peer = await server.accepted()
    peer.send(b"+OK ready\r\n")
    line = await peer.line()
    while b"CAPA" in line:
        peer.send(b"+OK\r\nSASL PLAIN\r\nUSER\r\n.\r\n")
        line = await peer.line()
    assert SECRET.encode() not in line
