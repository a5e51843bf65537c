"""A verdict that turns while a request is on its way, in each state that a request can be in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from gateway.domain.policy import Unavailable, policy_of
from tests.support.fronted import BAN, TIKTOK, Fronted, fronted, policy, settled, until
from tests.support.raw_http import Client, eas, request
from tests.support.scripted_origin import Origin, OriginConnection
from tests.support.spine import FOLDER_SYNC

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
SEND_MAIL = bytes.fromhex("03016a000015454f501103310001") + b"x" * 2000
SEND_MAIL_BLOCKED = bytes.fromhex("03016a00001545520331323900 0101".replace(" ", ""))
FETCH = bytes.fromhex("03016a000014450101")


def folder_sync(user: str = "anna") -> bytes:
    return request(eas("FolderSync", user, "phone1"), FOLDER_SYNC, user=user)


async def forwarded(gateway: Fronted, origin: Origin, octets: bytes) -> tuple[Client, OriginConnection]:
    client = await gateway.client()
    client.write(octets)
    connection = await origin.connection()
    await connection.request()
    return client, connection


async def test_while_the_record_is_read(scripted: Fronted, origin: Origin) -> None:
    """The load that a change overtakes is begun again: the phone is judged by what is true, and by nothing older."""
    scripted.proved("anna")
    scripted.evidence.put("anna", "phone1")
    scripted.evidence.gate = asyncio.Event()
    client = await scripted.client()
    client.write(folder_sync())
    await until(lambda: scripted.evidence.reads == 1)
    scripted.dirty("anna", "phone1")
    scripted.evidence.gate.set()
    assert (await client.answer()).body == BLOCKED
    assert not origin.unaccepted


async def test_while_the_body_is_still_coming(scripted: Fronted, origin: Origin) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    await scripted.known("anna")
    asked = folder_sync()
    client = await scripted.client()
    client.write(asked[:-9])
    await until(lambda: scripted.decision.sessions.count == 1)
    scripted.dirty("anna", "phone1")
    answer = await client.answer()
    assert answer.body == BLOCKED
    # The rest of that body is no request.
    client.write(asked[-9:] + asked)
    assert (await client.answer()).body == BLOCKED
    assert not origin.unaccepted


@asynccontextmanager
async def unreachable() -> AsyncIterator[str]:
    """The URL of a server that accepts nobody: its queue is full, connecting takes for ever."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_while_connecting_to_the_mail_server() -> None:
    async with unreachable() as url, fronted(url) as gateway:
        gateway.proved("anna")
        gateway.clean("anna", "phone1")
        client = await gateway.client()
        client.write(folder_sync())
        pool = gateway.front.upstreams.pools[0]
        await until(lambda: pool.connecting == 1)
        gateway.dirty("anna", "phone1")
        assert (await client.answer()).body == BLOCKED


async def test_between_the_connection_and_its_use(scripted: Fronted, origin: Origin) -> None:
    scripted.decision.policy = policy()
    scripted.proved("anna")
    for login in ("anna", "bert"):
        scripted.evidence.put(login, "phone1", *([TIKTOK] if login == "anna" else []))
        await scripted.known(login)
    client = await scripted.client()
    client.write(folder_sync())
    await until(lambda: scripted.front.upstreams.pools[0].connecting == 1)
    await scripted.ban(BAN)
    assert (await client.answer()).body == BLOCKED
    await until(lambda: scripted.front.upstreams.pools[0].connecting == 0)
    in_vain = await origin.connection()
    await in_vain.until_ended()
    other, connection = await forwarded(scripted, origin, folder_sync("bert"))
    await connection.answer(b"mail")
    assert (await other.answer()).body == b"mail"


@pytest.mark.parametrize("change", ["report", "report out of turn", "edit"])
async def test_a_change_that_was_heard_counts_before_anybody_is_judged_by_it(
    scripted: Fronted, origin: Origin, change: str
) -> None:
    """Its record may take a while, as may the turn of many sessions: what came to stand meanwhile is not forwarded."""
    scripted.proved("anna")
    if change == "edit":
        scripted.decision.policy = policy()
        scripted.dirty("anna", "phone1")
    else:
        scripted.clean("anna", "phone1")
    await scripted.known("anna")
    client = await scripted.client()
    client.write(folder_sync())
    await until(lambda: scripted.front.upstreams.pools[0].connecting == 1)
    gate = asyncio.Event()
    if change == "edit":
        # As long as the turn of this session has not come.
        scripted.decision.policy = policy(BAN, number=2)
    else:
        scripted.evidence.gate = gate
        sequence = scripted.evidence.put("anna", "phone1", TIKTOK)
        if change == "report":
            scripted.decision.changed("anna", sequence)
        else:
            scripted.decision.suspect("anna")
    connection = await origin.connection()
    await until(lambda: scripted.front.upstreams.pools[0].connecting == 0)
    await settled()
    assert not connection.has_heard
    gate.set()
    assert (await client.answer()).body == BLOCKED
    assert not connection.has_heard


