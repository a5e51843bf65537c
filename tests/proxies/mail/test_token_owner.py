"""A token that names another owner than the name beside it: both answer, whatever the mail server makes of the two."""

import asyncio
import base64
from dataclasses import replace

import pytest

from gateway.domain.policy import Policy, Unavailable
from tests.live.tokens import token
from tests.proxies.mail.conversations import ANNA, LOGGED_IN, LOGGED_IN_AS_TOLD, greeted
from tests.support.fronted import BAN, settled, until
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer

BERT = "bert@corp.example"


async def by_token(
    imap: MailFronted, server: ScriptedServer, user: str, shown: str, mechanism: str = "XOAUTH2"
) -> tuple[Peer, Peer]:
    """A login that a mail server accepts, which does not look at the name."""
    imap.front.server.learn(frozenset((b"AUTH=XOAUTH2", b"AUTH=OAUTHBEARER", b"SASL-IR")))
    client = await greeted(imap)
    begin = f"user={user}\x01" if mechanism == "XOAUTH2" else f"n,a={user},\x01"
    response = base64.b64encode(f"{begin}auth=Bearer {shown}\x01\x01".encode())
    client.send(b"a AUTHENTICATE %b %b\r\n" % (mechanism.encode(), response))
    peer = await server.accepted()
    peer.send(b"* OK ready\r\n")
    await peer.expect(b"a AUTHENTICATE %b %b\r\n" % (mechanism.encode(), response))
    peer.send(LOGGED_IN)
    return client, peer


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_nobody_hides_behind_a_colleagues_name(imap: MailFronted, server: ScriptedServer, mechanism: str) -> None:
    imap.clean(BERT)
    imap.dirty(ANNA)
    client, peer = await by_token(imap, server, BERT, token(ANNA), mechanism)
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    assert await peer.rest() == b"g LOGOUT\r\n"
    assert imap.decision.sessions.count == 0
    assert imap.logins("refused") == 1


async def test_nor_behind_a_token_of_a_colleagues(imap: MailFronted, server: ScriptedServer) -> None:
    imap.dirty(BERT)
    imap.clean(ANNA)
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    assert (await client.line()).startswith(b"* NO [ALERT] ")


@pytest.mark.parametrize("turning", [ANNA, BERT])
async def test_either_of_them_ends_the_session(imap: MailFronted, server: ScriptedServer, turning: str) -> None:
    imap.clean(BERT)
    imap.clean(ANNA)
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    await client.expect(LOGGED_IN_AS_TOLD)
    assert sorted(each.request.login for each in imap.decision.sessions) == [ANNA, BERT]
    imap.dirty(turning)
    assert (await client.rest()).startswith(b"* BYE [ALERT] ")
    await until(lambda: imap.decision.sessions.count == 0)
    assert imap.sessions("cut") == 1
    assert imap.front.sessions.count == 0


async def test_both_are_forgotten_with_the_session(imap: MailFronted, server: ScriptedServer) -> None:
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    await client.expect(LOGGED_IN_AS_TOLD)
    client.close()
    await until(lambda: imap.decision.sessions.count == 0)


@pytest.mark.parametrize(
    "shown", [token(BERT), token("Bert@Corp.Example"), token("two @ blanks"), "opaque", "a.b.c"], ids=range(5)
)
async def test_one_question_where_the_token_names_nobody_else(
    imap: MailFronted, server: ScriptedServer, shown: str
) -> None:
    imap.clean(BERT)
    client, _ = await by_token(imap, server, BERT, shown)
    await client.expect(LOGGED_IN_AS_TOLD)
    assert [each.request.login for each in imap.decision.sessions] == [BERT]


async def test_one_turns_while_the_others_record_is_read(imap: MailFronted, server: ScriptedServer) -> None:
    """The verdict on the first must not be one of a moment before."""
    await imap.ban()
    imap.dirty(BERT)
    await imap.decision.cache.load(BERT)
    imap.evidence.gate = asyncio.Event()
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    await until(lambda: imap.decision.sessions.count == 2)
    banning = asyncio.create_task(imap.ban(BAN))
    await until(lambda: imap.decision.policy.version.number == 3)
    await settled()
    imap.evidence.gate.set()
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    await banning


@pytest.mark.parametrize("found", ["a banned app", "nothing"])
async def test_a_change_of_one_that_is_not_read_when_the_others_record_is(
    imap: MailFronted, server: ScriptedServer, found: str
) -> None:
    """What was known of the first before that change begins no session."""
    imap.clean(BERT)
    await imap.decision.cache.load(BERT)
    imap.evidence.gates = {ANNA: asyncio.Event(), BERT: asyncio.Event()}
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    await until(lambda: imap.decision.sessions.count == 2)
    await settled()
    change = imap.dirty if found == "a banned app" else imap.clean
    change(BERT)
    imap.evidence.gates[ANNA].set()
    await until(lambda: ANNA in imap.decision.cache.entries)
    await settled()
    assert imap.logins("accepted") == 0
    imap.evidence.gates[BERT].set()
    if found == "nothing":
        await client.expect(LOGGED_IN_AS_TOLD)
    else:
        assert (await client.line()).startswith(b"* NO [ALERT] ")
        assert imap.logins("refused") == 1


async def test_a_login_where_nothing_can_be_read_of_either(imap: MailFronted, server: ScriptedServer) -> None:
    """By setting, of each once."""
    before = imap.decision.policy
    setting = replace(before.version, number=2, unavailable=Unavailable.ALLOW)
    await imap.decision.use(Policy(setting, before.index))
    imap.evidence.unavailable = True
    client, _ = await by_token(imap, server, BERT, token(ANNA))
    await client.expect(LOGGED_IN_AS_TOLD)
    assert imap.evidence.reads == 2
