"""A notice in the place of the mailbox: who is shown one, that the mail server hears nothing of it, and its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from math import inf

import pytest

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.certificate import CertificateShown
from gateway.domain.credential import DeviceCredential, digest_of
from gateway.domain.policy import policy_of
from gateway.ports.state_cache import CacheUnavailable
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.notice_session import ANSWERED_AT_ONCE
from gateway.proxies.mail.pop3 import POP3
from gateway.proxies.mail.seen_accounts import SeenAccounts
from tests.proxies.mail.conversations import ANNA, LOGGED_IN, LOGGED_IN_AS_TOLD, LOGIN, asked, greeted, logged_in
from tests.support.evidence_strategies import denying
from tests.support.fronted import BAN, until
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer, mail_fronted

NOTICED = b"a OK [CAPABILITY IMAP4rev1 ID IDLE NAMESPACE UNSELECT] Logged in; mail is blocked.\r\n"


class Shelf:
    """``Marks`` in memory, that may be out of reach."""

    def __init__(self) -> None:
        self.names: dict[str, float] = {}
        self.away = False

    async def put(self, name: str, for_seconds: float) -> None:
        self._reach()
        self.names[name] = for_seconds

    async def has(self, name: str) -> bool:
        self._reach()
        return name in self.names

    def _reach(self) -> None:
        if self.away:
            raise CacheUnavailable("away")


@pytest.fixture
async def imap(server: ScriptedServer) -> AsyncIterator[MailFronted]:
    """IMAP without TLS, that shows notices."""
    async with mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}", refusal="notice") as made:
        yield made


async def let_in(imap: MailFronted, server: ScriptedServer) -> None:
    """An account that has had mail here."""
    imap.clean(ANNA)
    client, _ = await logged_in(imap, server)
    client.close()
    await until(lambda: imap.sessions("client_gone") == 1)


async def refused(imap: MailFronted, server: ScriptedServer) -> tuple[Peer, Peer]:
    """The login of somebody who may not have mail, accepted by the mail server."""
    client = await greeted(imap)
    client.send(LOGIN)
    peer = await asked(server)
    peer.send(LOGGED_IN)
    return client, peer


async def noticed(imap: MailFronted, server: ScriptedServer) -> tuple[Peer, Peer]:
    """One who had mail before, and has the notice now."""
    await let_in(imap, server)
    imap.dirty(ANNA)
    client, peer = await refused(imap, server)
    assert await client.line() == NOTICED
    return client, peer


async def test_an_account_that_had_mail_before_finds_the_notice(imap: MailFronted, server: ScriptedServer) -> None:
    client, peer = await noticed(imap, server)
    # The mail server is left, and nothing of what follows goes there.
    assert await peer.rest() == b"g LOGOUT\r\n"
    client.send(b"b SELECT INBOX\r\nc UID FETCH 1:* (BODY[])\r\nd LOGOUT\r\n")
    said = await client.rest()
    assert b"b OK [READ-WRITE] SELECT completed.\r\n" in said
    assert b"Because of this app: TikTok (com.zhiliaoapp.musically)" in said
    assert said.endswith(b"d OK LOGOUT completed.\r\n")
    assert server.unasked
    assert (imap.logins("noticed"), imap.sessions("notice_read"), dict(imap.front.sessions.of)) == (1, 1, {})


async def test_one_that_was_never_seen_is_told_in_words(imap: MailFronted, server: ScriptedServer) -> None:
    """A program that is set up against a notice would be left with an account that cannot go on."""
    imap.dirty(ANNA)
    client, _ = await refused(imap, server)
    assert (await client.line()).startswith(b"* NO [ALERT] ")
    assert imap.logins("refused") == 1


async def test_words_are_the_default(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}") as imap:
        await let_in(imap, server)
        imap.dirty(ANNA)
        client, _ = await refused(imap, server)
        assert (await client.line()).startswith(b"* NO [ALERT] ")


async def test_what_is_no_banned_app_is_told_in_words(imap: MailFronted, server: ScriptedServer) -> None:
    await let_in(imap, server)
    imap.evidence.records.pop(ANNA)
    version = replace(imap.decision.policy.version, number=2, unknowns=denying("unmatched"))
    await imap.decision.use(policy_of(version))
    imap.evidence.sequence += 1
    imap.decision.changed(ANNA, imap.evidence.sequence)
    client, _ = await refused(imap, server)
    assert (await client.line()).startswith(b"* NO [ALERT] ")


async def test_a_wrong_password_is_shown_nothing(imap: MailFronted, server: ScriptedServer) -> None:
    await let_in(imap, server)
    imap.dirty(ANNA)
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n")
    assert await client.line() == b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"


async def test_what_stands_behind_the_login_is_asked_of_the_notice(imap: MailFronted, server: ScriptedServer) -> None:
    await let_in(imap, server)
    imap.dirty(ANNA)
    client = await greeted(imap)
    client.send(LOGIN + b"b STATUS INBOX (MESSAGES)\r\n")
    (await asked(server)).send(LOGGED_IN)
    assert await client.line() == NOTICED
    assert await client.line() == b"* STATUS INBOX (MESSAGES 1)\r\n"


async def test_it_ends_when_mail_is_allowed_again(imap: MailFronted, server: ScriptedServer) -> None:
    client, _ = await noticed(imap, server)
    assert await client.ask(b"b IDLE\r\n") == b"+ idling\r\n"
    imap.front.sweep()
    imap.clean(ANNA)
    # The record is read anew first.
    imap.front.sweep()
    await until(lambda: imap.sessions("allowed_again") == 1)
    assert await client.rest() == b"* BYE Mail on this device is allowed again. Connect anew.\r\n"
    again, _ = await logged_in(imap, server)
    again.close()


async def test_it_stays_while_the_app_does(imap: MailFronted, server: ScriptedServer) -> None:
    client, _ = await noticed(imap, server)
    imap.dirty(ANNA)
    await imap.ban(replace(BAN, text="Again."))
    for _ in range(3):
        imap.front.sweep()
        assert (await client.ask(b"b NOOP\r\n")).startswith(b"b OK ")
    assert imap.sessions("allowed_again") == 0


async def test_silence_and_the_end_of_the_gateway(imap: MailFronted, server: ScriptedServer) -> None:
    client, _ = await noticed(imap, server)
    imap.clock.ahead += imap.front.settings.idle_seconds
    imap.front.sweep()
    assert await client.rest() == b"* BYE Nothing was said for too long.\r\n"
    client, _ = await refused(imap, server)
    assert await client.line() == NOTICED
    await imap.front.drain(5.0)
    assert (await client.rest()).startswith(b"* BYE The mail gateway restarts.")
    assert dict(imap.front.sessions.of) == {}


async def test_who_does_not_read_is_asked_nothing_more(imap: MailFronted, server: ScriptedServer) -> None:
    """Sixty answers of a whole message for each short command, and nobody takes them."""
    client, _ = await noticed(imap, server)
    many = b"c FETCH 1 (" + b"BODY.PEEK[] " * 60 + b")\r\n"
    client.send(b"b SELECT INBOX\r\n" + many * 2000)
    (connection,) = imap.front.admission.connections
    await until(lambda: connection.untaken > 0)
    assert connection.untaken < 1 << 20
    client.close()
    await until(lambda: imap.sessions("client_gone") == 2)


async def test_commands_that_were_sent_at_once_leave_others_their_turn(
    imap: MailFronted, server: ScriptedServer
) -> None:
    client, _ = await noticed(imap, server)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(turn())
    client.send(b"b NOOP\r\n" * 2_000)
    for _ in range(2_000):
        assert await client.line() == b"b OK NOOP completed.\r\n"
    task.cancel()
    # Less one or two: what came with the first octets is answered in the round in which they came.
    assert turns >= 2_000 // ANSWERED_AT_ONCE // 2


async def test_a_device_credential_has_an_account_of_its_own(imap: MailFronted, server: ScriptedServer) -> None:
    await let_in(imap, server)
    held = (DeviceCredential("k3vq7mzd", digest_of("k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"), "d1"),)
    imap.dirty(ANNA)
    imap.evidence.sequence += 1
    changed = replace(imap.evidence.records[ANNA], credentials=held, sequence=imap.evidence.sequence)
    imap.evidence.records[ANNA] = changed
    imap.decision.changed(ANNA, imap.evidence.sequence)
    client = await greeted(imap)
    client.send(b'a LOGIN "%b%%k3vq7mzd-abcdefghijklmnopqrstuvwxyz" "secret"\r\n' % ANNA.encode())
    (await asked(server)).send(LOGGED_IN)
    assert (await client.line()).startswith(b"* NO [ALERT] ")


async def test_a_certificate_has_the_account_of_its_device() -> None:
    """Its mail program has never seen the mailbox, though another one of the user's has."""
    accounts = SeenAccounts(None)
    request = AccessRequest(ANNA, "", Protocol.IMAP)
    accounts.note(request)
    shown, renewed, another = (
        request._replace(certificate=CertificateShown(number, inf, None, device))
        for number, device in (("1@a", "serial:x"), ("2@a", "serial:x"), ("3@a", "serial:y"))
    )
    assert not await accounts.knows(shown)
    accounts.note(shown)
    assert [await accounts.knows(each) for each in (shown, renewed, another, request)] == [True, True, False, True]


