"""Asking the mail server about credentials, only on the way to a refusal: bounded, remembered, never a lock-out."""

import asyncio
import base64
import json
import time

import pytest

from gateway.proxies.attempts import FAILURES_PER_MINUTE, LOGINS_MOST, Attempts
from gateway.proxies.credential_check import CHECKS_AT_ONCE, CheckMethod
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import HttpAnswer, basic, eas, request
from tests.support.scripted_origin import Origin, OriginConnection
from tests.support.spine import FOLDER_SYNC, PING
from tests.support.upstream import PASSWORD, MailboxServer

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
CHALLENGE = 'WWW-Authenticate: Basic realm="mail"'


def folder_sync(user: str = "anna", password: str = PASSWORD, **headers: str) -> bytes:
    headers.setdefault("Authorization", basic(user, password))
    return request(eas("FolderSync", user, "phone1"), FOLDER_SYNC, **headers)


async def ask(gateway: Fronted, octets: bytes) -> HttpAnswer:
    client = await gateway.client()
    try:
        return await client.ask(octets)
    finally:
        client.close()


def questions(mailbox: MailboxServer) -> list[str]:
    """Who was asked about, the questions with invented names left out."""
    return [each.user for each in mailbox.received if each.method == "OPTIONS" and "probe" not in each.user]


