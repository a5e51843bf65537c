"""The client certificate at submission: within TLS from the start and after STARTTLS, and over a session's life."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from gateway.domain.access import Protocol
from gateway.domain.shown import Demand, Demands
from tests.network.authority import Authority
from tests.support.certified import Enrolment
from tests.support.fronted import TIKTOK
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, SmtpClient, Submitted, plain, submitted

KEY = "serial:f9fxj0"
MAIL = b"MAIL FROM:<anna@corp.example>"


@pytest.fixture
def enrolment(authority: Authority) -> Enrolment:
    return Enrolment(authority)


@asynccontextmanager
async def serving(
    enrolment: Enrolment, server: SubmissionServer, demands: Demands | None = None, *, secure: bool = True
) -> AsyncIterator[Submitted]:
    """A front that asks for certificates. Anna's laptop is clean and reported, her phone is dirty."""
    async with submitted(server.url, certificates=enrolment.reader(), demands=demands) as front:
        front.port = await front.listen(enrolment.server(), secure=secure)
        front.evidence.put(ANNA, "phone", TIKTOK)
        front.decision.changed(ANNA, front.evidence.put(ANNA, "laptop", keys=(KEY,)))
        yield front


async def logged_in(front: Submitted, tls: ssl.SSLContext) -> SmtpClient:
    client = await front.client(tls=tls)
    assert (await client.logged_in())[:3] == b"235"
    return client


async def test_the_device_of_the_certificate_decides(enrolment: Enrolment, server: SubmissionServer) -> None:
    async with serving(enrolment, server) as front:
        client = await logged_in(front, enrolment.device(ANNA, "F9FXJ0"))
        assert (await client.ask(MAIL))[:3] == b"250"
        for tls in (enrolment.client(None), enrolment.device(ANNA, "NOBODY")):
            client = await logged_in(front, tls)
            assert (await client.ask(MAIL))[:9] == b"550 5.7.1"


async def test_after_starttls(enrolment: Enrolment, server: SubmissionServer) -> None:
    async with serving(enrolment, server, secure=False) as front:
        client = await front.client()
        await client.greeted()
        assert (await client.ask(b"STARTTLS"))[:3] == b"220"
        await client.start_tls(enrolment.device(ANNA, "F9FXJ0"))
        await client.ask(b"EHLO again")
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"235"
        assert (await client.ask(MAIL))[:3] == b"250"


async def test_of_another_user_it_is_a_wrong_login(enrolment: Enrolment, server: SubmissionServer) -> None:
    async with serving(enrolment, server) as front:
        client = await front.client(tls=enrolment.device("bert@corp.example", "F9FXJ0"))
        assert (await client.logged_in())[:9] == b"535 5.7.8"
        assert not any(b"AUTH" in line for line in server.commands)
        assert front.logins("wrong_credential") == 1


async def test_expired_it_does_not_get_in(enrolment: Enrolment, server: SubmissionServer) -> None:
    async with serving(enrolment, server) as front:
        try:
            client = await front.client(tls=enrolment.expired(ANNA, "F9FXJ0"))
            assert await client.closed()
        except (ssl.SSLError, ConnectionError):
            pass
        assert not front.front.admission.connections


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_its_end_ends_the_session(enrolment: Enrolment, server: SubmissionServer, end: str) -> None:
    async with serving(enrolment, server) as front:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client = await logged_in(front, enrolment.client(issued))
        other = await logged_in(front, enrolment.device(ANNA, "F9FXJ0"))
        assert (await client.ask(MAIL))[:3] == b"250"
        assert front.certificates is not None
        with structlog.testing.capture_logs() as logs:
            if end == "revoked":
                enrolment.revoke(issued)
                front.certificates.reload(front.decision)
            else:
                front.now.ahead = 86_400.0 + 60.0
                await front.decision.rejudge_all()
            said = await client.reply()
            await front.decision.afterwards.close()
        assert said[:9] == b"421 4.7.0"
        assert b"The client certificate of this device was revoked or has expired." in said
        assert await client.closed()
        assert next(each["reason"] for each in logs if each["event"] == "cut") == "certificate_ended"
        if end == "revoked":
            assert (await other.ask(MAIL))[:3] == b"250"


async def test_a_message_under_way_is_taken_to_its_end(enrolment: Enrolment, server: SubmissionServer) -> None:
    async with serving(enrolment, server) as front:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client = await logged_in(front, enrolment.client(issued))
        assert (await client.at_data())[:3] == b"354"
        enrolment.revoke(issued)
        assert front.certificates is not None
        front.certificates.reload(front.decision)
        assert (await client.ask(b"Hello\r\n."))[:3] == b"250"
        # In place of an answer to the next command.
        assert (await client.reply())[:9] == b"421 4.7.0"


@pytest.mark.parametrize("demand", [Demand.CERTIFICATE, Demand.EITHER])
async def test_what_is_demanded_is_told(enrolment: Enrolment, server: SubmissionServer, demand: Demand) -> None:
    async with serving(enrolment, server, {Protocol.SMTP: demand}) as front:
        front.decision.changed(ANNA, front.evidence.put(ANNA, "phone"))
        client = await logged_in(front, enrolment.client(None))
        said = await client.ask(MAIL)
        assert said[:9] == b"550 5.7.1"
        assert b"opens only with the client certificate of a managed device" in said
        client = await logged_in(front, enrolment.device(ANNA, "F9FXJ0"))
        assert (await client.ask(MAIL))[:3] == b"250"
