"""Requests octet by octet: pieces, chunks, Expect, pipelining, back-pressure, and what ends a connection."""

import asyncio
import itertools
from typing import cast

import pytest

from gateway.decision.refusal_pace import RefusalPace
from gateway.proxies.client_connection import ARRIVED_MOST
from tests.support.fronted import Fronted, fronted, settled, until, until_still
from tests.support.raw_http import Client, eas, request
from tests.support.scripted_origin import Origin, scripted_origin
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
SEND_MAIL = bytes.fromhex("03016a000015454f501103310001") + b"x" * 200
MEGABYTE = 1 << 20


def folder_sync(user: str = "anna", body: bytes = FOLDER_SYNC, **headers: str) -> bytes:
    return request(eas("FolderSync", user, "phone1"), body, user=user, **headers)


def chunked(*pieces: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    head = request(eas("FolderSync", "anna", "phone1"), user="anna", Content_Length="", Transfer_Encoding="chunked")
    return head + chunks + b"0\r\n" + trailer + b"\r\n"


@pytest.mark.parametrize("refused", [False, True])
async def test_a_request_in_two_pieces_at_every_boundary(
    gateway: Fronted, mailbox: MailboxServer, refused: bool
) -> None:
    (gateway.dirty if refused else gateway.clean)("anna", "phone1")
    gateway.front.refusing.pace = RefusalPace(itertools.count(step=10.0).__next__)  # never too fast
    asked = folder_sync(Connection="keep-alive")
    client = await gateway.client()
    for at in range(1, len(asked)):
        client.write(asked[:at])
        await settled()
        client.write(asked[at:])
        answer = await client.answer()
        assert (answer.body, answer.closed) == (BLOCKED if refused else b"mail for anna", False)
    assert all(each.body == FOLDER_SYNC for each in mailbox.received if each.method == "POST")


async def test_a_request_octet_by_octet(gateway: Fronted, mailbox: MailboxServer) -> None:
    client = await gateway.client()
    for octet in folder_sync():
        client.write(bytes((octet,)))
        await asyncio.sleep(0)
    assert (await client.answer()).body == b"mail for anna"


@pytest.mark.parametrize("sizes", [[18], [1] * 18, [1, 17], [7, 11], [17, 1]])
async def test_a_chunked_body_reaches_the_mail_server(
    gateway: Fronted, mailbox: MailboxServer, sizes: list[int]
) -> None:
    body, pieces = FOLDER_SYNC + b"\0\0\0", []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    client = await gateway.client()
    answer = await client.ask(chunked(*filter(None, pieces)))
    assert answer.body == b"mail for anna"
    assert mailbox.received[-1].body.startswith(FOLDER_SYNC)


async def test_a_round_that_brings_megabytes_holds_no_more_than_a_usual_request(
    gateway: Fronted, mailbox: MailboxServer
) -> None:
    """TLS hands on a reading of the loop in many pieces, and the loop reads many times before its round is over."""
    client = await gateway.client()
    await client.ask(folder_sync(Connection="keep-alive"))
    (connection,) = gateway.front._connections
    body = FOLDER_SYNC + bytes(2 * MEGABYTE)
    octets = memoryview(folder_sync(body=body))
    for begin in range(0, len(octets), 1 << 14):
        connection.data_received(bytes(octets[begin : begin + (1 << 14)]))
        assert len(connection._arrived) <= ARRIVED_MOST
        if connection._paused:
            await settled()
    assert (await client.answer()).body == b"mail for anna"
    assert mailbox.received[-1].body == body


async def test_a_chunked_body_that_comes_slowly_is_chunked_anew(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    asked = chunked(FOLDER_SYNC, b"more", extension=b";x=y", trailer=b"X-Trailer: 1\r\n")
    head, _, body = asked.partition(b"\r\n\r\n")
    client.write(head + b"\r\n\r\n")
    await settled()
    for octet in body:
        client.write(bytes((octet,)))
        await asyncio.sleep(0)
    connection = await origin.connection()
    reached = await connection.request()
    assert reached.body == FOLDER_SYNC + b"more"
    assert b"x=y" not in reached.head
    assert b"Content-Length" not in reached.head
    await connection.answer()
    assert (await client.answer()).body == b"mail"
    assert not connection.ended


async def test_a_broken_chunk_is_refused_and_reaches_nobody_whole(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(chunked(FOLDER_SYNC)[:-5])
    connection = await origin.connection()
    await connection.head()
    client.write(b"zz\r\n")
    assert (await client.answer()).status == 400
    await connection.until_ended()
    assert scripted.counted("gatepost_bad_requests_total", "chunk") == 1


@pytest.mark.parametrize(("octets", "reason"), [(b"\0", "nul"), (b"\n\n", "bare_line_end")])
async def test_a_head_that_cannot_become_whole_is_not_waited_for(octets: bytes, reason: str, scripted: Fronted) -> None:
    client = await scripted.client()
    client.write(b"POST / HTTP/1.1\r\nHost: x" + octets)
    assert (await client.answer()).status == 400
    assert scripted.counted("gatepost_bad_requests_total", reason) == 1


async def test_a_broken_chunk_behind_an_answer_that_has_begun(scripted: Fronted, origin: Origin) -> None:
    """Nothing of ours is written into the middle of an answer."""
    client = await scripted.client()
    client.write(chunked(FOLDER_SYNC)[:-5])
    connection = await origin.connection()
    await connection.head()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc")
    await until(lambda: scripted.front.status()["responding"] == 1)
    client.write(b"zz\r\n")
    answer = await client.answer()
    assert answer.closed
    assert b"HTTP" not in answer.body


async def test_an_early_answer_ends_the_exchange_and_the_rest_is_thrown_away(scripted: Fronted, origin: Origin) -> None:
    asked = request(eas("SendMail", "anna", "phone1"), SEND_MAIL, user="anna")
    client = await scripted.client()
    client.write(asked[:-50])
    connection = await origin.connection()
    await connection.head()
    await connection.answer(b"too much", "413 Content Too Large")
    assert (await client.answer()).status == 413
    # Its request was not whole, so that connection is not used again.
    await connection.until_ended()
    client.write(asked[-50:] + asked)
    second = await origin.connection()
    assert (await second.request()).body == SEND_MAIL
    await second.answer(b"sent")
    assert (await client.answer()).body == b"sent"


async def test_expect_is_answered_before_the_body(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.clean("anna", "phone1")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
    asked = folder_sync(Expect="100-continue")
    writer.write(asked[: -len(FOLDER_SYNC)])
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(FOLDER_SYNC)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(13) == b"mail for anna"
    assert mailbox.received[-1].header("expect") == ""
    writer.close()


async def test_a_client_refused_while_it_waits_for_100_may_not_go_on(gateway: Fronted) -> None:
    """It may send the body or not (RFC 9110 §10.1.1): what would follow could be either, so the connection ends."""
    gateway.dirty("anna", "phone1")
    gateway.proved("anna")
    await gateway.known("anna")
    client = await gateway.client()
    asked = folder_sync(Expect="100-continue")
    answer = await client.ask(asked[: -len(FOLDER_SYNC)])
    assert (answer.body, answer.header("Connection")) == (BLOCKED, "close")
    assert (await client.answer()).closed


async def test_an_unknown_expectation(gateway: Fronted) -> None:
    client = await gateway.client()
    assert (await client.ask(folder_sync(Expect="203-other"))).status == 417


async def test_pipelined_requests_are_answered_in_order(gateway: Fronted, mailbox: MailboxServer) -> None:
    users = [f"user{number}" for number in range(40)]
    for user in users[::3]:
        gateway.dirty(user, "phone1")
    client = await gateway.client()
    client.write(b"".join(folder_sync(user) for user in users))
    for number, user in enumerate(users):
        body = (await client.answer()).body
        assert body == (f"mail for {user}".encode() if number % 3 else BLOCKED)


async def test_a_thousand_pipelined_requests_make_no_chain_of_calls(gateway: Fronted) -> None:
    client = await gateway.client()
    closed = request("/owa/", method="GET", Content_Length="")
    client.write(closed * 3000)
    for _ in range(3000):
        assert (await client.answer("GET")).status == 404


async def test_pipelined_octets_are_bounded_while_an_answer_is_awaited(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(folder_sync())
    connection = await origin.connection()
    await connection.request()
    (behind,) = scripted.front._connections
    client.write(bytes(8 * MEGABYTE))
    await until(lambda: len(behind._buffer) > 0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(behind._buffer) <= 512 << 10


async def test_a_large_upload_is_read_no_faster_than_the_mail_server_takes_it() -> None:
    async with scripted_origin(receive_buffer=65536) as origin, fronted(origin.url) as gateway:
        gateway.clean("anna", "phone1")
        size = 50 * MEGABYTE
        head = request(eas("SendMail", "anna", "phone1"), user="anna", Content_Length=str(size))
        client = await gateway.client()
        client.write(head + bytes.fromhex("03016a000015454f") + bytes(size - 8))
        connection = await origin.connection()
        await connection.head()
        await until_still(lambda: unsent(client))
        # What left the phone is in kernels' buffers, not in ours.
        (behind,) = gateway.front._connections
        exchange = behind.exchange
        assert exchange._upstream.transport.get_write_buffer_size() < MEGABYTE  # type: ignore[union-attr]
        assert unsent(client) > 20 * MEGABYTE
        received = 0
        while received < size:
            received += len(await connection.octets(min(65536, size - received)))
        await connection.answer(b"")
        assert (await client.answer()).status == 200


async def test_a_large_upload_that_waits_for_its_verdict_is_not_collected(origin: Origin) -> None:
    async with fronted(origin.url) as gateway:
        gateway.evidence.gate = asyncio.Event()
        size = 50 * MEGABYTE
        head = request(eas("SendMail", "anna", "phone1"), user="anna", Content_Length=str(size))
        client = await gateway.client()
        client.write(head + bytes.fromhex("03016a000015454f") + bytes(size - 8))
        await until_still(lambda: unsent(client))
        (behind,) = gateway.front._connections
        assert len(behind.exchange._body) < MEGABYTE  # type: ignore[union-attr]
        gateway.evidence.gate.set()
        connection = await origin.connection()
        await connection.head()
        received = 0
        while received < size:
            received += len(await connection.octets(min(65536, size - received)))
        await connection.answer(b"")
        assert (await client.answer()).status == 200


async def test_a_large_answer_is_read_no_faster_than_the_phone_takes_it(origin: Origin) -> None:
    async with fronted(origin.url, send_buffer=65536) as gateway:
        size = 50 * MEGABYTE
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]), limit=65536)
        writer.write(folder_sync())
        connection = await origin.connection()
        await connection.request()
        sending = asyncio.create_task(connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size))
        await sending
        sent = 0

        async def send_all() -> None:
            nonlocal sent
            while sent < size:
                sent += await send_some(connection.sock, bytes(min(262_144, size - sent)))

        sending = asyncio.create_task(send_all())
        await until_still(lambda: sent)
        (behind,) = gateway.front._connections
        assert behind.transport is not None
        assert behind.transport.get_write_buffer_size() < MEGABYTE
        assert sent < 30 * MEGABYTE
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < size:
            received += len(await reader.read(1 << 18))
        await sending
        # The connection to the mail server was paused more than once; it serves the next request.
        for _ in range(2):
            writer.write(folder_sync())
            assert (await connection.request()).body == FOLDER_SYNC
            await connection.answer(b"mail")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == b"mail"
        writer.close()


async def test_a_connection_that_ends_paused_is_fit_for_the_next_request(origin: Origin) -> None:
    """The answer's last octets fill the phone's buffer: the pause must not outlive the answer."""
    async with fronted(origin.url, send_buffer=4096) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]), limit=4096)
        reading = cast("asyncio.Transport", writer.transport)
        reading.pause_reading()
        writer.write(folder_sync())
        connection = await origin.connection()
        await connection.request()
        size = 6 * MEGABYTE
        sending = asyncio.create_task(
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        )
        other = await gateway.client()
        await until_still(lambda: gateway.ended("FolderSync", "forwarded"))
        reading.resume_reading()
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size)
        await sending
        other.write(folder_sync("bert"))
        await connection.request()
        await connection.answer(b"mail")
        assert (await other.answer()).body == b"mail"
        writer.close()


