"""Ways round the verdict that were thought of, each tried: what is sent, and that it leads nowhere."""

import base64
from dataclasses import replace

import pytest

from gateway.domain.policy import Setting, policy_of
from tests.proxies.mail.conversations import ANNA, LOGGED_IN, LOGGED_IN_AS_TOLD, LOGIN, asked, greeted, logged_in
from tests.support.evidence_strategies import denying
from tests.support.fronted import until
from tests.support.mail_fronted import MailFronted, ScriptedServer

OTHER_FORMS = {
    "literals": b"a LOGIN {17}\r\n",
    "literals at once": b"a LOGIN {17+}\r\nanna@corp.example {6+}\r\nsecret\r\n",
    "in lower case": b'a login "anna@corp.example" "secret"\r\n',
    "another spelling of the name": b'a LOGIN "ANNA@Corp.Example" "secret"\r\n',
    "wide letters": 'a LOGIN "ａｎｎａ@corp.example" "secret"\r\n'.encode(),
    "AUTHENTICATE LOGIN": b"a AUTHENTICATE LOGIN " + base64.b64encode(b"anna@corp.example") + b"\r\n",
}


@pytest.mark.parametrize("form", OTHER_FORMS)
async def test_every_form_of_login_is_judged_alike(imap: MailFronted, server: ScriptedServer, form: str) -> None:
    imap.dirty(ANNA)
    client = await greeted(imap)
    client.send(OTHER_FORMS[form])
    if form == "literals":
        assert await client.line() == b"+ OK\r\n"
        assert await client.ask(b"anna@corp.example {6}\r\n") == b"+ OK\r\n"
        client.send(b"secret\r\n")
    elif form == "AUTHENTICATE LOGIN":
        assert await client.line() == b"+ UGFzc3dvcmQ6\r\n"
        client.send(base64.b64encode(b"secret") + b"\r\n")
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\na OK in\r\n")
    assert (await client.line()).startswith(b"* NO [ALERT] ")


async def test_a_name_that_nobody_knows_is_unmatched(imap: MailFronted, server: ScriptedServer) -> None:
    """An alias that no inventory knows is judged as whom it says it is: nobody of whom anything is known."""
    version = replace(imap.decision.policy.version, number=2, unknowns=denying("unmatched"))
    await imap.decision.use(policy_of(version))
    imap.clean(ANNA)
    client = await greeted(imap)
    client.send(b'a LOGIN "alias@corp.example" "secret"\r\n')
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\na OK in\r\n")
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    assert imap.logins("refused") == 1


async def test_a_second_login_is_the_mail_servers_to_refuse_and_nobody_is_judged_by_it(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """It is octets of the session by then (RFC 9051 §6.2: not in this state)."""
    imap.clean(ANNA)
    imap.dirty("bert@corp.example")
    client, peer = await logged_in(imap, server)
    client.send(b'b LOGIN "bert@corp.example" "secret"\r\n')
    assert await peer.line() == b'b LOGIN "bert@corp.example" "secret"\r\n'
    peer.send(b"b BAD Unknown command\r\n")
    assert await client.line() == b"b BAD Unknown command\r\n"


async def test_a_second_login_while_the_first_is_asked_about(imap: MailFronted, server: ScriptedServer) -> None:
    """It waits, and becomes octets of the session of whom was judged."""
    imap.clean(ANNA)
    imap.dirty("bert@corp.example")
    client = await greeted(imap)
    client.send(LOGIN + b'b LOGIN "bert@corp.example" "secret"\r\n')
    peer = await asked(server)
    assert server.unasked
    peer.send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    assert await peer.line() == b'b LOGIN "bert@corp.example" "secret"\r\n'


async def test_a_compressed_stream_is_cut_all_the_same(imap: MailFronted, server: ScriptedServer) -> None:
    """Not offered; at a mail server that has it, the session ends without a word that the client could read."""
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    client.send(b"b COMPRESS DEFLATE\r\n")
    await peer.line()
    peer.send(b"b OK active\r\n" + bytes(range(1, 200)))
    await client.expect(b"b OK active\r\n" + bytes(range(1, 200)))
    imap.dirty(ANNA)
    await client.rest()
    await until(lambda: imap.sessions("cut") == 1)
    assert await peer.rest() in (b"", b"(reset)")


@pytest.mark.parametrize(
    "command",
    [
        *(b"a COMPRESS DEFLATE\r\n", b"a SELECT INBOX\r\n", b"a UNAUTHENTICATE\r\n", b"a XCLIENT ADDR=192.0.2.1\r\n"),
        *(b"a AUTHENTICATE CRAM-MD5\r\n", b"a AUTHENTICATE EXTERNAL =\r\n", b"a AUTHENTICATE ANONYMOUS\r\n"),
        *(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 993\r\n", b"GET / HTTP/1.1\r\n"),
    ],
)
async def test_what_is_not_for_clients_goes_nowhere(imap: MailFronted, server: ScriptedServer, command: bytes) -> None:
    client = await greeted(imap)
    line = await client.ask(command)
    assert b" BAD " in line or b" NO " in line
    assert server.unasked


async def test_unjudged_people_pass_by_policy_only(imap: MailFronted, server: ScriptedServer) -> None:
    """As it comes nobody is kept out for what is not known; the setting is the policy's, by protocol."""
    assert imap.decision.policy.version.unknowns.unmatched.default is Setting.REPORT_ONLY
    await logged_in(imap, server)