async def test_all_workers_know_who_was_let_in(imap: MailFronted, server: ScriptedServer) -> None:
    shelf = Shelf()
    imap.front.accounts = SeenAccounts(shelf)
    await let_in(imap, server)
    await until(lambda: shelf.names == {f"imap:{ANNA}": 90 * 86_400.0})
    # Another worker, which has not seen it itself.
    imap.front.accounts = SeenAccounts(shelf)
    imap.dirty(ANNA)
    client, _ = await refused(imap, server)
    assert await client.line() == NOTICED
    shelf.away = True
    imap.front.accounts = SeenAccounts(shelf)
    client, _ = await refused(imap, server)
    assert (await client.line()).startswith(b"* NO [ALERT] ")


async def test_what_could_not_be_marked_is_marked_at_the_next_login(imap: MailFronted, server: ScriptedServer) -> None:
    shelf = Shelf()
    shelf.away = True
    imap.front.accounts = SeenAccounts(shelf)
    await let_in(imap, server)
    shelf.away = False
    client, _ = await logged_in(imap, server)
    await until(lambda: bool(shelf.names))
    client.close()


async def test_pop3_has_none(server: ScriptedServer) -> None:
    async with mail_fronted(POP3, f"pop3://127.0.0.1:{server.port}", refusal="notice") as pop3:
        assert not pop3.front.shows_notices


async def test_the_real_mailbox_is_as_ever_for_who_may_have_mail(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client = await greeted(imap)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
