"""IMAP through the front: proved first, then judged, then passed on, and cut when the verdict turns."""

import asyncio
import time
from dataclasses import replace

import pytest
import structlog

from gateway.proxies.mail.session import MailSession
from tests.proxies.mail.conversations import (
    ANNA,
    GREETING,
    LOGGED_IN,
    LOGGED_IN_AS_TOLD,
    LOGIN,
    PLAIN,
    asked,
    greeted,
    idling,
    logged_in,
)
from tests.support.fronted import BAN, until
from tests.support.mail_fronted import MailFronted, ScriptedServer

REFUSED = b"because of this app: TikTok (com.zhiliaoapp.musically). Ask your help desk.\r\n"
BEGUN = b"* 1 FETCH (BODY[] {100000}\r\nFrom: a colleague\r\n"


# --- the login


async def test_a_session_passes_both_ways_and_the_list_of_capabilities_is_edited(
    imap: MailFronted, server: ScriptedServer
) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    client.send(b"b SELECT INBOX\r\n")
    await peer.expect(b"b SELECT INBOX\r\n")
    peer.send(b"* 3 EXISTS\r\nb OK [READ-WRITE] done\r\n")
    await client.expect(b"* 3 EXISTS\r\nb OK [READ-WRITE] done\r\n")
    peer.close()
    assert await client.rest() == b""
    await until(lambda: imap.sessions("server_closed") == 1)
    assert imap.decision.sessions.count == 0
    assert imap.logins("accepted") == 1


async def test_literals_that_are_not_waited_for_are_offered_only_where_the_mail_server_has_them(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """A client that does not ask again behind the login would send a message's lines to be run as commands."""
    for known, offered in ((b"LITERAL+ ", True), (b"", False)):
        client = await greeted(imap)
        client.send(LOGIN)
        peer = await server.accepted()
        peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR %bAUTH=PLAIN] ready\r\n" % known)
        await peer.line()
        peer.send(b"a OK Logged in\r\n")
        await client.expect(b"a OK Logged in\r\n")
        another = await imap.client()
        assert (b" LITERAL+ " in await another.line()) is offered


async def test_what_stands_behind_the_login_becomes_the_session(imap: MailFronted, server: ScriptedServer) -> None:
    client = await greeted(imap)
    client.send(LOGIN + b"b SELECT INBOX\r\nc NOOP\r\n")
    peer = await asked(server)
    peer.send(LOGGED_IN + b"* 1 RECENT\r\n")
    await peer.expect(b"b SELECT INBOX\r\nc NOOP\r\n")
    await client.expect(LOGGED_IN_AS_TOLD + b"* 1 RECENT\r\n")


async def test_a_wrong_password_never_learns_of_a_ban(imap: MailFronted, server: ScriptedServer) -> None:
    imap.dirty(ANNA)
    client = await greeted(imap)
    client.send(LOGIN)
    peer = await asked(server)
    peer.send(b"a NO [AUTHENTICATIONFAILED] no\r\n")
    assert await client.line() == b"a NO [AUTHENTICATIONFAILED] no\r\n"
    assert await peer.rest() == b""
    assert imap.logins("unauthenticated") == 1


async def test_a_refusal_in_words_and_mail_again_after_a_clean_report(
    imap: MailFronted, server: ScriptedServer
) -> None:
    imap.dirty(ANNA)
    client = await greeted(imap)
    client.send(LOGIN + b"b SELECT INBOX\r\n")
    peer = await asked(server)
    peer.send(LOGGED_IN)
    alert, answer = await client.line(), await client.line()
    assert alert.startswith(b"* NO [ALERT] Mail on this device is blocked")
    assert answer.startswith(b"a NO [CONTACTADMIN] Mail on this device is blocked")
    assert alert.endswith(REFUSED)
    assert (await client.line()).startswith(b"b BAD ")
    # Nothing of the client's has gone there, and the mailbox is left at once.
    assert await peer.rest() == b"g LOGOUT\r\n"
    assert imap.decision.sessions.count == 0
    imap.clean(ANNA)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    assert await client.line() == LOGGED_IN_AS_TOLD


async def test_the_verdict_turns_while_the_record_is_read(imap: MailFronted, server: ScriptedServer) -> None:
    """Registered before it is judged: a change that comes in between is heard of."""
    imap.clean(ANNA)
    imap.evidence.gate = asyncio.Event()
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    await until(lambda: imap.decision.sessions.count == 1)
    imap.dirty(ANNA)
    imap.evidence.gate.set()
    assert (await client.line()).startswith(b"* NO [ALERT]")


