"""Limits of logins that are a connection's, and those that hide who it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail import bound_login
from gateway.proxies.webmail.exposure import CERTIFICATE, VERDICT, WebmailSettings
from tests.network.authority import Authority
from tests.proxies.webmail.bound_site import (
    ANNA,
    ASKS,
    BERT,
    CHALLENGE,
    LOOPBACK,
    MAIL,
    RULES,
    TICKET,
    by_the_pool,
    challenged,
    challenges,
    names,
    opened,
    outcomes,
    post,
    refused_by_server,
)
from tests.support.certified import Enrolment
from tests.support.fronted import TIKTOK, Fronted, fronted, until
from tests.support.ntlm_messages import (
    goes_on,
    shown,
)
from tests.support.raw_http import Client
from tests.support.scripted_origin import Origin


async def test_no_more_than_so_many(origin: Origin) -> None:
    async with opened(origin, VERDICT, most=1) as gateway:
        client, _ = await challenged(gateway, origin)
        other = await gateway.client()
        answer = await other.ask(post(ASKS))
        assert (answer.status, answer.header("Connection")) == (503, "close")
        client.close()
        await until(lambda: gateway.front._webmail.bound.connections == 0)
        await challenged(gateway, origin)


async def test_a_challenge_is_not_waited_for_for_ever(judging: Fronted, origin: Origin) -> None:
    client, connection = await challenged(judging, origin)
    judging.clock.ahead = 14
    judging.front.sweep()
    assert not connection.ended
    judging.clock.ahead = 17
    judging.front.sweep()
    assert (await client.answer()).closed
    await connection.until_ended()


async def test_who_begins_again_and_again(judging: Fronted, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound_login, "TRIES_MOST", 2)
    client, _ = await challenged(judging, origin)
    await challenged(judging, origin, client=client)
    client.write(post(ASKS))
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.header("Connection")) == ("", "close")


async def test_a_ticket_names_nobody_who_could_be_judged(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(TICKET))
    asked, answer = await by_the_pool(origin, client)
    assert asked.header("Authorization") == ""
    assert challenges(answer) == ["NTLM", 'Basic realm="x"']
    assert outcomes(judging, "hidden") == [1]


async def test_from_a_network_nobody_is_judged(origin: Origin) -> None:
    async with opened(origin, LOOPBACK) as gateway:
        client = await gateway.client()
        client.write(post())
        _, answer = await by_the_pool(origin, client)
        assert challenges(answer) == ["Negotiate", "NTLM", 'Basic realm="x"']
        client.write(post(TICKET))
        connection = await origin.connection()
        assert (await connection.request()).header("Authorization") == TICKET
        await connection.answer(MAIL)
        assert (await client.answer()).body == MAIL
        for authorization in ("", TICKET, ""):
            client.write(post(authorization))
            assert (await connection.request()).header("Authorization") == authorization
            await connection.answer(MAIL)
            assert (await client.answer()).body == MAIL
        client.write(post(ASKS))
        other = await origin.connection()
        await refused_by_server(other, CHALLENGE)
        assert (await client.answer()).status == 401
        await connection.until_ended()


async def test_a_login_of_several_tickets(origin: Origin) -> None:
    async with opened(origin, LOOPBACK) as gateway:
        client = await gateway.client()
        client.write(post(TICKET))
        connection = await origin.connection()
        said = shown("Negotiate", goes_on(b"more"))
        await refused_by_server(connection, f"WWW-Authenticate: {said}")
        assert challenges(await client.answer()) == [said]
        further = shown("Negotiate", goes_on(b"still more"))
        client.write(post(further))
        assert (await connection.request()).header("Authorization") == further
        await connection.answer(MAIL)
        assert (await client.answer()).body == MAIL


@asynccontextmanager
async def certified(tmp_path: Path, origin: Origin) -> AsyncIterator[tuple[Fronted, Client]]:
    """A gateway at which EWS is open for certificates, and a client with that of anna's laptop, which is clean."""
    enrolment = Enrolment(Authority(tmp_path))
    webmail = WebmailSettings(openings={Rule.EWS: (CERTIFICATE,)}, connection_bound=frozenset((Rule.EWS,)))
    async with fronted(origin.url, rules=RULES, certificates=enrolment.reader(), webmail=webmail) as gateway:
        gateway.url = await gateway.listen(enrolment.server(("http/1.1",)))
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "laptop", keys=("serial:f9fxj0",)))
        gateway.clean(BERT, "phone2")
        await gateway.known(ANNA)
        yield gateway, await gateway.client(tls=enrolment.device(ANNA, "F9FXJ0"))


async def test_a_ticket_beside_the_certificate_of_a_device(tmp_path: Path, origin: Origin) -> None:
    async with certified(tmp_path, origin) as (gateway, client):
        client.write(post())
        _, answer = await by_the_pool(origin, client)
        assert challenges(answer)[0] == "Negotiate"
        client.write(post(TICKET))
        connection = await origin.connection()
        await connection.request()
        await connection.answer(MAIL)
        assert (await client.answer()).body == MAIL
        client.write(post())
        await connection.request()
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "laptop", TIKTOK, keys=("serial:f9fxj0",)))
        answer = await client.answer()
        assert (answer.status, b"musically" in answer.body) == (403, True)
        await connection.until_ended()


async def test_another_users_certificate_beside_ntlm_is_a_wrong_login(tmp_path: Path, origin: Origin) -> None:
    async with certified(tmp_path, origin) as (gateway, client):
        await gateway.known(BERT)
        client, connection = await challenged(gateway, origin, client=client)
        client.write(post(names("bert")))
        assert (await client.answer()).status == 401
        await connection.until_ended()
