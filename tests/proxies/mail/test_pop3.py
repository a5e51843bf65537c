"""POP3 through the front: the same as IMAP, in the words that POP3 has."""

import pytest

from tests.proxies.mail.conversations import ANNA, greeted
from tests.support.fronted import until
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer

USER, PASS = b"USER anna@corp.example\r\n", b"PASS se cret\r\n"
PLAIN = b"AUTH PLAIN AGFubmFAY29ycC5leGFtcGxlAHNlIGNyZXQ=\r\n"


async def asked(server: ScriptedServer, greeting: bytes = b"+OK ready\r\n") -> Peer:
    """The mail server's connection on which a login has just been asked about."""
    peer = await server.accepted()
    peer.send(greeting)
    line = await peer.line()
    if line == b"CAPA\r\n":
        peer.send(b"+OK\r\nUSER\r\nSASL PLAIN\r\nUIDL\r\n.\r\n")
        line = await peer.line()
    assert line == PLAIN, line
    return peer


async def logged_in(gateway: MailFronted, server: ScriptedServer) -> tuple[Peer, Peer]:
    """A session, as client and server have it."""
    client = await greeted(gateway)
    assert await client.ask(USER) == b"+OK\r\n"
    client.send(PASS)
    peer = await asked(server)
    peer.send(b"+OK Logged in.\r\n")
    await client.expect(b"+OK Logged in.\r\n")
    return client, peer


async def test_a_session_with_everything_sent_at_once(pop3: MailFronted, server: ScriptedServer) -> None:
    pop3.clean(ANNA)
    client = await greeted(pop3)
    client.send(USER + PASS + b"STAT\r\nQUIT\r\n")
    assert await client.line() == b"+OK\r\n"
    peer = await asked(server)
    peer.send(b"+OK Logged in.\r\n")
    await peer.expect(b"STAT\r\nQUIT\r\n")
    peer.send(b"+OK 2 320\r\n+OK bye\r\n")
    peer.close()
    assert await client.rest() == b"+OK Logged in.\r\n+OK 2 320\r\n+OK bye\r\n"
    assert pop3.logins("accepted") == 1


async def test_a_refusal_in_words_and_mail_again_after_a_clean_report(
    pop3: MailFronted, server: ScriptedServer
) -> None:
    pop3.dirty(ANNA)
    client = await greeted(pop3)
    client.send(USER + PASS)
    await client.line()
    peer = await asked(server)
    peer.send(b"+OK Logged in.\r\n")
    refused = await client.line()
    assert refused.startswith(b"-ERR [SYS/PERM] Mail on this device is blocked")
    assert b"TikTok" in refused
    # Nothing was marked as deleted, and nothing is.
    assert await peer.rest() == b"QUIT\r\n"
    pop3.clean(ANNA)
    client.send(USER + PASS)
    await client.line()
    (await asked(server)).send(b"+OK Logged in.\r\n")
    assert await client.line() == b"+OK Logged in.\r\n"


async def test_a_wrong_password_never_learns_of_a_ban(pop3: MailFronted, server: ScriptedServer) -> None:
    pop3.dirty(ANNA)
    client = await greeted(pop3)
    client.send(USER + PASS)
    await client.line()
    (await asked(server)).send(b"-ERR [AUTH] no\r\n")
    assert await client.line() == b"-ERR [AUTH] no\r\n"


async def test_nobody_can_say_now(pop3: MailFronted, server: ScriptedServer) -> None:
    pop3.evidence.unavailable = True
    client = await greeted(pop3)
    client.send(USER + PASS)
    await client.line()
    (await asked(server)).send(b"+OK Logged in.\r\n")
    assert (await client.line()).startswith(b"-ERR [SYS/TEMP] ")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        pytest.param(b"+OK 2 320\r\n", b"", id="between two answers"),
        pytest.param(b"+OK\r\nFrom: a colleague\r\n", b"(reset)", id="within a mail"),
    ],
)
async def test_a_session_is_cut_without_a_word(
    pop3: MailFronted, server: ScriptedServer, said: bytes, end: bytes
) -> None:
    """RFC 1939 has none; what was marked as deleted stays."""
    pop3.clean(ANNA)
    client, peer = await logged_in(pop3, server)
    client.send(b"RETR 1\r\n" if end else b"STAT\r\n")
    await peer.line()
    peer.send(said)
    await client.expect(said)
    pop3.dirty(ANNA)
    assert await client.rest() == end
    assert await peer.rest() in (b"", b"(reset)")
    await until(lambda: pop3.sessions("cut") == 1)


async def test_the_clients_address_goes_to_a_mail_server_that_asks_for_it(
    pop3: MailFronted, server: ScriptedServer
) -> None:
    client = await greeted(pop3, "127.0.0.9")
    port = client.writer.get_extra_info("sockname")[1]
    client.send(USER + PASS)
    peer = await server.accepted()
    peer.send(b"+OK [XCLIENT] ready\r\n")
    await peer.expect(b"CAPA\r\n")
    peer.send(b"+OK\r\nSASL PLAIN\r\n.\r\n")
    await peer.expect(b"XCLIENT ADDR=127.0.0.9 PORT=%d\r\n" % port)


@pytest.mark.parametrize("command", [b"XCLIENT ADDR=192.0.2.9\r\n", b"APOP anna c4c9\r\n", b"STAT\r\n"])
async def test_what_is_not_for_clients(pop3: MailFronted, server: ScriptedServer, command: bytes) -> None:
    client = await greeted(pop3)
    assert (await client.ask(command)).startswith(b"-ERR ")
    assert server.unasked


async def test_draining_closes_a_session_that_rests(pop3: MailFronted, server: ScriptedServer) -> None:
    pop3.clean(ANNA)
    client, _ = await logged_in(pop3, server)
    pop3.clock.ahead += 2
    await pop3.front.drain(20)
    assert await client.rest() == b""
    assert pop3.sessions("drained") == 1
