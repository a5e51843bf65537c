"""Requests let through and refused, in both dialects, and to whom a refusal is told."""

import asyncio

import pytest

from gateway.domain.policy import Unavailable
from tests.support.fronted import Fronted
from tests.support.raw_http import HttpAnswer, basic, eas, request
from tests.support.scripted_origin import Origin
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
"""FolderSync Status 129 ([MS-ASCMD] 2.2.2)."""
PROVISION = bytes.fromhex("03016a00000e450101")


async def folder_sync(gateway: Fronted, user: str = "anna", device: str = "phone1", **headers: str) -> HttpAnswer:
    client = await gateway.client()
    try:
        return await client.ask(request(eas("FolderSync", user, device), FOLDER_SYNC, user=user, **headers))
    finally:
        client.close()


async def test_a_clean_device_gets_its_mail(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.clean("anna", "phone1")
    answer = await folder_sync(gateway)
    assert (answer.status, answer.body) == (200, b"mail for anna")
    (received,) = [each for each in mailbox.received if each.method == "POST"]
    assert received.body == FOLDER_SYNC
    assert received.target == eas("FolderSync", "anna", "phone1")
    assert gateway.ended("FolderSync", "forwarded") == 1


async def test_a_device_with_a_banned_app_is_refused_by_status(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    answer = await folder_sync(gateway)
    assert (answer.status, answer.body) == (200, BLOCKED)
    assert answer.header("Cache-Control") == "private, no-store"
    assert mailbox.commands(accepted_only=False) == []
    assert gateway.ended("FolderSync", "refused") == 1


@pytest.mark.parametrize("version", ["2.5", "12.0", "12.1", ""])
async def test_before_14_it_is_refused_by_http(gateway: Fronted, mailbox: MailboxServer, version: str) -> None:
    gateway.dirty("anna", "phone1")
    answer = await folder_sync(gateway, MS_ASProtocolVersion=version)
    assert answer.status == 403
    assert b"blocked by your organization" in answer.body
    assert not answer.header("WWW-Authenticate")
    assert mailbox.commands(accepted_only=False) == []


@pytest.mark.parametrize(("version", "status"), [("12.1", 403), ("14.1", 200)])
async def test_provision_is_refused_with_the_rest(
    gateway: Fronted, mailbox: MailboxServer, version: str, status: int
) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    target = eas("Provision", "anna", "phone1")
    answer = await client.ask(request(target, PROVISION, user="anna", MS_ASProtocolVersion=version))
    assert answer.status == status
    assert mailbox.commands(accepted_only=False) == []


async def test_another_device_of_the_same_person_is_served(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    gateway.clean("anna", "phone2")
    assert (await folder_sync(gateway)).body == BLOCKED
    assert (await folder_sync(gateway, device="phone2")).body == b"mail for anna"


async def test_a_wrong_password_is_told_so_and_not_of_the_ban(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    answer = await folder_sync(gateway, Authorization=basic("anna", "guess"))
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == 'Basic realm="mail"'
    assert b"blocked" not in answer.body
    assert mailbox.commands(accepted_only=False) == []
    assert gateway.ended("FolderSync", "unauthenticated") == 1


async def test_without_credentials_the_mail_server_asks_for_them(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    answer = await client.ask(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC))
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == 'Basic realm="mail"'


async def test_state_that_cannot_be_read_defers(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.evidence.unavailable = True
    assert gateway.decision.policy.version.unavailable is Unavailable.DEFER
    answer = await folder_sync(gateway)
    assert answer.status == 503
    assert int(answer.header("Retry-After")) > 0
    assert mailbox.commands(accepted_only=False) == []


async def test_the_connection_stays_after_a_refusal(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    asked = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna")
    for _ in range(3):
        assert (await client.ask(asked)).body == BLOCKED


async def test_somebody_elses_mailbox_is_not_opened(gateway: Fronted, mailbox: MailboxServer) -> None:
    client = await gateway.client()
    answer = await client.ask(request(eas("FolderSync", "boss", "phone1"), FOLDER_SYNC, user="anna"))
    assert answer.status == 400
    assert mailbox.commands(accepted_only=False) == []


async def test_what_a_refusal_names_is_spelled_as_it_is(gateway: Fronted) -> None:
    answer = await folder_sync(gateway, MS_ASProtocolVersion="17.0")
    assert (answer.status, answer.body) == (400, b"MS-ASProtocolVersion names no version from 2.5 to 16.1.")


async def test_a_body_of_another_command_goes_nowhere(gateway: Fronted, mailbox: MailboxServer) -> None:
    client = await gateway.client()
    answer = await client.ask(request(eas("Ping", "anna", "phone1"), FOLDER_SYNC, user="anna"))
    assert answer.status == 400
    assert mailbox.commands(accepted_only=False) == []
    assert gateway.ended("Ping", "mismatch") == 1


async def test_every_device_id_spelling_is_the_same_device(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    for spelling in ("phone1", "PHONE1", "Phone1", b"phone1".hex(), b"phone1".hex().upper()):
        assert (await folder_sync(gateway, device=spelling)).body == BLOCKED


async def test_a_verdict_that_turns_between_two_requests(gateway: Fronted) -> None:
    gateway.clean("anna", "phone1")
    assert (await folder_sync(gateway)).body == b"mail for anna"
    gateway.dirty("anna", "phone1")
    assert (await folder_sync(gateway)).body == BLOCKED
    gateway.clean("anna", "phone1")
    assert (await folder_sync(gateway)).body == b"mail for anna"


async def test_many_at_once_are_each_judged_for_themselves(gateway: Fronted) -> None:
    for number in range(20):
        (gateway.dirty if number % 3 else gateway.clean)(f"user{number}", "phone")
    answers = await asyncio.gather(*(folder_sync(gateway, f"user{number}", "phone") for number in range(20)))
    for number, answer in enumerate(answers):
        assert answer.body == (BLOCKED if number % 3 else f"mail for user{number}".encode())


async def test_nobody_in_particular_is_asked_who_it_is_whatever_the_mail_server_says(
    scripted: Fronted, origin: Origin
) -> None:
    client = await scripted.client()
    client.write(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"Forbidden", "403 Forbidden")
    answer = await client.answer()
    assert (answer.status, answer.header("WWW-Authenticate")) == (401, 'Basic realm="mail", charset="UTF-8"')
    assert b"Forbidden" not in answer.body