async def test_the_leg_to_the_mail_server_is_lost_while_the_record_is_read(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """The session begins, with what was said, and is over: nobody says so a second time."""
    imap.clean(ANNA)
    imap.evidence.gate = asyncio.Event()
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    await until(lambda: imap.decision.sessions.count == 1)
    (session,) = imap.decision.sessions
    assert isinstance(session, MailSession)
    session._upstream.abort()
    await until(lambda: session._upstream.transport is None)
    imap.evidence.gate.set()
    assert await client.rest() == LOGGED_IN_AS_TOLD
    assert imap.sessions("server_closed") == 1


async def test_nobody_can_say_now(imap: MailFronted, server: ScriptedServer) -> None:
    imap.evidence.unavailable = True
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")
    assert imap.logins("deferred") == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="hangs up"),
        pytest.param(b"* PREAUTH you are in\r\n", id="PREAUTH"),
        pytest.param(b"* BYE busy\r\n", id="BYE"),
        pytest.param(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\r\n", id="no login that can be shown to it"),
        pytest.param(GREETING + b"a OK [REFERRAL imap://elsewhere/] moved\r\n", id="sends the client elsewhere"),
        pytest.param(GREETING + b"a OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE] in\r\n", id="UNAUTHENTICATE"),
        pytest.param(
            b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN UNAUTHENTICATE] x\r\na OK in\r\n",
            id="UNAUTHENTICATE before the login",
        ),
    ],
)
async def test_a_mail_server_that_is_not_as_it_must_be(imap: MailFronted, server: ScriptedServer, said: bytes) -> None:
    imap.clean(ANNA)
    client = await greeted(imap)
    client.send(LOGIN)
    peer = await server.accepted()
    peer.send(said)
    if not said:
        peer.close()
    assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")
    assert imap.decision.sessions.count == 0
    # It was no failed login of the user's.
    assert len(imap.front.attempts) == 0


