"""What is said again and again: a mail server's part of a login, and a mail program's."""

import base64

from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer

ANNA = "anna@corp.example"
GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] ready\r\n"
LOGIN = b'a LOGIN "anna@corp.example" "secret"\r\n'
LOGGED_IN = b"a OK [CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE UNSELECT] Logged in\r\n"
LOGGED_IN_AS_TOLD = b"a OK [CAPABILITY IMAP4rev1 IDLE UNSELECT] Logged in\r\n"
PLAIN = base64.b64encode(b"\0anna@corp.example\0secret")


async def greeted(gateway: MailFronted, source: str = "127.0.0.1") -> Peer:
    """A client that has been greeted."""
    client = await gateway.client(source)
    line = await client.line()
    assert line.startswith((b"* OK [CAPABILITY IMAP4rev1 ", b"+OK ")), line
    return client


async def asked(server: ScriptedServer) -> Peer:
    """IMAP: the mail server's connection on which a login has just been asked about."""
    peer = await server.accepted()
    peer.send(GREETING)
    line = await peer.line()
    if b" ID (" in line:
        line = await peer.line()
    assert line == b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN
    return peer


async def logged_in(gateway: MailFronted, server: ScriptedServer) -> tuple[Peer, Peer]:
    """IMAP: a session, as client and server have it."""
    client = await greeted(gateway)
    client.send(LOGIN)
    peer = await asked(server)
    peer.send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    return client, peer


async def idling(gateway: MailFronted, server: ScriptedServer) -> tuple[Peer, Peer]:
    """IMAP: one that waits for mail."""
    client, peer = await logged_in(gateway, server)
    client.send(b"b IDLE\r\n")
    await peer.expect(b"b IDLE\r\n")
    peer.send(b"+ idling\r\n")
    await client.expect(b"+ idling\r\n")
    return client, peer
