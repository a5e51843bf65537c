"""Mail servers that are away, slow, broken or hostile."""

import socket

import pytest

from tests.support.fronted import Fronted, fronted, settled, until
from tests.support.raw_http import eas, request
from tests.support.scripted_origin import Origin, OriginConnection
from tests.support.spine import FOLDER_SYNC


def folder_sync(user: str = "anna") -> bytes:
    return request(eas("FolderSync", user, "phone1"), FOLDER_SYNC, user=user)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_mail_server_that_is_away_defers() -> None:
    async with fronted(f"http://127.0.0.1:{free_port()}") as gateway:
        client = await gateway.client()
        for _ in range(2):
            answer = await client.ask(folder_sync())
            assert (answer.status, answer.closed) == (503, False)
            assert int(answer.header("Retry-After")) > 0


async def test_a_mail_server_that_is_silent_defers(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    scripted.clock.ahead = 119.0
    scripted.front.sweep()
    assert not connection.ended
    scripted.clock.ahead = 121.0
    scripted.front.sweep()
    assert (await client.answer()).status == 503
    await connection.until_ended()


async def test_a_mail_server_that_stops_in_the_middle_holds_nobody_for_ever(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await until(lambda: scripted.front.status()["responding"] == 1)
    scripted.clock.ahead = 121.0
    scripted.front.sweep()
    assert (await client.answer()).closed
    await connection.until_ended()


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
    ids=["nothing", "half a head", "a head without its body", "a first piece with a broken chunk"],
)
async def test_before_the_first_octet_a_broken_answer_defers(scripted: Fronted, origin: Origin, half: bytes) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(half)
    await settled()
    connection.close()
    answer = await client.answer()
    assert (answer.status, answer.closed) == (503, False)
    # Never sent twice: it may have had its effect.
    assert not origin.unaccepted


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_after_it_the_phone_sees_that_the_answer_is_not_whole(
    scripted: Fronted, origin: Origin, half: bytes
) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(half)
    await until(lambda: scripted.front.status()["responding"] == 1 or not scripted.front._connections)
    connection.close()
    answer = await client.answer()
    assert answer.closed
    assert b"HTTP" not in answer.body
    assert not origin.unaccepted


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 4\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 999 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"+OK POP3 ready\r\n\r\n",
    ],
)
async def test_an_answer_that_cannot_be_framed_is_not_passed_on(scripted: Fronted, origin: Origin, head: bytes) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(head + b"mail")
    answer = await client.answer()
    assert (answer.status, answer.closed) == (503, False)
    assert answer.body != b"mail"
    await connection.until_ended()


async def exchange(gateway: Fronted, origin: Origin, octets: bytes) -> tuple[int, bytes, OriginConnection]:
    client = await gateway.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(octets)
    answer = await client.answer()
    return answer.status, answer.body, connection


async def test_interim_answers_are_passed_over(scripted: Fronted, origin: Origin) -> None:
    status, body, _ = await exchange(
        scripted,
        origin,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmail",
    )
    assert (status, body) == (200, b"mail")


async def test_an_answer_at_every_boundary(scripted: Fronted, origin: Origin) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nma\r\n2\r\nil\r\n0\r\nT: 1\r\n\r\n"
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    for at in range(1, len(whole)):
        await connection.request()
        await connection.send(whole[:at])
        await settled()
        await connection.send(whole[at:])
        answer = await client.answer()
        assert (answer.body, answer.closed) == (b"mail", False)
        client.write(folder_sync())


async def test_an_answer_until_the_connection_closes(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.send(b"HTTP/1.0 200 OK\r\n\r\nma")
    await settled()
    await connection.send(b"il")
    connection.close()
    answer = await client.answer()
    assert (answer.body, answer.closed) == (b"mail", False)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_that_has_no_body(scripted: Fronted, origin: Origin, status: str) -> None:
    code, body, connection = await exchange(scripted, origin, f"HTTP/1.1 {status}\r\n\r\n".encode())
    assert (code, body) == (int(status[:3]), b"")
    assert not connection.ended


async def test_connections_are_used_again(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    for number in range(5):
        await connection.request()
        await connection.answer(b"mail%d" % number)
        assert (await client.answer()).body == b"mail%d" % number
        client.write(folder_sync(f"user{number}"))
    assert not origin.unaccepted


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmail",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nmail",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmailHTTP/1.1 200 OK\r\n",
    ],
    ids=["asked to close", "an old server", "more than was said"],
)
async def test_connections_that_are_not_used_again(scripted: Fronted, origin: Origin, answer: bytes) -> None:
    _, body, connection = await exchange(scripted, origin, answer)
    assert body == b"mail"
    await connection.until_ended()