async def send_some(sock: object, octets: bytes) -> int:
    await asyncio.get_running_loop().sock_sendall(sock, octets)  # type: ignore[arg-type]
    return len(octets)


def unsent(client: Client) -> int:
    """Octets that have not left the phone's process."""
    return client._writer.transport.get_write_buffer_size()


async def test_a_body_over_the_limit_is_not_read(origin: Origin) -> None:
    async with fronted(origin.url, max_body_bytes=1000) as gateway:
        client = await gateway.client()
        answer = await client.ask(folder_sync(body=FOLDER_SYNC + bytes(1000)))
        assert (answer.status, answer.header("Connection")) == (413, "close")
        assert not origin.unaccepted


async def test_a_chunked_body_over_the_limit_is_broken_off(origin: Origin) -> None:
    async with fronted(origin.url, max_body_bytes=1000) as gateway:
        client = await gateway.client()
        client.write(chunked(FOLDER_SYNC, bytes(500), bytes(500))[:-5])
        answer = await client.answer()
        assert (answer.status, answer.header("Connection")) == (413, "close")
        if origin.connections or origin.unaccepted:
            assert gateway.decision.sessions.count == 0


async def test_the_connection_ends_when_asked(gateway: Fronted) -> None:
    client = await gateway.client()
    answer = await client.ask(folder_sync(Connection="close"))
    assert (answer.body, answer.header("Connection")) == (b"mail for anna", "close")
    assert (await client.answer()).closed


