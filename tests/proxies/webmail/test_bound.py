"""Logins that are a connection's (NTLM, Negotiate): what passes, and whose connection is whose."""

from tests.proxies.webmail.bound_site import (
    ANNA,
    ASKS,
    CHALLENGE,
    MAIL,
    OFFERS,
    by_the_pool,
    challenged,
    challenges,
    logged_in,
    names,
    outcomes,
    post,
    refused_by_server,
)
from tests.support.fronted import Fronted
from tests.support.ntlm_messages import (
    NTLM_OID,
    begun,
    challenge,
    first,
    goes_on,
    last,
    shown,
)
from tests.support.raw_http import request
from tests.support.scripted_origin import Origin


async def test_the_offer_passes_where_it_is_opened(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post())
    _, answer = await by_the_pool(origin, client)
    assert challenges(answer) == ["NTLM", 'Basic realm="x"']


async def test_a_server_that_has_negotiate_alone(judging: Fronted, origin: Origin) -> None:
    """NTLM may be within it."""
    client = await judging.client()
    client.write(post())
    _, answer = await by_the_pool(origin, client, "WWW-Authenticate: Negotiate")
    assert challenges(answer) == ["Negotiate"]


async def test_elsewhere_nothing_of_it_is_offered_or_taken(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    answer = await client.ask(request("/SOGo/dav/", b"", method="PROPFIND", Authorization=ASKS), "PROPFIND")
    assert [each[:5] for each in challenges(answer)] == ["Basic"]
    assert not origin.unaccepted


async def test_one_client_has_one_connection(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    for _ in range(3):
        client.write(post())
        asked = await connection.request()
        assert asked.header("Authorization") == ""
        await connection.answer(MAIL)
        assert (await client.answer()).body == MAIL
    assert not origin.unaccepted
    assert outcomes(judging, "accepted", "rejected") == [1, 0]
    other = await judging.client()
    other.write(post())
    asked, answer = await by_the_pool(origin, other)
    assert (asked.header("Authorization"), answer.status) == ("", 401)
    assert not connection.ended


async def test_it_ends_with_its_client(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    client.close()
    await connection.until_ended()
    assert not origin.unaccepted


async def test_its_client_ends_with_it(judging: Fronted, origin: Origin) -> None:
    client, connection = await logged_in(judging, origin)
    connection.close()
    assert (await client.answer()).closed


async def test_a_server_that_closes_behind_the_challenge(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(ASKS))
    connection = await origin.connection()
    await refused_by_server(connection, CHALLENGE, "Connection: close")
    answer = await client.answer()
    assert (answer.status, answer.header("Connection")) == (401, "close")


async def test_a_wrong_password(judging: Fronted, origin: Origin) -> None:
    client, connection = await challenged(judging, origin)
    client.write(post(names("anna")))
    await refused_by_server(connection, *OFFERS)
    answer = await client.answer()
    assert (answer.status, challenges(answer)) == (401, ["NTLM", 'Basic realm="x"'])
    await connection.until_ended()
    assert outcomes(judging, "accepted", "rejected") == [0, 1]
    await challenged(judging, origin, client=client)


async def test_ntlm_within_negotiate(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(post(shown("Negotiate", begun(first()))))
    connection = await origin.connection()
    said = shown("Negotiate", goes_on(challenge(), mechanism=NTLM_OID))
    await refused_by_server(connection, f"WWW-Authenticate: {said}")
    assert challenges(await client.answer()) == [said]
    client.write(post(shown("Negotiate", goes_on(last("anna", "CORP")))))
    await connection.request()
    await connection.answer(MAIL, "200 OK", "WWW-Authenticate: Negotiate oQcwBaADCgEA")
    answer = await client.answer()
    assert (answer.body, challenges(answer)) == (MAIL, ["Negotiate oQcwBaADCgEA"])
    client.write(post())
    await connection.request()
    judging.dirty(ANNA, "phone1")
    assert (await client.answer()).status == 403