async def test_octets_nobody_asked_for_end_an_idle_connection(scripted: Fronted, origin: Origin) -> None:
    _, _, connection = await exchange(scripted, origin, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmail")
    connection.send_now(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
    await connection.until_ended()


async def test_octets_that_come_just_before_the_next_request_are_not_its_answer(
    scripted: Fronted, origin: Origin
) -> None:
    """The loop has not seen them yet: the socket itself is asked before its connection is used again."""
    _, _, connection = await exchange(scripted, origin, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmail")
    pool = scripted.front.upstreams.pools[0]
    connection.send_now(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
    assert pool.take() is None


async def test_a_connection_closed_just_before_the_next_request_is_not_used(scripted: Fronted, origin: Origin) -> None:
    _, _, connection = await exchange(scripted, origin, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmail")
    connection.close()
    assert scripted.front.upstreams.pools[0].take() is None


async def test_old_idle_connections_are_dropped(scripted: Fronted, origin: Origin) -> None:
    _, _, connection = await exchange(scripted, origin, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmail")
    pool = scripted.front.upstreams.pools[0]
    now = pool._now()
    pool._now = lambda: now + 3.0
    scripted.front.sweep()
    assert not connection.ended
    pool._now = lambda: now + 4.5
    scripted.front.sweep()
    await connection.until_ended()
    assert pool.open == 0


async def test_a_bounded_number_of_connections(origin: Origin) -> None:
    async with fronted(origin.url, upstream_connections=1) as gateway:
        client, other = await gateway.client(), await gateway.client()
        client.write(folder_sync())
        connection = await origin.connection()
        await connection.request()
        assert (await other.ask(folder_sync("bert"))).status == 503
        await connection.answer(b"mail")
        assert (await client.answer()).body == b"mail"


async def test_no_name_of_the_mail_server_reaches_the_phone(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.answer(
        b"",
        "200 OK",
        *("X-BEServer: mbx1", "Location: https://mbx1.internal/", "X-FEServer: fe1", "Server: Secret/1"),
        *("Connection: X-Hop", "X-Hop: 1", "MS-Server-ActiveSync: 15.1", "Set-Cookie: a=b", "Set-Cookie: c=d"),
    )
    answer = await client.answer()
    names = [name for name, _ in answer.headers]
    assert sorted(names) == ["content-length", "ms-server-activesync", "set-cookie", "set-cookie"]


async def test_a_redirect_names_our_address(origin: Origin) -> None:
    async with fronted(origin.url, public_url="https://mail.example") as gateway:
        client = await gateway.client()
        client.write(folder_sync())
        connection = await origin.connection()
        await connection.request()
        await connection.answer(b"", "451 Redirect", "X-MS-Location: https://mbx1.internal/Microsoft-Server-ActiveSync")
        answer = await client.answer()
        assert answer.header("X-MS-Location") == "https://mail.example/Microsoft-Server-ActiveSync"


async def test_mail_for_nobody_in_particular_is_not_passed_on(scripted: Fronted, origin: Origin) -> None:
    """A mail server that answers without credentials would answer anybody."""
    client = await scripted.client()
    client.write(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"secret")
    answer = await client.answer()
    assert (answer.status, b"secret" in answer.body) == (401, False)


async def test_a_cookie_goes_with_credentials_only(scripted: Fronted, origin: Origin) -> None:
    """Some front ends of mail servers take a cookie for a log-in, and without credentials nobody was judged."""
    for user, passed in (("", ""), ("anna", "session=1")):
        client = await scripted.client()
        client.write(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user=user, Cookie="session=1"))
        connection = await origin.connection()
        assert (await connection.request()).header("Cookie") == passed
        await connection.answer(b"", "200 OK", "Connection: close")
        await client.answer()


async def test_two_servers_serve_each_user_by_the_same_one() -> None:
    from tests.support.upstream import mailbox_server

    async with mailbox_server() as one, mailbox_server() as two, fronted(one.url, two.url, start=True) as gateway:
        for _ in range(2):
            for number in range(20):
                client = await gateway.client()
                assert (await client.ask(folder_sync(f"user{number}"))).status == 200
        served = [{each.user for each in server.received if each.method == "POST"} for server in (one, two)]
        assert not served[0] & served[1]
        assert len(served[0] | served[1]) == 20
        assert all(served)