async def test_what_cannot_be_read_does_not_hold_a_request_for_ever(scripted: Fronted, origin: Origin) -> None:
    """A verdict by setting, where nobody knows, is the last word about a request that nothing further concerns."""
    by_setting = replace(policy(BAN).version, unavailable=Unavailable.ALLOW)
    scripted.decision.policy = policy_of(by_setting)
    scripted.proved("anna")
    scripted.evidence.unavailable = True
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"mail")
    assert (await client.answer()).body == b"mail"
    assert scripted.evidence.reads < 10


async def test_a_change_counts_for_a_verdict_by_setting_too(scripted: Fronted, origin: Origin) -> None:
    """Somebody else has had the record read meanwhile, and it speaks against the phone."""
    scripted.decision.policy = policy_of(replace(policy(BAN).version, unavailable=Unavailable.ALLOW))
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    await scripted.known("anna")
    scripted.evidence.unavailable = True
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync())
    await until(lambda: scripted.front.upstreams.pools[0].connecting == 1)
    scripted.evidence.unavailable = False
    await scripted.known("anna")
    connection = await origin.connection()
    assert (await client.answer()).body == BLOCKED
    assert not connection.has_heard


@pytest.mark.parametrize("end", ["body", "nothing"])
@pytest.mark.parametrize("clean", [True, False])
async def test_a_head_that_waits_for_its_body_is_judged_again(
    scripted: Fronted, origin: Origin, end: str, clean: bool
) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection = await forwarded(scripted, origin, folder_sync())
    framing, rest, mail = (
        (b"Content-Length: 4\r\n", b"mail", b"mail")
        if end == "body"
        else (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"")
    )
    await connection.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    await until(lambda: scripted.sightings._told != {})
    gate = scripted.evidence.gate = asyncio.Event()
    waiting = scripted.evidence.reads + 1
    scripted.decision.changed("anna", scripted.evidence.put("anna", "phone1", *([] if clean else [TIKTOK])))
    await until(lambda: scripted.evidence.reads == waiting)
    await connection.send(rest)
    told = asyncio.create_task(client.answer())
    done, _ = await asyncio.wait({told}, timeout=0.2)
    assert not done
    gate.set()
    assert (await told).body == (mail if clean else BLOCKED)


async def test_while_the_mail_server_works(scripted: Fronted, origin: Origin) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection = await forwarded(scripted, origin, folder_sync())
    scripted.dirty("anna", "phone1")
    assert (await client.answer()).body == BLOCKED
    await connection.until_ended()


async def test_at_the_head_of_the_answer(scripted: Fronted, origin: Origin) -> None:
    """Nobody told the session: the record was changed and forgotten, and the answer is judged as it comes."""
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection = await forwarded(scripted, origin, folder_sync())
    scripted.evidence.put("anna", "phone1", TIKTOK)
    scripted.cache.entries.clear()
    scripted.cache._ring.clear()
    await connection.answer(b"mail")
    assert (await client.answer()).body == BLOCKED


@pytest.mark.parametrize("end", ["length", "chunked", "close"])
async def test_between_the_answers_head_and_its_body(scripted: Fronted, origin: Origin, end: str) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    client, connection = await forwarded(scripted, origin, folder_sync())
    framing = {"length": b"Content-Length: 4\r\n", "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}[end]
    await connection.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    await until(lambda: scripted.sightings._told != {})
    scripted.dirty("anna", "phone1")
    assert (await client.answer()).body == BLOCKED
    await connection.until_ended()


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_has_begun_is_broken_off(scripted: Fronted, origin: Origin, chunked: bool) -> None:
    scripted.clean("anna", "phone1")
    asked = request(eas("ItemOperations", "anna", "phone1"), FETCH, user="anna")
    client, connection = await forwarded(scripted, origin, asked)
    framing, piece = ("Transfer-Encoding: chunked", b"3\r\nabc\r\n") if chunked else ("Content-Length: 9", b"abc")
    await connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + piece)
    await until(lambda: scripted.front.status()["responding"] == 1)
    scripted.dirty("anna", "phone1")
    answer = await client.answer()
    assert answer.closed
    assert answer.body in (b"", b"abc")
    await connection.until_ended()
    assert scripted.ended("ItemOperations", "cut_short") == 1