async def test_http_1_0_gets_no_chunks(scripted: Fronted, origin: Origin) -> None:
    """RFC 9112 §6.1: no transfer coding to a client that may not know it; the answer ends with the connection."""
    client = await scripted.client()
    client.write(folder_sync().replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"))
    connection = await origin.connection()
    reached = await connection.request()
    assert reached.line.endswith(b" HTTP/1.1")
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmail\r\n0\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"mail")
    assert answer.header("Transfer-Encoding") == ""
    assert answer.header("Connection") == "close"


async def test_head_has_no_body_in_its_answer(gateway: Fronted) -> None:
    client = await gateway.client()
    head = request("/owa/", method="HEAD", Content_Length="")
    client.write(head + head)
    for _ in range(2):
        answer = await client.answer("HEAD")
        assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /Microsoft-Server-ActiveSync HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_is_not_understood_is_answered_once_and_the_connection_closed(gateway: Fronted, bad: bytes) -> None:
    client = await gateway.client()
    client.write(bad + folder_sync())
    answer = await client.answer("GET")
    assert (answer.status, answer.header("Connection")) == (400, "close")
    assert (await client.answer()).closed


async def test_a_body_on_options_is_never_forwarded_unframed(gateway: Fronted, mailbox: MailboxServer) -> None:
    """The mail server would read it as the next request, on a connection that others use."""
    inner = request(eas("Sync", "boss", "phone9"), user="boss")
    for command in ("Sync", "Options", "FolderSync"):
        client = await gateway.client()
        asked = request(eas(command, "anna", "phone1"), FOLDER_SYNC + inner, user="anna", method="OPTIONS")
        assert (await client.ask(asked, "OPTIONS")).status == 400
    assert mailbox.received == [each for each in mailbox.received if each.user.startswith("gatepost-probe")]


async def test_options_is_no_command_to_post(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    answer = await client.ask(request(eas("Options", "anna", "phone1"), user="anna"))
    assert answer.status == 501
    assert mailbox.commands(accepted_only=False) == []
