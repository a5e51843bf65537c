"""The client certificate of a phone's connection: by ActiveSync, on both ways, and over its whole life."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from gateway.domain.access import Protocol
from gateway.domain.shown import Demand, Demands
from gateway.proxies.client_certificates import CertificateFields
from tests.network.authority import Authority
from tests.support.certified import FIELDS, RULES, Enrolment
from tests.support.fronted import TIKTOK, Fronted, fronted, until
from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.scripted_origin import Origin
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer

ANNA, PHONE, SERIAL = "anna@corp.example", "phone1", "serial:f9fxj0"
BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
"""FolderSync, Status 129."""
ENDS_SOON_SECONDS = 6
"""Long enough for two phones to be connected on a busy machine."""


@pytest.fixture
def enrolment(tmp_path: Path) -> Enrolment:
    return Enrolment(Authority(tmp_path))


@asynccontextmanager
async def asking(
    enrolment: Enrolment, upstream: str, fields: CertificateFields = FIELDS, demands: Demands | None = None
) -> AsyncIterator[Fronted]:
    """A gateway within TLS that asks for certificates; Anna's phone is clean, and called by its serial number."""
    async with fronted(
        upstream, rules=RULES, start=True, certificates=enrolment.reader(fields), demands=demands
    ) as gateway:
        gateway.url = await gateway.listen(enrolment.server(("http/1.1",)))
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, PHONE, keys=(SERIAL,)))
        yield gateway


def folder_sync(user: str = ANNA, device: str = PHONE) -> bytes:
    return request(eas("FolderSync", user, device), FOLDER_SYNC, user=user)


async def asked(gateway: Fronted, tls: ssl.SSLContext, octets: bytes = b"") -> HttpAnswer:
    client = await gateway.client(tls=tls)
    return await client.ask(octets or folder_sync())


async def parked(gateway: Fronted, origin: Origin, tls: ssl.SSLContext) -> Client:
    """A phone whose Ping waits at the mail server."""
    client = await gateway.client(tls=tls)
    client.write(request(eas("Ping", ANNA, PHONE), PING, user=ANNA))
    await (await origin.connection()).request()
    await until(lambda: gateway.front.status()["parked"] == 1)
    return client


async def test_the_right_one_has_mail_and_stands_in_the_log(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        tls = enrolment.device(ANNA, "F9FXJ0")
        assert (await asked(gateway, tls)).status == 200
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, PHONE, TIKTOK, keys=(SERIAL,)))
        with structlog.testing.capture_logs() as logs:
            assert (await asked(gateway, tls)).body == BLOCKED
        (line,) = [each for each in logs if each["event"] == "refused"]
        assert (line["identity"], line["device"], line["reason"]) == ("client_certificate", PHONE, "banned_app")
        assert "@" in line["certificate"]


async def test_beside_a_clean_device_id_the_dirty_device_of_the_certificate_decides(
    enrolment: Enrolment, mailbox: MailboxServer
) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "phone2", TIKTOK, keys=("serial:other",)))
        # The DeviceId of the clean phone, typed into the other one.
        assert (await asked(gateway, enrolment.device(ANNA, "OTHER"))).body == BLOCKED
        assert (await asked(gateway, enrolment.client(None))).status == 200


