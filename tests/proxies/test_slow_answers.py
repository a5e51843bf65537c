"""An answer that its client takes slowly goes on no longer than the verdict: it ends by itself, and nobody is told."""

import asyncio

import pytest

from gateway.protocols.webmail.paths import Rule
from gateway.proxies.judged_answer import JUDGED_EVERY_SECONDS
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client, eas, request
from tests.support.scripted_origin import Origin, OriginConnection

FETCH = bytes.fromhex("03016a000014450101")
ITEM_OPERATIONS = request(eas("ItemOperations", "anna", "phone1"), FETCH, user="anna")
DAV = request("/SOGo/dav/anna/Calendar/personal/1.ics", b"x", method="GET", user="anna", Content_Length="2")
"""The rest of its body is never sent: all of the answer comes while that is still being waited for."""


async def begun(gateway: Fronted, origin: Origin, asked: bytes) -> tuple[Client, OriginConnection]:
    """A dirty phone whose ban has not begun yet has a part of its answer."""
    await gateway.known("anna")
    client = await gateway.client()
    client.write(asked)
    connection = await origin.connection()
    await connection.head()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"m" * 300)
    await until(lambda: gateway.front.status()["responding"] == 1)
    return client, connection


async def dirty_later(gateway: Fronted) -> None:
    gateway.proved("anna")
    await gateway.ban_from(gateway.now() + 1000)
    gateway.dirty("anna", "phone1")


def time_passes(gateway: Fronted) -> None:
    gateway.now.ahead += 2000
    gateway.clock.ahead += JUDGED_EVERY_SECONDS


async def test_a_piece_after_the_verdict_has_ended_does_not_leave(scripted: Fronted, origin: Origin) -> None:
    await dirty_later(scripted)
    client, connection = await begun(scripted, origin, ITEM_OPERATIONS)
    await connection.send(b"m" * 300)
    time_passes(scripted)
    await connection.send(b"m" * 300)
    answer = await client.answer()
    assert answer.closed
    assert len(answer.body) <= 600
    assert scripted.ended("ItemOperations", "cut_short") == 1
    await connection.until_ended()


async def test_other_mail_as_well_while_its_body_is_still_to_come(origin: Origin) -> None:
    async with fronted(origin.url, webmail=WebmailSettings(openings=dict.fromkeys(Rule, (VERDICT,)))) as gateway:
        await dirty_later(gateway)
        client, connection = await begun(gateway, origin, DAV)
        time_passes(gateway)
        await connection.send(b"m" * 300)
        answer = await client.answer("GET")
        assert answer.closed
        assert len(answer.body) == 300
        await connection.until_ended()


async def test_a_record_that_is_not_at_hand_is_read_meanwhile(scripted: Fronted, origin: Origin) -> None:
    await dirty_later(scripted)
    client, connection = await begun(scripted, origin, ITEM_OPERATIONS)
    scripted.cache.forget("anna")
    gate = scripted.evidence.gate = asyncio.Event()
    time_passes(scripted)
    reads = scripted.evidence.reads
    await connection.send(b"m" * 300)
    await until(lambda: scripted.evidence.reads > reads)
    gate.set()
    assert (await client.answer()).closed
    await connection.until_ended()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_who_may_have_it_has_all_of_it(scripted: Fronted, origin: Origin, pieces: int) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await begun(scripted, origin, ITEM_OPERATIONS)
    for _ in range(pieces):
        time_passes(scripted)
        await connection.send(b"m" * (600 // pieces))
    assert (await client.answer()).body == b"m" * 900