async def test_each_login_that_an_unwatchable_mail_server_costs_is_told(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """One line at the first of them would be long gone when somebody looks."""
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            client = await greeted(imap)
            client.send(LOGIN)
            (await asked(server)).send(b"a OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE] in\r\n")
            assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")
    told = [each["used"] for each in logs if each["event"] == "mail_server_unwatchable"]
    assert told == [False, False]


async def test_a_mail_server_that_is_away_is_looked_for_until_it_is_back(imap: MailFronted) -> None:
    imap.front.server.port = 1
    client = await greeted(imap)
    assert (await client.ask(LOGIN)).startswith(b"a NO [UNAVAILABLE] ")
    assert imap.front.status()["upstreams"] == [{"url": imap.front.server.url, "healthy": False}]


async def test_the_explanation_of_a_refused_token_reaches_the_client(imap: MailFronted, server: ScriptedServer) -> None:
    imap.front.server.learn(frozenset((b"AUTH=XOAUTH2",)))
    client = await greeted(imap)
    token = b"dXNlcj1hbm5hQGNvcnAuZXhhbXBsZQFhdXRoPUJlYXJlciBhYmMBAQ=="
    client.send(b"a AUTHENTICATE XOAUTH2 %b\r\n" % token)
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready\r\n")
    await peer.expect(b"a AUTHENTICATE XOAUTH2 %b\r\n" % token)
    peer.send(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    await client.expect(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    client.send(b"\r\n")
    await peer.expect(b"\r\n")
    peer.send(b"a NO [AUTHENTICATIONFAILED] expired\r\n")
    await client.expect(b"a NO [AUTHENTICATIONFAILED] expired\r\n")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(b"a AUTHENTICATE PLAIN YmVydABhbm5hAHB3\r\n", id="for another user"),
        pytest.param(b'a LOGIN "" "x"\r\n', id="nobody"),
        pytest.param(b'a LOGIN "anna" ""\r\n', id="no password"),
        pytest.param(b'a LOGIN " anna" "x"\r\n', id="a blank before the name"),
        pytest.param(b'a LOGIN "anna@a@b" "x"\r\n', id="two domains"),
        pytest.param(b'a LOGIN "\xff\xfe" "x"\r\n', id="no UTF-8"),
        pytest.param(b"a AUTHENTICATE PLAIN AGFuAG5hAHB3\r\n", id="NUL in the name"),
    ],
)
async def test_names_that_nobody_can_have_are_not_asked_about(
    imap: MailFronted, server: ScriptedServer, command: bytes
) -> None:
    client = await greeted(imap)
    assert await client.ask(command) == b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
    assert server.unasked


# --- attempts


async def refused_by_server(gateway: MailFronted, server: ScriptedServer) -> bytes:
    client = await greeted(gateway)
    client.send(LOGIN)
    (await asked(server)).send(b"a NO [AUTHENTICATIONFAILED] no\r\n")
    return await client.line()


async def test_wrong_passwords_do_not_lock_the_account(imap: MailFronted, server: ScriptedServer) -> None:
    for _ in range(4):
        assert (await refused_by_server(imap, server)).startswith(b"a NO [AUTHENTICATIONFAILED]")
    client = await greeted(imap)
    with structlog.testing.capture_logs() as logs:
        assert (await client.ask(LOGIN)).startswith(b"a NO [UNAVAILABLE] ")
    assert server.unasked
    assert imap.logins("too_many_failures") == 1
    (line,) = [each for each in logs if each["event"] == "login_put_off"]
    assert (line["login"], line["reason"], line["client"]) == (ANNA, "too_many_failures", "127.0.0.1")
    # The last attempt of the minute is for somebody elsewhere, who may be the user.
    elsewhere = await greeted(imap, "127.0.0.2")
    elsewhere.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    assert await elsewhere.line() == LOGGED_IN_AS_TOLD


async def test_who_guesses_does_not_keep_the_user_out(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    await logged_in(imap, server)
    for number in range(4):
        client = await greeted(imap)
        client.send(b'a LOGIN "anna@corp.example" "guess%d"\r\n' % number)
        peer = await server.accepted()
        peer.send(GREETING + b"a NO [AUTHENTICATIONFAILED] no\r\n")
        assert (await client.line()).startswith(b"a NO [AUTHENTICATIONFAILED]")
    await logged_in(imap, server)


async def test_a_mail_program_opens_many_connections_at_once(imap: MailFronted, server: ScriptedServer) -> None:
    """None of them is a failed attempt before the mail server has said so."""
    imap.clean(ANNA)
    clients = [await greeted(imap) for _ in range(8)]
    for client in clients:
        client.send(LOGIN)
    for _ in clients:
        (await asked(server)).send(LOGGED_IN)
    for client in clients:
        assert await client.line() == LOGGED_IN_AS_TOLD


async def test_one_user_has_so_many_sessions(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    first, _ = await logged_in(imap, server)
    imap.front.settings = replace(imap.front.settings, sessions_per_user=1)
    client = await greeted(imap)
    client.send(b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN)
    peer = await asked(server)
    peer.send(LOGGED_IN)
    assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")
    assert await peer.rest() == b"g LOGOUT\r\n"
    first.close()
    await until(lambda: not imap.front.sessions.of)


# --- cuts


async def test_a_waiting_session_is_cut_with_a_word(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await idling(imap, server)
    began = time.monotonic()
    imap.dirty(ANNA)
    said = await client.rest()
    assert time.monotonic() - began < 2
    assert said.startswith(b"* BYE [ALERT] Mail on this device is blocked")
    assert said.endswith(REFUSED)
    assert await peer.rest() in (b"", b"(reset)")
    assert (imap.sessions("cut"), imap.decision.sessions.count, dict(imap.front.sessions.of)) == (1, 0, {})


async def test_within_a_mail_it_is_cut_without_one(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    peer.send(BEGUN)
    await client.expect(BEGUN)
    imap.dirty(ANNA)
    assert await client.rest() == b"(reset)"
    assert await peer.rest() in (b"", b"(reset)")
    assert imap.sessions("cut") == 1


async def test_nothing_behind_the_cut_reaches_the_mail_server(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await idling(imap, server)
    imap.dirty(ANNA)
    await until(lambda: imap.sessions("cut") == 1)
    client.send(b"DONE\r\nc FETCH 1 BODY[]\r\n")
    assert (await client.line()).startswith(b"* BYE [ALERT]")
    assert await peer.rest() in (b"", b"(reset)")


async def test_an_edit_of_the_policy_cuts(imap: MailFronted, server: ScriptedServer) -> None:
    await imap.ban()
    imap.dirty(ANNA)
    client, _ = await idling(imap, server)
    await imap.ban(BAN)
    assert (await client.line()).startswith(b"* BYE [ALERT]")


async def test_state_that_is_lost_ends_a_session_for_now(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, _ = await idling(imap, server)
    imap.decision.state_lost = True
    await imap.decision.rejudge_all()
    assert (await client.rest()).startswith(b"* BYE [UNAVAILABLE] ")
    assert imap.sessions("cut_for_now") == 1


async def test_a_moment_that_was_set_while_the_session_ran(
    imap: MailFronted, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session may live for days: an edit that says nothing new about now may say something about later."""
    monkeypatch.setattr("gateway.proxies.mail.session.JUDGED_EVERY_SECONDS", 0.1)
    await imap.ban()
    imap.dirty(ANNA)
    client, _ = await idling(imap, server)
    await imap.ban(replace(BAN, starts_at=imap.now() + 0.5))
    assert (await client.line()).startswith(b"* BYE [ALERT]")


async def test_a_verdict_that_ends_by_itself(imap: MailFronted, server: ScriptedServer) -> None:
    await imap.ban(replace(BAN, starts_at=imap.now() + 0.5))
    imap.dirty(ANNA)
    client, _ = await idling(imap, server)
    assert (await client.line()).startswith(b"* BYE [ALERT]")
