"""Ways round the verdict that were thought of, each tried: what is sent, and that it leads nowhere."""

import base64
from collections.abc import Callable
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


def login(user: bytes) -> bytes:
    """LOGIN with a literal, which holds every octet."""
    return b"a LOGIN {%d+}\r\n%b {6+}\r\nsecret\r\n" % (len(user), user)


def authenticate(user: bytes, authzid: bytes = b"") -> bytes:
    """AUTHENTICATE PLAIN."""
    return b"a AUTHENTICATE PLAIN %b\r\n" % base64.b64encode(authzid + b"\0" + user + b"\0secret")


ODD_NAMES = {
    "a NUL before the rest": b"anna@corp.example\0.example",
    "a NUL behind it": b"anna@corp.example\0",
    "octets of Latin-1": b"anna\xe9@corp.example",
    "half a letter of UTF-8": b"anna@corp.example\xc3",
    "UTF-8 longer than it need be": b"\xc1\xa1nna@corp.example",
    "a control character": b"anna@corp.example\x01",
    "DEL": b"anna\x7f@corp.example",
    "a letter that SASLprep leaves out": "anna\ufe0f@corp.example".encode(),
    "another": "an\u034fna@corp.example".encode(),
}


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("form", [login, authenticate], ids=["LOGIN", "AUTHENTICATE"])
async def test_a_name_that_two_readers_could_read_differently_is_shown_to_no_mail_server(
    imap: MailFronted, server: ScriptedServer, name: str, form: Callable[[bytes], bytes]
) -> None:
    """A mail server that stops at the NUL, or takes Latin-1 for UTF-8, would log in another than the one judged."""
    client = await greeted(imap)
    answer = await client.ask(form(ODD_NAMES[name]))
    assert answer.startswith((b"a NO [AUTHENTICATIONFAILED]", b"a BAD "))
    assert server.unasked
    assert imap.decision.sessions.count == 0


async def test_an_8_bit_name_is_judged_as_the_letters_that_it_spells(imap: MailFronted, server: ScriptedServer) -> None:
    """However Unicode composes them, and in whatever case; the mail server is asked with the octets that came."""
    imap.dirty("jürgen@corp.example")
    for name in ("jürgen@corp.example", "ju\u0308rgen@corp.example", "JÜRGEN@corp.example"):
        client = await greeted(imap)
        client.send(login(name.encode()))
        peer = await server.accepted()
        peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
        shown = await peer.line()
        assert base64.b64decode(shown.split()[-1]) == b"\0" + name.encode() + b"\0secret"
        peer.send(b"a OK in\r\n")
        assert (await client.line()).startswith(b"* NO [ALERT] "), name


@pytest.mark.parametrize("authzid", [b"bert@corp.example", b"ANNA@corp.example", b"anna@corp.example ", b"*"])
async def test_nobody_logs_in_on_behalf_of_somebody_else(
    imap: MailFronted, pop3: MailFronted, server: ScriptedServer, authzid: bytes
) -> None:
    """Some servers ignore an authorization identity, some take it for the mailbox's owner."""
    imap.clean(ANNA)
    imap.dirty("bert@corp.example")
    client = await greeted(imap)
    assert (await client.ask(authenticate(ANNA.encode(), authzid))).startswith(b"a NO [AUTHENTICATIONFAILED]")
    client = await greeted(pop3)
    response = authenticate(ANNA.encode(), authzid).split()[-1]
    assert (await client.ask(b"AUTH PLAIN %b\r\n" % response)).startswith(b"-ERR [AUTH]")
    assert server.unasked


async def test_a_name_of_two_words_reaches_no_server_that_would_take_the_first(
    pop3: MailFronted, server: ScriptedServer
) -> None:
    """Behind USER; as whom a server without SASL would let in is not who is judged."""
    pop3.dirty(ANNA)
    client = await greeted(pop3)
    assert await client.ask(b"USER anna@corp.example x\r\n") == b"+OK\r\n"
    client.send(b"PASS secret\r\n")
    peer = await server.accepted()
    peer.send(b"+OK ready\r\n")
    assert await peer.line() == b"CAPA\r\n"
    peer.send(b"+OK\r\nUSER\r\n.\r\n")
    assert (await client.line()).startswith(b"-ERR [AUTH]")
    assert await peer.rest() == b""


async def test_a_literal_that_nobody_asked_for_hides_no_second_login(imap: MailFronted, server: ScriptedServer) -> None:
    """Octets of a literal are no command, and a command behind the login is no login: judged is who is shown."""
    imap.clean(ANNA)
    imap.dirty("bert@corp.example")
    client = await greeted(imap)
    hidden = b'anna@corp.example\r\nb LOGIN "bert@corp.example" "secret"\r\n'
    client.send(b"a LOGIN {%d+}\r\n%b {6+}\r\nsecret\r\n" % (len(hidden), hidden))
    assert (await client.line()).startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert server.unasked
    client.send(login(ANNA.encode()) + b"b LOGIN {17+}\r\nbert@corp.example {6+}\r\nsecret\r\n")
    peer = await asked(server)
    peer.send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    assert await peer.line() == b"b LOGIN {17+}\r\n"
    assert [session.request.login for session in imap.decision.sessions] == [ANNA]


@pytest.mark.parametrize(
    "fields",
    [
        b'"x-originating-ip" "192.0.2.66"',
        b'"X-Originating-IP" "192.0.2.66" "x-proxy-ttl" "9"',
        b'"x-forward-user" "bert"',
    ],
)
async def test_who_a_client_says_to_speak_for_stays_here(
    imap: MailFronted, server: ScriptedServer, fields: bytes
) -> None:
    imap.clean(ANNA)
    client = await greeted(imap, "127.0.0.9")
    client.send(b"i ID (%b)\r\n" % fields)
    assert (await client.line()).startswith(b"* ID ")
    await client.line()
    client.send(LOGIN)
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] ready\r\n")
    told = await peer.line()
    assert b'"x-originating-ip" "127.0.0.9"' in told
    assert b"192.0.2.66" not in told
    assert b"x-forward" not in told.lower()
