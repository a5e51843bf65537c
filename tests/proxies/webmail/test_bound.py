"""Logins that are a connection's (NTLM, Negotiate): whose connection is whose, who is judged, and what passes when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain.identity import IdentityRules, identity_rules
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail import bound_login
from gateway.proxies.webmail.exposure import CERTIFICATE, VERDICT, WebmailSettings
from tests.network.authority import Authority
from tests.support.certified import Enrolment
from tests.support.fronted import TIKTOK, Fronted, fronted, until
from tests.support.ntlm_messages import (
    ANONYMOUS,
    KERBEROS_OID,
    NTLM_OID,
    OEM,
    UNICODE,
    begun,
    challenge,
    first,
    goes_on,
    last,
    shown,
)
from tests.support.raw_http import Client, HttpAnswer, request
from tests.support.scripted_origin import Origin, OriginConnection, OriginRequest

ANNA, BERT = "anna@corp.example", "bert@corp.example"
EWS = "/EWS/Exchange.asmx"
LOOPBACK = "127.0.0.0/8"
RULES = identity_rules("corp.example", {"CORP": "corp.example"})
ASKS = shown("NTLM", first())
CHALLENGE = f"WWW-Authenticate: {shown('NTLM', challenge())}"
OFFERS = ("WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM", 'WWW-Authenticate: Basic realm="x"')
TICKET = shown("Negotiate", begun(b"ticket", KERBEROS_OID, NTLM_OID))
MAIL = b"<mail of anna/>"


@asynccontextmanager
async def opened(
    origin: Origin, *openings: str, trusted: tuple[str, ...] = (), rules: IdentityRules = RULES, most: int = 100
) -> AsyncIterator[Fronted]:
    """A gateway at which EWS takes such logins. Anna's phone is clean, Bert's is not."""
    webmail = WebmailSettings(
        openings={Rule.EWS: openings, Rule.DAV: openings},
        connection_bound=frozenset((Rule.EWS,)),
        bound_connections=most,
    )
    async with fronted(origin.url, webmail=webmail, rules=rules, trusted_proxies=trusted) as gateway:
        gateway.clean(ANNA, "phone1")
        gateway.dirty(BERT, "phone2")
        await gateway.known(ANNA)
        await gateway.known(BERT)
        yield gateway


@pytest.fixture
async def judging(origin: Origin) -> AsyncIterator[Fronted]:
    async with opened(origin, VERDICT) as gateway:
        yield gateway


def names(user: str, domain: str = "CORP", flags: int = UNICODE) -> str:
    return shown("NTLM", last(user, domain, flags))


def post(authorization: str = "", body: bytes = b"<soap/>", **headers: str) -> bytes:
    return request(EWS, body, Authorization=authorization, **headers)


async def refused_by_server(connection: OriginConnection, *fields: str) -> OriginRequest:
    asked = await connection.request()
    await connection.answer(b"", "401 Unauthorized", *fields)
    return asked


async def challenged(
    gateway: Fronted, origin: Origin, flags: int = UNICODE, client: Client | None = None
) -> tuple[Client, OriginConnection]:
    """A client that has the mail server's challenge."""
    client = client or await gateway.client()
    client.write(post(ASKS, b""))
    connection = await origin.connection()
    asked = await refused_by_server(connection, f"WWW-Authenticate: {shown('NTLM', challenge(flags))}", *OFFERS)
    assert asked.header("Authorization") == ASKS
    answer = await client.answer()
    assert challenges(answer) == [shown("NTLM", challenge(flags))]
    return client, connection


async def logged_in(gateway: Fronted, origin: Origin, user: str = "anna") -> tuple[Client, OriginConnection]:
    client, connection = await challenged(gateway, origin)
    client.write(post(names(user)))
    asked = await connection.request()
    assert asked.header("Authorization") == names(user)
    await connection.answer(MAIL)
    assert (await client.answer()).body == MAIL
    return client, connection


def challenges(answer: HttpAnswer) -> list[str]:
    return [value for name, value in answer.headers if name == "www-authenticate"]


def outcomes(gateway: Fronted, *wanted: str) -> list[float]:
    return [gateway.counted("gatepost_bound_logins_total", each) for each in wanted]


async def by_the_pool(origin: Origin, client: Client, *fields: str) -> tuple[OriginRequest, HttpAnswer]:
    """What the mail server gets on another connection, and what the client hears of its question for credentials."""
    connection = await origin.connection()
    asked = await refused_by_server(connection, *(fields or OFFERS))
    return asked, await client.answer()


# --- what passes


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


# --- who is judged


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


# --- a verdict that turns


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


# --- somebody else on the same connection


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


# --- others between


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


# --- limits


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


# --- logins that hide who it is


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
