"""Somebody else on a connection that has a login, and others in between."""

import pytest

from gateway.proxies.webmail.exposure import VERDICT
from tests.proxies.webmail.bound_site import (
    ANNA,
    ASKS,
    CHALLENGE,
    EWS,
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
from tests.support.fronted import Fronted
from tests.support.ntlm_messages import (
    last,
    shown,
)
from tests.support.raw_http import request
from tests.support.scripted_origin import Origin


async def test_another_handshake_has_another_connection(judging: Fronted, origin: Origin) -> None:
    """Two people on one client's connection: the second is not taken for the first, by nobody."""
    client, connection = await logged_in(judging, origin)
    client, second = await challenged(judging, origin, client=client)
    await connection.until_ended()
    client.write(post(names("bert")))
    assert (await second.request()).line.startswith(b"GET ")
    await second.answer(MAIL)
    answer = await client.answer()
    assert (answer.status, MAIL in answer.body) == (403, False)


async def test_a_last_message_of_somebody_else_after_the_login(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    client.write(post(names("bert")))
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status, answer.header("Connection")) == ("", 401, "close")
    await connection.until_ended()
    assert outcomes(judging, "out_of_place") == [1]


async def test_a_last_message_without_a_challenge(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(names("anna")))
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status) == ("", 401)


async def test_a_challenge_of_another_connection_is_of_no_use(judging: Fronted, origin: Origin) -> None:
    _, connection = await challenged(judging, origin)
    other = await judging.client()
    other.write(post(names("anna")))
    asked, answer = await by_the_pool(origin, other)
    assert (asked.header("Authorization"), answer.status) == ("", 401)
    assert not connection.ended


@pytest.mark.parametrize(
    "octets",
    [
        request("/EWS/Services.wsdl", b"", method="GET", Authorization=names("anna")),
        request(EWS, b"", method="GET", Authorization=names("anna")),
        request(f"{EWS}?x=1", b"<soap/>", Authorization=names("anna")),
        post(shown("Negotiate", last("anna", "CORP"))),
    ],
    ids=["another place", "another method", "another query", "another scheme"],
)
async def test_the_login_is_for_the_request_that_was_challenged(
    judging: Fronted, origin: Origin, octets: bytes
) -> None:
    """At a place that asks nobody an answer would prove nothing."""
    client, connection = await challenged(judging, origin)
    client.write(octets)
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status) == ("", 401)
    await connection.until_ended()


async def test_other_credentials_have_nothing_to_do_with_the_login(judging: Fronted, origin: Origin) -> None:
    """A mail server may go by the connection, another by the request: it is judged and sent as the request's alone."""
    client, connection = await logged_in(judging, origin)
    client.write(request(EWS, b"<soap/>", user=ANNA))
    other = await origin.connection()
    assert (await other.request()).header("Authorization").startswith("Basic ")
    await other.answer(MAIL)
    assert (await client.answer()).body == MAIL
    await connection.until_ended()
    client.write(post())
    asked = await refused_by_server(other, *OFFERS)
    assert asked.header("Authorization") == ""
    assert (await client.answer()).status == 401


async def test_a_request_behind_the_first_message_is_nobodys(judging: Fronted, origin: Origin) -> None:
    """Pipelined: it waits for the challenge, and goes on without the connection."""
    client = await judging.client()
    client.write(post(ASKS, b"") + post())
    connection = await origin.connection()
    await refused_by_server(connection, CHALLENGE)
    assert (await client.answer()).status == 401
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status) == ("", 401)
    await connection.until_ended()


async def test_requests_behind_the_last_message_wait_for_the_proof(judging: Fronted, origin: Origin) -> None:
    client, connection = await challenged(judging, origin)
    client.write(post(names("anna")) + post() + post())
    await refused_by_server(connection, *OFFERS)
    assert (await client.answer()).status == 401
    await connection.until_ended()
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status) == ("", 401)


async def test_nothing_but_the_challenge_passes_before_the_login(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(ASKS))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(MAIL)
    answer = await client.answer()
    assert (answer.status, MAIL in answer.body, answer.header("Connection")) == (401, False, "close")
    await connection.until_ended()


async def test_two_challenges_are_none(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(ASKS))
    connection = await origin.connection()
    await refused_by_server(connection, CHALLENGE, CHALLENGE)
    answer = await client.answer()
    assert all(" T" not in each for each in challenges(answer))
    await connection.until_ended()


async def test_a_login_that_the_mail_server_does_not_keep(judging: Fronted, origin: Origin) -> None:
    """As IIS with authPersistSingleRequest: the next request is asked for credentials anew."""
    client, connection = await logged_in(judging, origin)
    client.write(post())
    await refused_by_server(connection, *OFFERS)
    assert challenges(await client.answer()) == ["NTLM", 'Basic realm="x"']
    await connection.until_ended()
    client, _ = await challenged(judging, origin, client=client)


@pytest.mark.parametrize("how", ["Connection: close", "HTTP/1.0"])
async def test_a_connection_that_is_not_kept_has_no_login(judging: Fronted, origin: Origin, how: str) -> None:
    octets = post(ASKS, Connection="close") if how[0] == "C" else post(ASKS).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    client = await judging.client()
    client.write(octets)
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status, answer.header("Connection")) == ("", 401, "close")
    assert outcomes(judging, "not_kept") == [1]


async def test_a_front_proxys_connection_is_everybodys(origin: Origin) -> None:
    async with opened(origin, VERDICT, trusted=("127.0.0.1/32",)) as gateway:
        client = await gateway.client()
        client.write(post())
        _, answer = await by_the_pool(origin, client)
        assert challenges(answer) == ['Basic realm="x"']
        answer = await client.ask(post(ASKS))
        assert (answer.status, challenges(answer)[0][:5]) == (401, "Basic")
        assert not origin.unaccepted


@pytest.mark.parametrize("header", ["Via", "Forwarded", "X_Forwarded_For", "X_Real_IP"])
async def test_so_is_that_of_one_who_writes_such_a_header(judging: Fronted, origin: Origin, header: str) -> None:
    client = await judging.client()
    answer = await client.ask(post(ASKS, b"<soap/>", **{header: "192.0.2.1"}))
    assert (answer.status, challenges(answer)[0][:5]) == (401, "Basic")
    client, connection = await logged_in(judging, origin)
    client.write(post("", b"<soap/>", **{header: "192.0.2.1"}))
    asked, answer = await by_the_pool(origin, client)
    assert (asked.header("Authorization"), answer.status) == ("", 401)
    await connection.until_ended()
