"""Notices by SMTP within TLS and with logins: what leaves, what never leaves in the clear, a password shown once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.notices.smtp import SmtpDelivery
from gateway.notices.smtp_answers import SessionUnusable
from gateway.notices.smtp_session import LOGIN_AGAIN_SECONDS, SmtpSessions
from gateway.notices.smtp_settings import SmtpSettings
from gateway.notices.tokens import TokenClient, Tokens
from gateway.ports.notices import DeliveryUnusable, Outcome
from gateway.storage.memory import MemoryStore
from tests.network.authority import Authority
from tests.notices.ews_server import ews_server
from tests.notices.letters import letter, yes
from tests.notices.secured import Secured, secured_server
from tests.notices.stage import QUICK, Clock, fill, outbox, people, planned, until_idle

PASSWORD = "pass word-9"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("smtp"))


def settings(server: Secured, security: str = "starttls", **more: Any) -> SmtpSettings:
    told: dict[str, Any] = {"username": "notices", "password": PASSWORD, "connect_seconds": 5.0, "answer_seconds": 5.0}
    return SmtpSettings("localhost", server.port, security, **{**told, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def taking(delivery: SmtpDelivery) -> AsyncIterator[SmtpDelivery]:
    try:
        yield delivery
    finally:
        await delivery.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("first", [False, True], ids=["starttls", "tls"])
async def test_within_tls_and_logged_in(authority: Authority, mechanism: str, *, first: bool) -> None:
    context = authority.issue().server()
    async with secured_server(context, first=first, mechanisms=[mechanism], password=PASSWORD) as server:
        told = settings(server, "tls" if first else "starttls")
        async with taking(SmtpDelivery(told, authority.trust())) as delivery:
            attempt = await delivery.deliver(letter(), yes)
            again = await delivery.deliver(letter("bob@corp.example"), yes)
        assert (attempt.outcome, again.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED), (attempt, again)
        assert server.logins == [(mechanism, "notices", PASSWORD)]
        assert (server.connections, server.in_clear) == (1, 0)
        assert sorted(server.mailboxes) == ["ada@corp.example", "bob@corp.example"]


async def test_where_both_are_offered_one_is_used(authority: Authority) -> None:
    async with secured_server(authority.issue().server(), password="another") as server:
        async with taking(SmtpDelivery(settings(server), authority.trust())) as delivery:
            attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert server.logins == [("PLAIN", "notices", PASSWORD)]


async def test_a_wrong_password_is_shown_once_and_stands_in_no_words(authority: Authority) -> None:
    async with secured_server(authority.issue().server(), password="another") as server:
        async with taking(SmtpDelivery(settings(server, connections=4), authority.trust())) as delivery:
            attempts = await asyncio.gather(*(delivery.deliver(letter(), yes) for _ in range(6)))
        assert {each.outcome for each in attempts} == {Outcome.CHANNEL_BROKEN}
        assert {each.words.partition(": correct")[0] for each in attempts} == {
            "the login as notices was refused: 535 5.7.8 Authentication credentials invalid"
        }
        assert all(each.retry_after_seconds for each in attempts)
        assert len(server.logins) == 1
        assert not any(PASSWORD in each.words for each in attempts)


async def test_after_a_wrong_password_the_next_try_comes_later_and_later(authority: Authority) -> None:
    clock = Clock(1_000.0)
    async with secured_server(authority.issue().server(), password="another") as server:
        sessions = SmtpSessions(settings(server), authority.trust(), clock=clock)
        waits = []
        for _ in range(6):
            with pytest.raises(SessionUnusable, match="the login as notices was refused") as caught:
                await sessions.open()
            waits.append(caught.value.again_after_seconds or 0.0)
            clock.at += waits[-1]
        assert [wait / LOGIN_AGAIN_SECONDS for wait in waits] == [1, 2, 4, 8, 12, 12]
        assert len(server.logins) == 6
        server.password = PASSWORD
        smtp = await sessions.open()
        smtp.close()


async def test_a_wrong_password_stops_the_outbox_with_one_alarm(authority: Authority) -> None:
    store, clock, crowd = MemoryStore(), Clock(), people(12)
    await fill(store, crowd)
    await planned(store, crowd)
    async with secured_server(authority.issue().server(), password="another") as server:
        box = outbox(store, SmtpDelivery(settings(server), authority.trust()), clock)
        with capture_logs() as logs:
            await until_idle(box)
        assert [each["event"] for each in logs if each["log_level"] == "error"] == ["notices_paused"]
        assert len(server.logins) == 1
        assert box.trouble.startswith("notices do not leave: the login as notices was refused: 535")
        clock.at += QUICK.pause_seconds - 1
        await until_idle(box)
        assert len(server.logins) == 1
    async with store.read() as reading:
        waiting = await reading.due_notices(clock() + 1e6, 100)
    assert [each.attempts for each in waiting] == [0] * len(waiting)
    assert len(waiting) == 3


async def test_without_starttls_nothing_is_said(authority: Authority) -> None:
    async with secured_server(None, password=PASSWORD) as server:
        async with taking(SmtpDelivery(settings(server), authority.trust())) as delivery:
            attempt = await delivery.deliver(letter(), yes)
            with pytest.raises(DeliveryUnusable, match="offers no STARTTLS, and nothing is sent in the clear"):
                await delivery.check()
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert "offers no STARTTLS" in attempt.words
        assert (server.logins, server.in_clear, dict(server.mailboxes)) == ([], 0, {})


@pytest.mark.parametrize("first", [False, True], ids=["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_certificate_that_is_not_the_servers(
    authority: Authority, tmp_path: Path, wrong: str, *, first: bool
) -> None:
    trust = Authority(tmp_path, "two").trust() if wrong == "authority" else authority.trust()
    context = authority.issue(*(["other.example"] if wrong == "name" else [])).server()
    async with secured_server(context, first=first, password=PASSWORD) as server:
        async with taking(SmtpDelivery(settings(server, "tls" if first else "starttls"), trust)) as delivery:
            attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert attempt.words.startswith("the server's certificate is not accepted: ")
        assert (server.logins, server.in_clear) == ([], 0)


async def test_tls_first_on_a_port_that_speaks_first(authority: Authority) -> None:
    async with secured_server(authority.issue().server(), password=PASSWORD) as server:
        async with taking(SmtpDelivery(settings(server, "tls"), authority.trust())) as delivery:
            attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert "write smtp+starttls://" in attempt.words


async def test_a_server_that_takes_no_login_we_know(authority: Authority) -> None:
    async with secured_server(authority.issue().server(), mechanisms=["XOAUTH2"]) as server:
        delivery = SmtpDelivery(settings(server), authority.trust())
        with pytest.raises(DeliveryUnusable, match=r"takes no password \(PLAIN, LOGIN\), it offers XOAUTH2"):
            await delivery.check()


async def test_check_says_what_was_proved(authority: Authority) -> None:
    async with secured_server(authority.issue().server(), password=PASSWORD) as server:
        async with taking(SmtpDelivery(settings(server), authority.trust())) as delivery:
            said = await delivery.check()
        assert said == f"localhost:{server.port} answers with STARTTLS, the login as notices is accepted"
        assert not server.mailboxes


# --- by token


@asynccontextmanager
async def by_token(authority: Authority) -> AsyncIterator[tuple[Secured, SmtpDelivery]]:
    """A server that takes the tokens of an issuer."""
    context = authority.issue().server()
    async with ews_server(context) as issuer, secured_server(context, mechanisms=["XOAUTH2", "PLAIN"]) as server:
        server.tokens = issuer.tokens  # type: ignore[assignment]
        tokens = Tokens(TokenClient(issuer.token_url, "client-1", "s3cret", "scope"), authority.trust())
        told = settings(server, username="notices@corp.example", password="")
        async with taking(SmtpDelivery(told, authority.trust(), tokens)) as delivery:
            yield server, delivery


async def test_a_token_logs_in(authority: Authority) -> None:
    async with by_token(authority) as (server, delivery):
        attempts = [await delivery.deliver(letter(), yes), await delivery.deliver(letter("bob@corp.example"), yes)]
        assert {each.outcome for each in attempts} == {Outcome.ACCEPTED}
        assert server.logins == [("XOAUTH2", "notices@corp.example", "token-1")]


async def test_a_token_that_was_taken_back_is_replaced_and_new_ones_refused_stop_it(authority: Authority) -> None:
    async with by_token(authority) as (server, delivery):
        assert (await delivery.deliver(letter(), yes)).outcome is Outcome.ACCEPTED
        await delivery.close()
        server.tokens = set()
        first, second = [await delivery.deliver(letter(), yes) for _ in range(2)]
        assert (first.outcome, first.retry_after_seconds) == (Outcome.DEFERRED, 1.0)
        assert second.outcome is Outcome.CHANNEL_BROKEN
        assert [token for _, _, token in server.logins] == ["token-1", "token-1", "token-2"]
        assert "token-2" not in second.words
