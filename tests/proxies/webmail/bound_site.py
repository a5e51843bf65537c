"""A gateway at which EWS takes logins that are a connection's, and what clients and mail server say there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.domain.identity import IdentityRules, identity_rules
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail.exposure import WebmailSettings
from tests.support.fronted import Fronted, fronted
from tests.support.ntlm_messages import (
    KERBEROS_OID,
    NTLM_OID,
    UNICODE,
    begun,
    challenge,
    first,
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