async def test_of_another_user_it_is_a_wrong_login(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        before = len(mailbox.received)
        with structlog.testing.capture_logs() as logs:
            for user in ("bert@corp.example", ""):
                answer = await asked(gateway, enrolment.device(user, "F9FXJ0"))
                assert (answer.status, answer.header("WWW-Authenticate")[:5]) == (401, "Basic")
        assert len(mailbox.received) == before
        assert [each["event"] for each in logs].count("certificate_wrong") == 2
        assert gateway.counted("gatepost_certificates_wrong_total", "activesync") == 2


async def test_expired_it_does_not_get_in(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        try:
            answer = await asked(gateway, enrolment.expired(ANNA, "F9FXJ0"))
        except (ssl.SSLError, ConnectionError):
            return
        # By TLS 1.3 a client may believe that it is connected until it reads.
        assert (answer.status, answer.closed) == (0, True)


async def test_of_a_device_that_nobody_reports_the_setting_for_it_decides(
    enrolment: Enrolment, mailbox: MailboxServer
) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        # As it comes, unmatched only reports.
        assert (await asked(gateway, enrolment.device(ANNA, "NOBODY"))).status == 200


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_its_end_cuts_a_waiting_phone(enrolment: Enrolment, origin: Origin, end: str) -> None:
    async with asking(enrolment, origin.url) as gateway:
        gateway.proved(ANNA)
        # It is waited for: nothing but the moment itself ends what an expired certificate came by.
        soon = datetime.now(UTC) + timedelta(seconds=ENDS_SOON_SECONDS) if end == "expired" else None
        issued = enrolment.issue(ANNA, "F9FXJ0", soon)
        client = await parked(gateway, origin, enrolment.client(issued))
        other = await parked_too(gateway, origin, enrolment.device(ANNA, "F9FXJ0"))
        assert gateway.certificates is not None
        with structlog.testing.capture_logs() as logs:
            if end == "revoked":
                enrolment.revoke(issued)
                gateway.certificates.reload(gateway.decision)
            answer = await client.answer()
        assert (answer.status, answer.body) == (200, PING_CUT)
        (line, *_) = [each for each in logs if each["event"] == "cut"]
        assert (line["reason"], line["identity"]) == ("certificate_ended", "client_certificate")
        # Its next request is refused too, or the connection is gone already.
        client.write(folder_sync())
        answer = await client.answer()
        assert answer.body == BLOCKED or answer.closed
        # Another certificate is none of this.
        assert gateway.front.status()["parked"] == 1
        other.close()


async def parked_too(gateway: Fronted, origin: Origin, tls: ssl.SSLContext) -> Client:
    """Another phone of Anna's, under a DeviceId of its own."""
    gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "phone2"))
    client = await gateway.client(tls=tls)
    client.write(request(eas("Ping", ANNA, "phone2"), PING, user=ANNA))
    await (await origin.connection()).request()
    await until(lambda: gateway.front.status()["parked"] == 2)
    return client


async def test_a_connection_at_rest_is_closed_when_its_certificate_ends(
    enrolment: Enrolment, mailbox: MailboxServer
) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        ending, staying = (
            await gateway.client(tls=enrolment.client(issued)),
            await gateway.client(tls=enrolment.device(ANNA, "F9FXJ0")),
        )
        for client in (ending, staying):
            assert (await client.ask(folder_sync())).status == 200
        enrolment.revoke(issued)
        assert gateway.certificates is not None
        gateway.certificates.reload(gateway.decision)
        # By the front's own sweep, within a second.
        assert (await ending.answer()).closed
        assert (await staying.ask(folder_sync())).status == 200


async def test_a_bad_list_changes_nothing(enrolment: Enrolment, origin: Origin) -> None:
    async with asking(enrolment, origin.url) as gateway:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        await parked(gateway, origin, enrolment.client(issued))
        assert gateway.certificates is not None
        enrolment.crl.write_bytes(b"no list")
        with structlog.testing.capture_logs() as logs:
            gateway.certificates.reload(gateway.decision)
        assert [each["event"] for each in logs] == ["certificate_not_reloaded"]
        assert gateway.front.status()["parked"] == 1


# --- The short way


SYNC = request(eas("Sync", ANNA, PHONE), bytes.fromhex("03016a00455c4f4b033000015203350001010101"), user=ANNA)


async def regular(gateway: Fronted, tls: ssl.SSLContext) -> Client:
    client = await gateway.client(tls=tls)
    for _ in range(3):
        assert (await client.ask(SYNC)).status == 200
    return client


def takes(gateway: Fronted) -> list[bool]:
    """Whether each of the requests from now on takes the short way."""
    taken: list[bool] = []
    way = gateway.front.short_way
    begin = way.begin

    def begun(*what: object) -> bool:
        taken.append(begin(*what))  # type: ignore[arg-type]
        return taken[-1]

    way.begin = begun  # type: ignore[assignment]
    return taken


