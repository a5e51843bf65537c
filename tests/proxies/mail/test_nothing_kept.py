"""Nothing is kept of a mail program that is gone, however it went; no garbage collector has to look for it."""

import asyncio

import pytest

from gateway.network.tls import ServerTls
from gateway.network.tls_connection import TlsConnection
from gateway.proxies.mail.client_connection import ClientConnection
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.login import Login
from gateway.proxies.mail.upstream import UpstreamConnection
from tests.network.authority import Authority
from tests.proxies.mail.conversations import LOGGED_IN, LOGIN, asked, greeted
from tests.support.fronted import until
from tests.support.kept import kept
from tests.support.mail_fronted import MailFronted, ScriptedServer, mail_fronted


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("at", ["greeting", "login", "record"])
async def test_nothing_is_kept_of_a_client_that_hangs_up(at: str, imap: MailFronted, server: ScriptedServer) -> None:
    """At its login its password would be kept, too."""
    client = await greeted(imap)
    if at == "record":
        imap.evidence.gate = asyncio.Event()
    if at != "greeting":
        client.send(LOGIN)
        peer = await asked(server)
    if at == "record":
        peer.send(LOGGED_IN)
        await until(lambda: imap.evidence.reads > 0)
    client.close()
    await until(lambda: not imap.front.admission.connections)
    await until(lambda: kept(ClientConnection, Login, UpstreamConnection) == [])


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["says nothing", "not TLS at all", "hangs up"])
async def test_nothing_is_kept_of_one_whose_tls_failed(how: str, server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=()))
    async with mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}", tls) as front:
        client = await greeted(front)
        assert (await client.ask(b"a STARTTLS\r\n")).startswith(b"a OK")
        if how == "says nothing":
            front.clock.ahead += 60.0
            front.front.sweep()
        elif how == "hangs up":
            client.close()
        else:
            client.send(b"b NOOP\r\n")
        await until(lambda: not front.front.admission.connections)
        await until(lambda: kept(ClientConnection, TlsConnection) == [])
