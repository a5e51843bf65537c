"""Who is asking, how many may, who is noted, and what the operator sees."""

import asyncio
import json
import socket

import pytest

from gateway.domain.identity import IdentityRules
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client, basic, eas, request
from tests.support.scripted_origin import Origin
from tests.support.spine import FOLDER_SYNC, PING
from tests.support.upstream import MailboxServer

PROVISION = bytes.fromhex("03016a00 000e45 0012564857 03506978203800 01010101")
"""Provision with DeviceInformation, Model "Pix 8" ([MS-ASPROV] 2.2.2.53)."""
MODEL = '{"Model": "Pix 8"}'


def folder_sync(user: str = "anna", device: str = "phone1", **headers: str) -> bytes:
    return request(eas("FolderSync", user, device), FOLDER_SYNC, user=user, **headers)


async def forwarded_for(gateway: Fronted, origin: Origin, **headers: str) -> str:
    client = await gateway.client()
    client.write(folder_sync(**headers))
    connection = await origin.connection()
    asked = await connection.request()
    await connection.answer(b"", "200 OK", "Connection: close")
    await client.answer()
    client.close()
    return asked.header("X-Forwarded-For")


async def test_the_peers_address_is_passed_on_whatever_a_phone_claims(scripted: Fronted, origin: Origin) -> None:
    assert await forwarded_for(scripted, origin, X_Forwarded_For="10.1.1.1", Forwarded="for=10.1.1.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("stated", "believed"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 127.0.0.2", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 127.0.0.2, 127.0.0.3", "203.0.113.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("203.0.113.9, evil", "127.0.0.1"),
        ("203.0.113.9:4711", "127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_is_believed(origin: Origin, stated: str, believed: str) -> None:
    async with fronted(origin.url, trusted_proxies=("127.0.0.0/8",)) as gateway:
        assert await forwarded_for(gateway, origin, X_Forwarded_For=stated) == believed


async def test_two_lines_of_forwarded_addresses_are_one_list(origin: Origin) -> None:
    async with fronted(origin.url, trusted_proxies=("127.0.0.0/8",)) as gateway:
        stated = "198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 127.0.0.2"
        assert await forwarded_for(gateway, origin, X_Forwarded_For=stated) == "203.0.113.9"


async def refused(url: str) -> bool:
    client = await Client.connected(url)
    try:
        answer = await client.ask(folder_sync())
        return (answer.status, answer.header("Connection")) == (503, "close")
    finally:
        client.close()


async def test_a_bounded_number_of_connections(mailbox: MailboxServer) -> None:
    async with fronted(mailbox.url, max_connections=3) as gateway:
        clients = [await gateway.client() for _ in range(3)]
        for client in clients:
            assert not (await client.ask(folder_sync())).closed
        assert await refused(gateway.url)
        assert gateway.counted("gatepost_connections_refused_total", "all") == 1
        clients[0].close()
        await until(lambda: gateway.front.status()["connections"] == 2)
        assert not await refused(gateway.url)


async def test_a_bounded_number_from_one_address(mailbox: MailboxServer) -> None:
    async with fronted(mailbox.url, max_connections_per_address=2) as gateway:
        clients = [await gateway.client() for _ in range(2)]
        for client in clients:
            await client.ask(folder_sync())
        assert await refused(gateway.url)
        assert gateway.counted("gatepost_connections_refused_total", "address") == 1


async def test_a_trusted_proxy_may_have_as_many_as_it_likes(mailbox: MailboxServer) -> None:
    async with fronted(mailbox.url, max_connections_per_address=2, trusted_proxies=("127.0.0.1",)) as gateway:
        for _ in range(4):
            client = await gateway.client()
            assert (await client.ask(folder_sync())).status == 200


async def test_a_bounded_number_of_sessions_of_one_login(origin: Origin) -> None:
    async with fronted(origin.url, sessions_per_user=3) as gateway:
        clients = []
        for number in range(3):
            client = await gateway.client()
            client.write(request(eas("Ping", "anna", f"phone{number}"), PING, user="anna"))
            clients.append((client, await origin.connection()))
            await clients[-1][1].request()
        client = await gateway.client()
        assert (await client.ask(folder_sync())).status == 503
        assert gateway.ended("FolderSync", "too_many_sessions") == 1
        # Another login is not concerned; and a place that is free again is taken.
        client.write(folder_sync("bert"))
        connection = await origin.connection()
        await connection.request()
        await connection.answer(b"mail")
        assert (await client.answer()).body == b"mail"
        await clients[0][1].answer(b"")
        await clients[0][0].answer()
        client.write(folder_sync())
        free = clients[0][1]  # the connection given back last is taken first
        await free.request()
        await free.answer(b"mail")
        assert (await client.answer()).body == b"mail"


async def test_a_bounded_number_of_requests_on_a_connection(mailbox: MailboxServer) -> None:
    async with fronted(mailbox.url, requests_per_connection=2) as gateway:
        client = await gateway.client()
        assert (await client.ask(folder_sync())).header("Connection") == ""
        assert (await client.ask(folder_sync())).header("Connection") == "close"
        assert (await client.answer()).closed


async def test_a_head_must_come_in_time(scripted: Fronted) -> None:
    client = await scripted.client()
    client.write(folder_sync()[:50])
    await until(lambda: any(each._buffer for each in scripted.front._connections))
    scripted.clock.ahead = 16.0
    scripted.front.sweep()
    assert (await client.answer()).status == 408


async def test_nothing_at_all_must_not_take_for_ever_either(scripted: Fronted) -> None:
    client = await scripted.client()
    await until(lambda: scripted.front.status()["connections"] == 1)
    scripted.clock.ahead = 16.0
    scripted.front.sweep()
    answer = await client.answer()
    assert (answer.status, answer.closed) == (0, True)


async def test_an_octet_now_and_then_gains_no_time(scripted: Fronted) -> None:
    client = await scripted.client()
    await until(lambda: len(scripted.front._connections) == 1)
    (behind,) = scripted.front._connections
    for octet in (b"P", b"O", b"S", b"T"):
        client.write(octet)
        await until(lambda expected=octet: behind._buffer.endswith(expected))  # type: ignore[misc]
        scripted.clock.ahead += 4.0
        scripted.front.sweep()
    assert (await client.answer()).status == 408


async def test_a_head_has_a_bounded_length(scripted: Fronted) -> None:
    client = await scripted.client()
    answer = await client.ask(folder_sync(X_Long="a" * 40_000))
    assert (answer.status, answer.header("Connection")) == (431, "close")


async def test_a_body_must_not_stop(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync()[:-2])
    connection = await origin.connection()
    await connection.head()
    scripted.clock.ahead = 61.0
    scripted.front.sweep()
    assert (await client.answer()).closed
    await connection.until_ended()


async def test_an_idle_connection_is_closed_after_a_while(gateway: Fronted) -> None:
    client = await gateway.client()
    await client.ask(folder_sync())
    gateway.clock.ahead = 119.0
    gateway.front.sweep()
    assert (await client.ask(folder_sync())).status == 200
    gateway.clock.ahead += 121.0
    gateway.front.sweep()
    assert (await client.answer()).closed


async def test_a_client_that_takes_nothing_is_left(origin: Origin) -> None:
    async with fronted(origin.url, send_buffer=4096) as gateway:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
        await loop.sock_sendall(sock, folder_sync())
        connection = await origin.connection()
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(1_000_000))
        (behind,) = gateway.front._connections
        transport = behind.transport
        assert transport is not None
        await until(lambda: transport.get_write_buffer_size() > 65536)
        gateway.clock.ahead = 121.0
        gateway.front.sweep()
        await connection.until_ended()
        sock.close()


async def sighted(gateway: Fronted) -> list[dict[str, object]]:
    await gateway.sightings.flush()
    return [json.loads(row) for row in gateway.sighted]


async def test_a_device_is_noted_when_its_user_is_accepted(gateway: Fronted) -> None:
    client = await gateway.client()
    await client.ask(folder_sync(User_Agent="Apple-iPhone/1.0"))
    (row,) = await sighted(gateway)
    assert {key: row[key] for key in ("login", "device_id", "device_type", "user_agent", "protocol_version")} == {
        "login": "anna",
        "device_id": "phone1",
        "device_type": "Android",
        "user_agent": "Apple-iPhone/1.0",
        "protocol_version": "14.1",
    }
    assert row["client_address"] == "127.0.0.1"


async def test_a_wrong_password_notes_nothing(gateway: Fronted) -> None:
    client = await gateway.client()
    assert (await client.ask(folder_sync(Authorization=basic("anna", "guess")))).status == 401
    gateway.dirty("bert", "phone1")
    assert (await client.ask(folder_sync("bert", Authorization=basic("bert", "guess")))).status == 401
    assert (await client.ask(request("/owa/", method="GET", Content_Length=""), "GET")).status == 404
    assert await sighted(gateway) == []


async def test_a_refused_device_is_noted_too(gateway: Fronted) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    await client.ask(folder_sync(User_Agent="x/1"))
    (row,) = await sighted(gateway)
    assert (row["device_id"], row["user_agent"]) == ("phone1", "x/1")


async def test_what_a_phone_says_of_itself(gateway: Fronted) -> None:
    client = await gateway.client()
    await client.ask(folder_sync())
    await client.ask(request(eas("Provision", "anna", "phone1"), PROVISION, user="anna"))
    rows = await sighted(gateway)
    assert [row["device_information"] for row in rows] == [MODEL]


async def test_provision_alone_proves_no_password(scripted: Fronted, origin: Origin) -> None:
    """Z-Push with a wipe pending answers it to anybody."""
    client = await scripted.client()
    client.write(request(eas("Provision", "anna", "phone1"), PROVISION, user="anna"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"")
    await client.answer()
    assert await sighted(scripted) == []


async def test_one_person_under_several_names(mailbox: MailboxServer) -> None:
    rules = IdentityRules("corp.example", {"corp": "corp.example"})
    async with fronted(mailbox.url, rules=rules, start=True) as gateway:
        gateway.dirty("anna@corp.example", "phone1")
        client = await gateway.client()
        for name in ("anna", "CORP\\anna", "Anna@Corp.Example"):
            asked = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user=name)
            assert (await client.ask(asked)).body == bytes.fromhex("03016a000007564c03313239000101")


async def test_what_the_operator_sees(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(eas("Ping", "anna", "phone1"), PING, user="anna"))
    connection = await origin.connection()
    await connection.request()
    status = scripted.front.status()
    assert json.loads(json.dumps(status)) == {
        "connections": 1,
        "parked": 1,
        "responding": 0,
        "upstreams": [{"url": origin.url, "connections": 1, "healthy": True}],
    }


async def test_start_does_not_wait_for_a_mail_server_that_hangs(origin: Origin) -> None:
    """Nobody answers the question at the start: the gateway serves all the same, and asks when it needs to know."""
    async with asyncio.timeout(10.0):
        async with fronted(origin.url, start=True, upstream_connect_seconds=1.0) as gateway:
            assert gateway.front.status()["connections"] == 0


async def test_a_mail_server_is_well_again_only_when_it_was_reached() -> None:
    with socket.socket() as listener:
        # Bound, but nobody listens: connections are refused until somebody does.
        listener.bind(("127.0.0.1", 0))
        async with fronted(f"http://127.0.0.1:{listener.getsockname()[1]}") as gateway:
            gateway.clean("anna", "phone1")
            client = await gateway.client()
            asked = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna")
            assert (await client.ask(asked)).status == 503
            (pool,) = gateway.front.upstreams.pools
            pool._now = gateway.clock  # its back-off ends when the test says so
            for ahead in (60.0, 120.0):
                gateway.clock.ahead = ahead
                assert pool.healthy
                assert gateway.front.upstreams.status()[0]["healthy"] is False
                gateway.front.sweep()
                await asyncio.gather(*gateway.front._probes)
            listener.listen()
            gateway.clock.ahead = 180.0
            gateway.front.sweep()
            await asyncio.gather(*gateway.front._probes)
            assert gateway.front.upstreams.status()[0]["healthy"] is True
