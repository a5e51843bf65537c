"""Who is judged of logins that are a connection's, and verdicts that turn under them."""

import pytest

from tests.proxies.webmail.bound_site import (
    ANNA,
    EWS,
    LOOPBACK,
    MAIL,
    OFFERS,
    by_the_pool,
    challenged,
    challenges,
    logged_in,
    names,
    opened,
    outcomes,
    post,
    refused_by_server,
)
from tests.support.fronted import TIKTOK, Fronted, until
from tests.support.ntlm_messages import (
    ANONYMOUS,
    OEM,
    UNICODE,
    last,
    shown,
)
from tests.support.raw_http import Client
from tests.support.scripted_origin import Origin, OriginConnection


@pytest.mark.parametrize(
    ("user", "domain", "flags"),
    [
        ("bert", "CORP", UNICODE),
        ("BERT", "corp.example", UNICODE),
        ("bert@corp.example", "", UNICODE),
        ("bert", "", UNICODE),
        ("bert", "CORP", OEM),
        ("bert@corp", "", OEM),
    ],
)
async def test_who_is_named_is_judged_and_nothing_is_done(
    judging: Fronted, origin: Origin, user: str, domain: str, flags: int
) -> None:
    """The mail server is asked whether it accepts him by a request without an effect."""
    client, connection = await challenged(judging, origin, flags)
    client.write(post(names(user, domain, flags)))
    asked = await connection.request()
    assert (asked.line, asked.body) == (f"GET {EWS} HTTP/1.1".encode(), b"")
    assert asked.header("Authorization") == names(user, domain, flags)
    await connection.answer(MAIL)
    answer = await client.answer()
    assert (answer.status, answer.header("Connection")) == (403, "close")
    assert b"musically" in answer.body
    assert MAIL not in answer.body
    await connection.until_ended()
    assert judging.ended("ews POST", "refused") == 1


async def test_a_stranger_learns_nothing(judging: Fronted, origin: Origin) -> None:
    client, connection = await challenged(judging, origin)
    client.write(post(names("bert")))
    await refused_by_server(connection, *OFFERS)
    answer = await client.answer()
    assert (answer.status, challenges(answer)[0]) == (401, "NTLM")
    assert b"musically" not in answer.body
    await connection.until_ended()


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "500 Internal Server Error"])
async def test_no_success_no_proof(judging: Fronted, origin: Origin, status: str) -> None:
    client, connection = await challenged(judging, origin)
    client.write(post(names("bert")))
    await connection.request()
    await connection.answer(b"", status)
    answer = await client.answer()
    assert (answer.status, b"musically" in answer.body) == (503, False)


async def test_wrong_passwords_of_a_refused_phone_lock_no_account(judging: Fronted, origin: Origin) -> None:
    for _ in range(4):
        client, connection = await challenged(judging, origin)
        client.write(post(names("bert")))
        await refused_by_server(connection, *OFFERS)
        assert (await client.answer()).status == 401
    client, connection = await challenged(judging, origin)
    client.write(post(names("bert")))
    assert (await client.answer()).status == 503
    await connection.until_ended()


async def test_nobody_known(judging: Fronted, origin: Origin) -> None:
    judging.evidence.unavailable = True
    client, connection = await challenged(judging, origin)
    client.write(post(names("carl")))
    assert (await client.answer()).status == 503
    await connection.until_ended()


NOBODY = {
    "no name": last("", ""),
    "a domain alone": last("", "CORP"),
    "the flag": last("anna", "CORP", UNICODE | ANONYMOUS),
    "no response": last("anna", "CORP", response=b""),
    "other letters": last("anna", "CORP", OEM),
}
DOUBTFUL = {"two domains": last("anna@corp.example", "ELSEWHERE"), "a separator": last("CORP\\anna")}


@pytest.mark.parametrize("name", [*NOBODY, *DOUBTFUL])
async def test_who_cannot_be_read_is_nobody(judging: Fronted, origin: Origin, name: str) -> None:
    client, connection = await challenged(judging, origin)
    await turned_down(judging, origin, client, connection, {**NOBODY, **DOUBTFUL}[name])


async def turned_down(
    gateway: Fronted, origin: Origin, client: Client, connection: OriginConnection, message: bytes
) -> None:
    client.write(post(shown("NTLM", message)))
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status, answer.header("Connection")) == ("", 401, "close")
    await connection.until_ended()
    assert outcomes(gateway, "unreadable", "accepted") == [1, 0]


async def test_from_a_network_an_anonymous_login_is_none_and_any_name_is_one(origin: Origin) -> None:
    async with opened(origin, LOOPBACK) as gateway:
        client, connection = await challenged(gateway, origin)
        await turned_down(gateway, origin, client, connection, NOBODY["no name"])
        for message in DOUBTFUL.values():
            client, connection = await challenged(gateway, origin)
            client.write(post(shown("NTLM", message)))
            assert (await connection.request()).header("Authorization") == shown("NTLM", message)
            await connection.answer(MAIL)
            assert (await client.answer()).body == MAIL


async def test_while_the_mail_server_works(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    client.write(post())
    await connection.request()
    judging.dirty(ANNA, "phone1")
    answer = await client.answer()
    assert (answer.status, answer.header("Connection"), b"musically" in answer.body) == (403, "close", True)
    await connection.until_ended()


async def test_between_two_requests(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    judging.dirty(ANNA, "phone1")
    await judging.known(ANNA)
    answer = await client.ask(post())
    assert (answer.status, b"musically" in answer.body) == (403, True)
    await connection.until_ended()


async def test_within_an_answer(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    client.write(post())
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<mail")
    await until(lambda: judging.front.status()["responding"] == 1)
    judging.dirty(ANNA, "phone1")
    assert (await client.answer()).closed
    await connection.until_ended()


async def test_while_the_login_is_asked_about(judging: Fronted, origin: Origin) -> None:
    """It is not proved, and cannot be any more: later."""
    client, connection = await challenged(judging, origin)
    client.write(post(names("anna")))
    await connection.request()
    judging.dirty(ANNA, "phone1")
    answer = await client.answer()
    assert (answer.status, b"musically" in answer.body) == (503, False)
    await connection.until_ended()


async def test_at_the_head_of_the_answer_that_proves_it(judging: Fronted, origin: Origin) -> None:
    """Nobody told the session: the record was changed and forgotten, and the answer is judged as it comes."""
    client, connection = await challenged(judging, origin)
    client.write(post(names("anna")))
    await connection.request()
    judging.evidence.put(ANNA, "phone1", TIKTOK)
    judging.cache.entries.clear()
    judging.cache._ring.clear()
    await connection.answer(MAIL)
    answer = await client.answer()
    assert (answer.status, MAIL in answer.body) == (403, False)
    await connection.until_ended()
