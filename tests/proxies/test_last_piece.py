"""The last piece of a request's body: what a request does is done with it, so the verdict of that moment counts."""

import asyncio

import pytest

from gateway.domain.inventory import App
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.support.fronted import TIKTOK, Fronted, fronted, settled, until, until_still
from tests.support.raw_http import Client, eas, request
from tests.support.scripted_origin import Origin, OriginConnection

BODIES = {
    "SendMail": bytes.fromhex("03016a000015454f501103310001") + b"x" * 2000,
    "Sync": bytes.fromhex("03016a00455c4f4b033000015203350001010101") + b"x" * 2000,
    "ItemOperations": bytes.fromhex("03016a000014450101") + b"x" * 2000,
    "Settings": bytes.fromhex("03016a000012450101") + b"x" * 2000,
}


def asked(command: str) -> bytes:
    return request(eas(command, "anna", "phone1"), BODIES[command], user="anna")


async def sent_but_its_end(
    gateway: Fronted, origin: Origin, sent: bytes = asked("SendMail")
) -> tuple[Client, OriginConnection, bytes]:
    """A request of Anna's, all of which but the last piece is at the mail server; the last piece is not sent."""
    await gateway.known("anna")
    client = await gateway.client()
    client.write(sent[:-100])
    connection = await origin.connection()
    await connection.head()
    await connection.octets(len(sent.partition(b"\r\n\r\n")[2]) - 100)
    return client, connection, sent[-100:]


def changed_unread(scripted: Fronted, *apps: App) -> asyncio.Event:
    """A report about Anna's phone is heard of; it cannot be read before this is set."""
    gate = scripted.evidence.gate = asyncio.Event()
    scripted.decision.changed("anna", scripted.evidence.put("anna", "phone1", *apps))
    return gate


async def turned_before_its_end(
    gateway: Fronted, origin: Origin, sent: bytes, turn: str
) -> tuple[Client, OriginConnection, bytes]:
    """The verdict of a request turns by ``turn``, or does not, and then its last piece comes."""
    gateway.proved("anna")
    if turn == "time":
        await gateway.ban_from(gateway.now() + 1000)
        gateway.dirty("anna", "phone1")
    else:
        gateway.clean("anna", "phone1")
    client, connection, last = await sent_but_its_end(gateway, origin, sent)
    if turn == "time":
        gateway.now.ahead += 2000
        gateway.proved("anna")
        client.write(last)
    else:
        gate = changed_unread(gateway, *([TIKTOK] if turn == "report" else []))
        client.write(last)
        await until(lambda: gateway.evidence.reads == 2)
        await settled()
        assert not connection.has_heard
        gate.set()
    return client, connection, last


@pytest.mark.parametrize("command", BODIES)
@pytest.mark.parametrize("turn", ["report", "time", "clean again"])
async def test_what_a_request_does_is_judged_with_its_last_piece(
    scripted: Fronted, origin: Origin, turn: str, command: str
) -> None:
    """Else a phone could begin a mail before a report, or a ban's beginning, and end it whenever it likes."""
    client, connection, last = await turned_before_its_end(scripted, origin, asked(command), turn)
    if turn == "clean again":
        assert await connection.octets(100) == last
        await connection.answer(b"")
        assert (await client.answer()).status == 200
    else:
        assert (await client.answer()).body != b"mail"
        assert scripted.ended(command, "refused") == 1
        assert not connection.has_heard


@pytest.mark.parametrize("path", ["/EWS/Exchange.asmx", "/mapi/emsmdb", "/jmap/"])
@pytest.mark.parametrize("turn", ["report", "time"])
async def test_a_post_of_other_mail_may_send_one(origin: Origin, turn: str, path: str) -> None:
    webmail = WebmailSettings(openings=dict.fromkeys(Rule, (VERDICT,)))
    async with fronted(origin.url, webmail=webmail) as gateway:
        sent = request(path, b"x" * 2000, user="anna")
        client, connection, _ = await turned_before_its_end(gateway, origin, sent, turn)
        assert (await client.answer()).status == 403
        assert not connection.has_heard


async def test_a_last_piece_that_is_held_is_not_lost_by_an_early_answer(scripted: Fronted, origin: Origin) -> None:
    """Else the mail server would take the next request on this connection, somebody else's, for the mail's end."""
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection, last = await sent_but_its_end(scripted, origin)
    gate = changed_unread(scripted)
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    await until(lambda: scripted.front.status()["responding"] == 1 or scripted.evidence.reads == 2)
    await settled()
    client.write(last)
    await until_still(lambda: scripted.evidence.reads)
    gate.set()
    assert await connection.octets(100) == last
    await connection.send(b"mail")
    assert (await client.answer()).body == b"mail"


async def test_a_last_piece_that_is_held_waits_for_us_and_not_for_the_client(scripted: Fronted, origin: Origin) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection, last = await sent_but_its_end(scripted, origin)
    gate = changed_unread(scripted)
    client.write(last)
    await until(lambda: scripted.evidence.reads == 2)
    await until_still(lambda: scripted.evidence.reads)
    settings = scripted.front.settings
    scripted.clock.ahead += settings.body_seconds + 1
    scripted.front.sweep()
    assert not connection.ended
    scripted.clock.ahead += settings.upstream_response_seconds + 1
    scripted.front.sweep()
    assert (await client.answer()).status == 503
    gate.set()
    await connection.until_ended()
