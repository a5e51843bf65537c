"""The demo's mailbox server, asked by the demo's phone, by a phone of another make, and by rude clients."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.demo.mailbox_server import SERVER_NAME, Account, MailboxServer
from gateway.demo.phone import Phone, versions_of
from gateway.domain.errors import InvalidValue
from tests.support import phone as other
from tests.support.phone_commands import Mailbox, ping
from tests.support.raw_http import Client, ask, eas, request

USER = "anna@demo.example"


@pytest.fixture
async def server() -> AsyncIterator[MailboxServer]:
    server = MailboxServer(Account(USER, "secret"))
    await server.start()
    server.deliver("berta@demo.example", "One", "The first.")
    server.deliver("berta@demo.example", "Two", "The second.")
    yield server
    await server.close()


@pytest.fixture
async def phone(server: MailboxServer) -> AsyncIterator[Phone]:
    phone = Phone(server.url, USER, "secret", "PHONE1")
    yield phone
    phone.hang_up()


async def synced(phone: Phone) -> None:
    assert (await phone.folder_sync()).status == "1"
    for _ in range(2):
        assert (await phone.sync()).status == "1"


async def test_it_says_what_it_is(phone: Phone) -> None:
    answer = await phone.options()
    assert answer.fields["server"] == SERVER_NAME
    assert "not a real mail server" in SERVER_NAME
    assert phone.version in versions_of(answer)


async def test_a_phone_gets_its_mail_and_later_only_what_is_new(phone: Phone, server: MailboxServer) -> None:
    await synced(phone)
    assert phone.subjects == ["One", "Two"]
    server.deliver("carl@demo.example", "Three", "")
    for _ in range(2):
        assert (await phone.folder_sync()).status == "1"
        assert (await phone.sync()).status == "1"
    assert phone.subjects == ["One", "Two", "Three"]


async def test_a_wrong_password_is_asked_for_again(server: MailboxServer) -> None:
    stranger = Phone(server.url, USER, "guess", "PHONE1")
    answer = await stranger.options()
    assert answer.http_status == 401
    assert "Basic" in answer.fields["www-authenticate"]
    assert (await stranger.folder_sync()).http_status == 401
    with pytest.raises(InvalidValue, match="HTTP 401"):
        versions_of(answer)
    stranger.hang_up()
    assert not server.served


async def test_a_ping_waits_for_mail(phone: Phone, server: MailboxServer) -> None:
    await synced(phone)
    waiting = asyncio.create_task(phone.ping(600))
    await asyncio.wait_for(server.until_parked(1), 10)
    server.deliver("carl@demo.example", "Three", "")
    assert (await waiting).status == "2"
    assert server.parked == 0
    await phone.sync()
    assert phone.subjects[-1] == "Three"


async def test_mail_between_sync_and_ping_is_not_missed(phone: Phone, server: MailboxServer) -> None:
    await synced(phone)
    server.deliver("carl@demo.example", "Three", "")
    assert (await phone.ping(600)).status == "2"


async def test_a_ping_ends_when_its_time_is_up_and_the_connection_goes_on(phone: Phone) -> None:
    await synced(phone)
    assert (await phone.ping(0)).status == "1"
    assert (await phone.folder_sync()).status == "1"


async def test_a_phone_that_hangs_up_waits_no_more(phone: Phone, server: MailboxServer) -> None:
    await synced(phone)
    waiting = asyncio.create_task(phone.ping(600))
    await asyncio.wait_for(server.until_parked(1), 10)
    phone.hang_up()
    await asyncio.wait_for(server.until_parked(0), 10)
    with pytest.raises(OSError, match="closed"):
        await waiting


async def test_closing_ends_waiting_phones(phone: Phone, server: MailboxServer) -> None:
    await synced(phone)
    waiting = asyncio.create_task(phone.ping(600))
    await asyncio.wait_for(server.until_parked(1), 10)
    await server.close()
    with pytest.raises(OSError, match="closed"):
        await waiting


@pytest.mark.parametrize("version", ["12.1", "14.0", "14.1"])
async def test_a_phone_of_another_make_reads_it(server: MailboxServer, version: str) -> None:
    phone = other.Phone(other.Account(server.url, USER, "OTHER1", version))
    box = Mailbox(phone)
    await box.folders()
    await box.fill()
    assert box.subjects() == ["One", "Two"]
    told = box.named("Two")
    assert told is not None
    assert told.text("AirSyncBase:Data") == "The second."
    waiting = asyncio.create_task(ping(phone, box.folder))
    await asyncio.wait_for(server.until_parked(1), 10)
    server.deliver("carl@demo.example", "Three", "")
    assert other.understood(await waiting).text("Ping:Status") == "2"
    await box.sync()
    assert box.subjects() == ["One", "Two", "Three"]
    phone.hang_up()


async def test_a_key_that_is_none_begins_anew(phone: Phone) -> None:
    await synced(phone)
    for key in ("99", "x", "-1", "9" * 5000):
        phone._inbox_key = key
        assert (await phone.sync()).status == "3"
        phone._folder_key = key
        assert (await phone.folder_sync()).status == "9"


async def test_an_answer_that_got_lost_is_given_again(phone: Phone) -> None:
    await synced(phone)
    phone._inbox_key = "1"
    await phone.sync()
    assert phone.subjects == ["One", "Two"] * 2


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (eas("Provision", USER, "PHONE1"), 501),
        (eas("SendMail", USER, "PHONE1"), 501),
        ("/elsewhere", 404),
    ],
)
async def test_what_it_does_not_do_it_says(server: MailboxServer, target: str, status: int) -> None:
    answer = await ask(server.url, request(target, b"", user=USER))
    assert answer.status == status


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        request(eas("Sync", USER, "PHONE1"), b"no wbxml", user=USER),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"X" * 100_000,
    ],
)
async def test_whoever_talks_nonsense_is_hung_up_on(server: MailboxServer, octets: bytes) -> None:
    client = await Client.connected(server.url)
    assert (await client.ask(octets)).closed
    client.close()


async def test_a_body_in_chunks_is_read(server: MailboxServer) -> None:
    whole = request(eas("FolderSync", USER, "PHONE1"), b"", user=USER, Content_Length="", Transfer_Encoding="chunked")
    body = bytes.fromhex("03016a00000756520330000101")
    client = await Client.connected(server.url)
    client.write(whole + b"3\r\n" + body[:3] + b"\r\n")
    answer = await client.ask(b"%x\r\n" % len(body[3:]) + body[3:] + b"\r\n0\r\n\r\n")
    assert answer.status == 200
    assert b"Inbox" in answer.body
    client.close()


async def test_others_look_into_it_by_the_same_password_and_strangers_do_not() -> None:
    server = MailboxServer(Account(USER, "secret"), ("berta@demo.example",))
    await server.start()
    try:
        for user, password, status in (
            ("berta@demo.example", "secret", 200),
            ("berta@demo.example", "guess", 401),
            ("carl@demo.example", "secret", 401),
        ):
            phone = Phone(server.url, user, password, "PHONE1")
            assert (await phone.options()).http_status == status, user
            phone.hang_up()
    finally:
        await server.close()