async def test_what_the_kernel_has_not_sent_yet_is_dropped_as_well(origin: Origin) -> None:
    async with fronted(origin.url) as gateway:
        gateway.clean("anna", "phone1")
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
        await loop.sock_sendall(reader, request(eas("ItemOperations", "anna", "phone1"), FETCH, user="anna"))
        connection = await origin.connection()
        await connection.request()
        size = 1 << 20
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * size) + bytes(size))
        await until(lambda: gateway.front.status()["responding"] == 1)
        gateway.dirty("anna", "phone1")
        await connection.until_ended()
        assert await received_until_reset(reader) < size // 2
        reader.close()


async def received_until_reset(reader: socket.socket) -> int:
    received = 0
    try:
        while octets := await asyncio.get_running_loop().sock_recv(reader, 65536):
            received += len(octets)
    except ConnectionResetError:
        return received
    raise AssertionError("the connection was closed, and not reset")


async def test_a_mail_that_was_sent_is_answered_so_that_it_is_not_sent_again(scripted: Fronted, origin: Origin) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    asked = request(eas("SendMail", "anna", "phone1"), SEND_MAIL, user="anna")
    client, connection = await forwarded(scripted, origin, asked)
    scripted.dirty("anna", "phone1")
    await settled()
    await connection.answer(b"")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"")
    # And the next one is refused.
    assert (await client.ask(asked)).body == SEND_MAIL_BLOCKED


async def test_a_mail_whose_answer_has_begun_is_answered_to_the_end(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    asked = request(eas("SendMail", "anna", "phone1"), SEND_MAIL, user="anna")
    client, connection = await forwarded(scripted, origin, asked)
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsen")
    await until(lambda: scripted.front.status()["responding"] == 1)
    scripted.dirty("anna", "phone1")
    await settled()
    await connection.send(b"t")
    answer = await client.answer()
    assert (answer.body, answer.closed) == (b"sent", False)


async def test_a_mail_not_yet_sent_whole_is_refused(scripted: Fronted, origin: Origin) -> None:
    scripted.proved("anna")
    scripted.clean("anna", "phone1")
    asked = request(eas("SendMail", "anna", "phone1"), SEND_MAIL, user="anna")
    client = await scripted.client()
    client.write(asked[:-5])
    connection = await origin.connection()
    await connection.head()
    scripted.dirty("anna", "phone1")
    assert (await client.answer()).body == SEND_MAIL_BLOCKED
    await connection.until_ended()


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_answer_to_a_sent_mail_carries_no_mailbox(scripted: Fronted, origin: Origin, chunked: bool) -> None:
    scripted.clean("anna", "phone1")
    asked = request(eas("SendMail", "anna", "phone1"), SEND_MAIL, user="anna")
    client, connection = await forwarded(scripted, origin, asked)
    scripted.dirty("anna", "phone1")
    await settled()
    size = 100_000
    if chunked:
        octets = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size + bytes(size)
    else:
        octets = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    await connection.send(octets)
    answer = await client.answer()
    assert answer.closed
    assert len(answer.body) <= 64 << 10


async def test_a_verdict_that_lapsed_before_the_body_was_whole(scripted: Fronted, origin: Origin) -> None:
    """Time alone turned it: nothing is forwarded on a verdict past its ``valid_until``."""
    moment = scripted.now()
    scripted.dirty("anna", "phone1")
    await scripted.ban_from(moment + 60.0)
    await scripted.known("anna")
    asked = folder_sync()
    client = await scripted.client()
    client.write(asked[:-9])
    await until(lambda: scripted.decision.sessions.count == 1)
    scripted.now.ahead = 61.0
    scripted.proved("anna")
    client.write(asked[-9:])
    assert (await client.answer()).body == BLOCKED
    assert not origin.unaccepted


async def test_the_client_goes_while_its_credentials_are_checked(scripted: Fronted, origin: Origin) -> None:
    scripted.dirty("anna", "phone1")
    client = await scripted.client()
    client.write(folder_sync())
    checking = await origin.connection()
    await checking.request()
    client.close()
    await until(lambda: not scripted.front._connections)
    await checking.answer(b"", "401 Unauthorized")
    await settled()
    assert scripted.decision.sessions.count == 0
