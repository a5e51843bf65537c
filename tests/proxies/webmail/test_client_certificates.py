"""Other mail by HTTP that is open for the certificates of devices: judged by it, and for nobody without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail.exposure import CERTIFICATE, VERDICT, WebmailSettings
from tests.network.authority import Authority
from tests.support.certified import RULES, Enrolment
from tests.support.fronted import TIKTOK, Fronted, fronted, until
from tests.support.raw_http import request
from tests.support.scripted_origin import Origin

ANNA = "anna@corp.example"
CALENDAR = "/SOGo/dav/anna/Calendar/personal/"
MULTISTATUS = b'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"/>'


@pytest.fixture
def enrolment(tmp_path: Path) -> Enrolment:
    return Enrolment(Authority(tmp_path))


@asynccontextmanager
async def opened(enrolment: Enrolment, origin: Origin, *openings: str) -> AsyncIterator[Fronted]:
    """A gateway at which every rule is open in this way. Anna's laptop is clean and reported, her phone is dirty."""
    webmail = WebmailSettings(openings=dict.fromkeys(Rule, openings))
    async with fronted(
        origin.url, rules=RULES, start=False, certificates=enrolment.reader(), webmail=webmail
    ) as gateway:
        gateway.url = await gateway.listen(enrolment.server(("http/1.1",)))
        gateway.evidence.put(ANNA, "phone", TIKTOK)
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "laptop", keys=("serial:f9fxj0",)))
        gateway.proved(ANNA)
        await gateway.known(ANNA)
        yield gateway


def propfind() -> bytes:
    return request(CALENDAR, b"<x/>", method="PROPFIND", user=ANNA, Depth="1")


async def test_open_for_the_certificate_of_a_device_alone(enrolment: Enrolment, origin: Origin) -> None:
    async with opened(enrolment, origin, CERTIFICATE) as gateway:
        for tls in (enrolment.client(None), enrolment.device(ANNA, "")):
            client = await gateway.client(tls=tls)
            assert (await client.ask(propfind(), "PROPFIND")).status == 404
        client = await gateway.client(tls=enrolment.device(ANNA, "F9FXJ0"))
        client.write(propfind())
        connection = await origin.connection()
        await connection.request()
        await connection.answer(MULTISTATUS, "207 Multi-Status")
        answer = await client.answer("PROPFIND")
        assert (answer.status, answer.body) == (207, MULTISTATUS)


async def test_a_device_that_nobody_reports_does_not_help(enrolment: Enrolment, origin: Origin) -> None:
    async with opened(enrolment, origin, CERTIFICATE) as gateway:
        client = await gateway.client(tls=enrolment.device(ANNA, "NOBODY"))
        answer = await client.ask(propfind(), "PROPFIND")
        assert (answer.status, b"need-privileges" in answer.body) == (403, True)


async def test_of_another_user_it_is_a_wrong_login(enrolment: Enrolment, origin: Origin) -> None:
    async with opened(enrolment, origin, VERDICT) as gateway:
        client = await gateway.client(tls=enrolment.device("bert@corp.example", "F9FXJ0"))
        assert (await client.ask(propfind(), "PROPFIND")).status == 401


async def test_revoked_what_waits_is_refused(enrolment: Enrolment, origin: Origin) -> None:
    async with opened(enrolment, origin, CERTIFICATE) as gateway:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client = await gateway.client(tls=enrolment.client(issued))
        client.write(propfind())
        connection = await origin.connection()
        await connection.request()
        enrolment.revoke(issued)
        assert gateway.certificates is not None
        gateway.certificates.reload(gateway.decision)
        answer = await client.answer("PROPFIND")
        assert (answer.status, b"revoked or has expired" in answer.body) == (403, True)
        await until(lambda: connection.ended)