async def test_the_question_is_harmless_and_names_the_user(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    assert (await ask(gateway, folder_sync())).body == BLOCKED
    asked = mailbox.received[-1]
    assert (asked.method, asked.target, asked.body) == ("OPTIONS", "/Microsoft-Server-ActiveSync?User=anna", b"")
    assert asked.header("authorization") == basic("anna")


async def test_an_accepted_password_is_remembered_for_a_minute(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    for _ in range(3):
        assert (await ask(gateway, folder_sync())).body == BLOCKED
    assert questions(mailbox) == ["anna"]
    gateway.now.ahead = 61.0
    assert (await ask(gateway, folder_sync())).body == BLOCKED
    assert questions(mailbox) == ["anna", "anna"]


async def test_a_rejected_password_is_remembered_and_another_one_is_asked_for(
    gateway: Fronted, mailbox: MailboxServer
) -> None:
    gateway.dirty("anna", "phone1")
    for _ in range(3):
        assert (await ask(gateway, folder_sync(password="old"))).status == 401
    assert questions(mailbox) == ["anna"]
    assert (await ask(gateway, folder_sync())).body == BLOCKED


async def test_a_phone_with_an_old_password_does_not_lock_the_account(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    statuses = [(await ask(gateway, folder_sync(password=f"guess{number}"))).status for number in range(9)]
    tried = FAILURES_PER_MINUTE - 1  # the last one is for another address
    assert statuses == [401] * tried + [503] * (9 - tried)
    assert len(questions(mailbox)) == tried
    # Others are not concerned, and after a minute it is asked again.
    gateway.dirty("bert", "phone1")
    assert (await ask(gateway, folder_sync("bert"))).body == BLOCKED
    gateway.now.ahead = 61.0
    assert (await ask(gateway, folder_sync())).body == BLOCKED


async def test_many_wrong_ones_at_once_are_bounded_too(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    await gateway.known("anna")
    answers = await asyncio.gather(*(ask(gateway, folder_sync(password=f"guess{number}")) for number in range(30)))
    assert len(questions(mailbox)) == FAILURES_PER_MINUTE - 1
    assert sorted({each.status for each in answers}) == [401, 503]


async def test_many_right_ones_do_not_count(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    for blanks in range(1, FAILURES_PER_MINUTE + 3):  # nothing is remembered of any of these spellings
        asked = folder_sync(Authorization=basic("anna").replace(" ", " " * blanks))
        assert (await ask(gateway, asked)).body == BLOCKED
        assert len(questions(mailbox)) == blanks


async def asked_about(origin: Origin, connection: OriginConnection | None = None) -> OriginConnection:
    """The question about credentials, after the one with invented ones was answered as it should be."""
    connection = connection or await origin.connection()
    await connection.request()
    await connection.answer(b"", "401 Unauthorized", CHALLENGE)
    assert (await connection.request()).line.startswith(b"OPTIONS ")
    return connection


async def test_concurrent_questions_are_one(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    await scripted.known("anna")
    clients = [await scripted.client() for _ in range(10)]
    for client in clients:
        client.write(folder_sync())
    connection = await asked_about(origin)
    await connection.answer(b"")
    for client in clients:
        assert (await client.answer()).body == BLOCKED
    assert not origin.unaccepted


async def test_who_asked_first_may_leave(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    await scripted.known("anna")
    first, second = await scripted.client(), await scripted.client()
    first.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    second.write(folder_sync())
    first.close()
    await connection.answer(b"", "401 Unauthorized", CHALLENGE)
    await connection.request()
    await connection.answer(b"")
    assert (await second.answer()).body == BLOCKED


@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "503 Service Unavailable", "302 Found", "403 Forbidden"]
)
async def test_no_clear_word_defers_and_counts_for_nothing(scripted: Fronted, origin: Origin, status: str) -> None:
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync())
    connection = await asked_about(origin)
    await connection.answer(b"", status)
    assert (await client.answer()).status == 503
    for _ in range(FAILURES_PER_MINUTE):
        client.write(folder_sync())
        await connection.request()
        await connection.answer(b"", status)
        assert (await client.answer()).status == 503
    client.write(folder_sync())
    await connection.request()
    await connection.answer(b"")
    assert (await client.answer()).body == BLOCKED


async def test_a_mail_server_that_is_away_defers(origin: Origin) -> None:
    url = origin.url
    origin.close()
    async with fronted(url) as gateway:
        gateway.dirty("anna", "phone1")
        for _ in range(FAILURES_PER_MINUTE + 2):
            answer = await ask(gateway, folder_sync())
            assert (answer.status, b"blocked" in answer.body) == (503, False)


async def test_a_server_that_tells_everybody_its_options_is_asked_another_way(
    scripted: Fronted, origin: Origin
) -> None:
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    assert (await connection.request()).line.startswith(b"OPTIONS ")
    await connection.answer(b"")
    invented = await connection.request()
    assert b"Cmd=FolderSync" in invented.line
    assert b"gatepost-probe" in invented.line
    await connection.answer(b"", "401 Unauthorized")
    real = await connection.request()
    assert b"Cmd=FolderSync&User=anna&" in real.line
    assert b"NoSuchKey" in real.body
    await connection.answer(b"")
    assert (await client.answer()).body == BLOCKED


async def test_a_server_that_rejects_nobody_proves_nobody(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    for _ in range(2):
        await connection.request()
        await connection.answer(b"")
    assert (await client.answer()).status == 503
    # Nor is it asked again and again.
    assert (await client.ask(folder_sync("anna"))).status == 503


def token(owner: str, expires_at: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"upn": owner, "exp": expires_at}).encode()).decode().rstrip("=")
    return f"Bearer e30.{claims}.c2ln"


async def test_a_token_is_remembered_no_longer_than_it_lives(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    bearer = token("anna", time.time() + 20.0)
    client = await scripted.client()
    client.write(folder_sync(Authorization=bearer))
    connection = await asked_about(origin)
    await connection.answer(b"")
    assert (await client.answer()).body == BLOCKED
    scripted.now.ahead = 21.0
    client.write(folder_sync(Authorization=bearer))
    assert (await connection.request()).header("Authorization") == bearer
    await connection.answer(b"", "401 Unauthorized", CHALLENGE)
    assert (await client.answer()).status == 401


async def test_a_token_of_somebody_else_proves_nothing(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync(Authorization=token("bert", time.time() + 60.0)))
    assert (await client.answer()).status == 400
    assert not origin.unaccepted


async def test_a_token_that_names_nobody(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync(Authorization="Bearer opaque"))
    assert (await client.answer()).status == 401
    assert not origin.unaccepted


def test_invented_logins_fill_no_memory() -> None:
    attempts = Attempts()
    for number in range(LOGINS_MOST + 50):
        assert attempts.begin(f"user{number}")
    assert len(attempts) == LOGINS_MOST


def test_logins_without_a_failure_leave_nothing() -> None:
    attempts = Attempts()
    for number in range(100):
        attempt = attempts.begin(f"user{number}")
        assert attempt is not None
        attempts.did_not_fail(attempt)
    assert len(attempts) == 0


async def test_who_guesses_does_not_keep_the_user_from_an_answer(gateway: Fronted, mailbox: MailboxServer) -> None:
    """A thousand wrong passwords a minute; the phone with the right one had mail today, by a waiting Ping alone."""
    gateway.clean("anna", "phone1")
    ping = (await gateway.client(), request(eas("Ping", "anna", "phone1"), PING, user="anna"))
    mailbox.released.set()
    assert (await ping[0].ask(ping[1])).status == 200
    gateway.now.ahead = 3_000.0
    gateway.dirty("anna", "phone1")
    guesser = await gateway.client()
    statuses = [(await guesser.ask(folder_sync(password=f"guess{number}"))).status for number in range(1000)]
    assert (statuses.count(401), statuses.count(503)) == (FAILURES_PER_MINUTE - 1, 1001 - FAILURES_PER_MINUTE)
    assert (await ask(gateway, folder_sync())).body == BLOCKED
    # One attempt more of this kind for each password that was right once: never a way to lock the account.
    gateway.now.ahead += 61.0
    gateway.front.checks._known.clear()
    failed = len(questions(mailbox))
    mailbox.passwords = ("another",)
    statuses = [(await guesser.ask(folder_sync(password=f"guess{number}"))).status for number in range(20)]
    assert (await ask(gateway, folder_sync())).status == 401
    gateway.front.checks._known.clear()
    assert (await ask(gateway, folder_sync())).status == 503
    assert len(questions(mailbox)) == failed + FAILURES_PER_MINUTE


async def test_one_attempt_is_left_for_another_address(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    for number in range(20):
        await ask(gateway, folder_sync(password=f"guess{number}"))
    elsewhere = await gateway.client("127.0.0.2")
    assert (await elsewhere.ask(folder_sync())).body == BLOCKED
    assert len(questions(mailbox)) == FAILURES_PER_MINUTE


async def test_questions_under_way_are_bounded(scripted: Fronted, origin: Origin) -> None:
    """A flood of users of whom nothing is known, where that is refused: each would be a connection upstream."""
    scripted.front.checks._methods[scripted.front.upstreams.pools[0].url] = CheckMethod.OPTIONS
    for number in range(CHECKS_AT_ONCE + 30):
        scripted.dirty(f"user{number}", "phone1")
        (await scripted.client()).write(folder_sync(f"user{number}"))
    await until(lambda: scripted.ended("FolderSync", "deferred") == 30)
    assert len(scripted.front.checks._under_way) == CHECKS_AT_ONCE


async def test_no_password_in_a_representation(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    await ask(gateway, folder_sync())
    assert "secret" not in repr(gateway.front.checks.__dict__)
    assert base64.b64encode(b"anna:secret").decode() not in repr(gateway.front.checks.__dict__)