async def test_a_standing_is_kept_for_each_certificate(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        one, two = enrolment.device(ANNA, "F9FXJ0"), enrolment.device(ANNA, "F9FXJ0")
        taken = takes(gateway)
        await regular(gateway, one)
        assert taken[-1]
        standings = gateway.front.short_way.standings.by_mark
        assert len(standings) == 1
        await regular(gateway, two)
        await regular(gateway, enrolment.client(None))
        assert len(standings) == 3
        # The words and the password of a phone that has a standing, with a dirty device's certificate.
        gateway.decision.changed(ANNA, gateway.evidence.put(ANNA, "phone2", TIKTOK, keys=("serial:other",)))
        await regular(gateway, one)
        await regular(gateway, enrolment.client(None))
        gateway.proved(ANNA)
        answer = await asked(gateway, enrolment.device(ANNA, "OTHER"), SYNC)
        assert b"\x03129" in answer.body
        assert len(standings) == 3


async def test_what_is_remembered_of_a_phone_ends_with_its_certificate(
    enrolment: Enrolment, mailbox: MailboxServer
) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        issued = enrolment.issue(ANNA, "F9FXJ0")
        client = await regular(gateway, enrolment.client(issued))
        enrolment.revoke(issued)
        assert gateway.certificates is not None
        gateway.certificates.reload(gateway.decision)
        client.write(SYNC)
        answer = await client.answer()
        assert b"\x03129" in answer.body or answer.closed


async def test_a_demand_holds_on_the_short_way(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    demands = {Protocol.ACTIVESYNC: Demand.CERTIFICATE}
    async with asking(enrolment, mailbox.url, demands=demands) as gateway:
        await regular(gateway, enrolment.device(ANNA, "F9FXJ0"))
        for tls in (enrolment.client(None), enrolment.device(ANNA, "")):
            client = await gateway.client(tls=tls)
            for _ in range(2):
                assert b"\x03129" in (await client.ask(SYNC)).body


async def test_a_demand_is_told_in_words_where_there_are_any(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    demands = {Protocol.ACTIVESYNC: Demand.CERTIFICATE}
    async with asking(enrolment, mailbox.url, demands=demands) as gateway:
        old = request(eas("FolderSync", ANNA, PHONE), FOLDER_SYNC, user=ANNA, MS_ASProtocolVersion="12.1")
        answer = await asked(gateway, enrolment.client(None), old)
        assert answer.status == 403
        assert b"client certificate of a managed device" in answer.body
        # Not to somebody whose password is wrong.
        answer = await asked(gateway, enrolment.client(None), old.replace(b"Basic ", b"Basic AAAA"))
        assert answer.status in (400, 401)


# --- Which field holds what


@pytest.mark.parametrize(
    ("fields", "serial", "effect"),
    [
        (CertificateFields(user="none", device="subject_serial"), "F9FXJ0", 200),
        (CertificateFields(user="email", device="none"), "", 200),
        (CertificateFields(user="upn", device="none"), "", 401),
        (CertificateFields(user="cn", device="none"), "", 401),
    ],
)
async def test_the_settings_say_what_is_read(
    enrolment: Enrolment, mailbox: MailboxServer, fields: CertificateFields, serial: str, effect: int
) -> None:
    async with asking(enrolment, mailbox.url, fields) as gateway:
        assert (await asked(gateway, enrolment.device(ANNA, serial))).status == effect


async def test_it_is_read_once_for_each_connection(enrolment: Enrolment, mailbox: MailboxServer) -> None:
    async with asking(enrolment, mailbox.url) as gateway:
        assert gateway.certificates is not None
        read: list[object] = []
        of = gateway.certificates.of
        gateway.certificates.of = lambda transport: read.append(transport) or of(transport)  # type: ignore[func-returns-value, method-assign]
        client = await gateway.client(tls=enrolment.device(ANNA, "F9FXJ0"))
        for _ in range(5):
            assert (await client.ask(SYNC)).status == 200
        assert len(read) == 1
        await asyncio.sleep(0)
