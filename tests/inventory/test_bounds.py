"""The receiver's bounds: octets as they travel and unpacked, apps, time, memory, reports at once."""

import asyncio
import base64
import gzip
import json
import threading
import zlib
from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.inventory.sources.push import receiver as module
from gateway.inventory.sources.push.bodies import parsed
from gateway.inventory.sources.push.intake import MIB, ReceiverLimits
from gateway.inventory.sources.push.signatures import SIGNATURES_AT_MOST, Signed
from gateway.ports.store import Source, Store
from tests.inventory import agreement
from tests.inventory.events import full
from tests.inventory.held_store import HeldStore
from tests.inventory.receiving import MEDIA_TYPE, SECRET, Receiving, source, v1

GZIP = {"content_encoding": "gzip"}


def apps(count: int, width: int = 0) -> list[str]:
    return [f"com.example.app{number:05}{'x' * width}" for number in range(count)]


def padded(octets: int) -> bytes:
    """A report of exactly that many octets."""
    body = json.dumps(full()).encode()
    return body + b" " * (octets - len(body))


async def test_five_thousand_apps(receiver: Receiving) -> None:
    assert await receiver.status(full(1, apps(5000))) == (202, "applied")
    assert len(await receiver.apps()) == 5000
    answer = await receiver.post(full(2, apps(5001)))
    assert answer.status_code == 422
    assert {"/data/apps", "/data/app_count"} <= {each["pointer"] for each in answer.json()["errors"]}


async def test_one_mebibyte_as_it_travels(receiver: Receiving) -> None:
    assert await receiver.status(padded(MIB)) == (202, "applied")
    answer = await receiver.post(padded(MIB + 1))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:gatepost:problem:too_large")
    assert "send it with Content-Encoding: gzip" in answer.json()["detail"]


async def test_a_body_of_unannounced_length_is_cut_off(receiver: Receiving) -> None:
    drawn = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 65536
            yield b" " * 65536

    answer = await receiver.client.post(agreement.PATH, content=endless(), headers=signed(b""))
    agreement.check(answer)
    assert answer.status_code == 413
    assert drawn <= MIB + 2 * 65536


def signed(body: bytes, message_id: str = "msg_x") -> dict[str, str]:
    at = "1795162630"
    return {
        "content-type": MEDIA_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": at,
        "webhook-signature": v1(SECRET, message_id, at, body),
    }


async def test_gzip(receiver: Receiving) -> None:
    body = json.dumps(full(1, apps(3000, width=100))).encode()
    for number, packed in enumerate((gzip.compress(body), gzip.compress(body, 1, mtime=0))):
        # The signature is over the octets as they travel: another packing is another body.
        assert await receiver.status(packed, message_id=f"msg_{number}", **GZIP) == (
            (202, "applied") if number == 0 else (202, "stale_ignored")
        )
    assert await receiver.status(body, message_id="plain", content_encoding="identity") == (202, "stale_ignored")
    assert len(await receiver.apps()) == 3000


@pytest.mark.parametrize("excess", [0, 1])
async def test_four_mebibytes_unpacked(receiver: Receiving, excess: int) -> None:
    answer = await receiver.post(gzip.compress(padded(4 * MIB + excess)), **GZIP)
    assert answer.status_code == (413 if excess else 202)
    if excess:
        assert "more than 4194304 octets once unpacked" in answer.json()["detail"]


async def test_a_bomb_is_not_unpacked(receiver: Receiving) -> None:
    """A thousandfold: refused by what comes out, without holding it."""
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(MIB)) for _ in range(512)) + bomb.flush()
    assert len(packed) < MIB
    answer = await receiver.post(packed, **GZIP)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:gatepost:problem:too_large")


async def test_what_is_no_gzip(receiver: Receiving) -> None:
    packed = gzip.compress(json.dumps(full()).encode())
    damaged = packed[:-8] + bytes(4) + packed[-4:]
    for body, words in [
        (json.dumps(full()).encode(), "is not the gzip that"),
        (b"", "ends too early"),
        (packed[:-1], "ends too early"),
        (packed[: len(packed) // 2], "ends too early"),
        (packed + b"x", "something follows"),
        (packed + packed, "something follows"),
        (damaged, "is not the gzip that"),
        (zlib.compress(json.dumps(full()).encode()), "is not the gzip that"),
        (gzip.compress(packed), "no JSON"),
    ]:
        answer = await receiver.post(body, **GZIP)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:gatepost:problem:unreadable")
        assert words in answer.json()["detail"] or "not UTF-8" in answer.json()["detail"]
    assert await receiver.inventory() is None


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "x-gzip", "zstd"])
async def test_another_coding(receiver: Receiving, coding: str) -> None:
    answer = await receiver.post(full(), content_encoding=coding)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:gatepost:problem:content_coding")
    assert answer.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize("media_type", ["", "application/json", "text/plain", "application/cloudevents-batch+json"])
async def test_another_media_type(receiver: Receiving, media_type: str) -> None:
    assert await receiver.status(full(), content_type=media_type) == (415, "media_type")


@pytest.mark.parametrize("media_type", ["application/cloudevents+json; charset=utf-8", "Application/CloudEvents+JSON"])
async def test_the_media_type_in_other_words(receiver: Receiving, media_type: str) -> None:
    assert await receiver.status(full(), content_type=media_type) == (202, "applied")


class Conversation:
    """A request whose body comes when the test says so, told to the application itself."""

    def __init__(self, receiver: Receiving, body: bytes) -> None:
        self._messages: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._hungry = asyncio.Event()
        self._body = body
        self._answer: list[MutableMapping[str, Any]] = []
        headers = [(name.encode(), value.encode()) for name, value in signed(body).items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": agreement.PATH,
            "raw_path": agreement.PATH.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("gatepost", 80),
            "scheme": "http",
            "root_path": "",
        }
        self.task = asyncio.create_task(receiver.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, object]:
        if self._messages.empty():
            self._hungry.set()
        return await self._messages.get()

    async def until_read(self) -> None:
        """Until all that was given is taken in, and more is asked for."""
        async with asyncio.timeout(20):
            await self._hungry.wait()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self._answer.append(message)

    def give(self, piece: bytes, *, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def status(self) -> object:
        async with asyncio.timeout(20):
            await self.task
        return self._answer[0]["status"]


async def test_a_body_that_comes_octet_by_octet_counts(receiver: Receiving) -> None:
    body = json.dumps(full()).encode()
    conversation = Conversation(receiver, body)
    for place in range(len(body)):
        conversation.give(body[place : place + 1], more=place + 1 < len(body))
    assert await conversation.status() == 202


async def test_a_body_that_does_not_come(store: Store) -> None:
    receiver = Receiving(store, limits=ReceiverLimits(body_seconds=0.05))
    conversation = Conversation(receiver, b"{}")
    conversation.give(b"{", more=True)
    assert await conversation.status() == 408


async def test_a_sender_that_hangs_up_leaves_nothing(receiver: Receiving) -> None:
    conversation = Conversation(receiver, b"{}")
    conversation.give(b"{", more=True)
    conversation.hang_up()
    assert await conversation.status() == 400
    assert not await receiver.remembered("msg_x")


async def test_all_bodies_together_have_a_bound(store: Store) -> None:
    receiver = Receiving(store, limits=ReceiverLimits(memory_bytes=1000))
    await receiver.write(source())
    waiting = Conversation(receiver, b"")
    waiting.give(b" " * 900, more=True)
    await waiting.until_read()
    # The first one holds what it has, until it is through.
    refused = await receiver.post(padded(900))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    waiting.hang_up()
    assert await waiting.status() == 400
    assert (await receiver.post(padded(900))).status_code == 202


async def test_one_source_does_not_take_all_room(store: Store) -> None:
    held = HeldStore(store)
    receiver = Receiving(held, limits=ReceiverLimits(reports_at_once=2))
    other = "whsec_" + "A" * 40
    await receiver.write(source(), source("others", secrets=(other,)))
    held.hold()
    posts = [asyncio.create_task(receiver.status(full(1, subject=f"d{number}"))) for number in range(2)]
    await held.until_waiting(2)
    assert await receiver.status(full(1, subject="d3"), message_id="msg_3") == (429, "slow_down")
    posts.append(asyncio.create_task(receiver.status(full(1, subject="d4"), secret=other)))
    await held.until_waiting(3)
    held.release()
    assert await asyncio.gather(*posts) == [(202, "applied")] * 3
    assert await receiver.status(full(1, subject="d3"), message_id="msg_3") == (202, "applied")


async def test_who_has_no_secret_stops_nobody_else(receiver: Receiving) -> None:
    """Against which of many secrets a large body is checked takes a while, in which the loop goes on."""
    secrets = [tuple(f"whsec_{chr(65 + each)}{number:039}" for each in range(5)) for number in range(60)]
    await receiver.write(*(source(f"s{number}", secrets=given) for number, given in enumerate(secrets)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    unknown = "whsec_" + "z" * 40
    assert await receiver.status(padded(MIB), secret=unknown) == (401, "not_authentic")
    going_on.cancel()
    assert turns > 200


@pytest.mark.parametrize("size", [100, 60_000])
async def test_small_messages_that_are_costly_to_check_hold_nobody_up(receiver: Receiving, size: int) -> None:
    """A stranger's message with many signatures, where many sources have public keys."""
    await receiver.write(*(source(f"s{number}", secrets=(_public_key(),)) for number in range(40)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    signatures = " ".join(["v1a," + "A" * 86 + "=="] * SIGNATURES_AT_MOST)
    answers = [receiver.status(b" " * size, message_id=f"m{each}", webhook_signature=signatures) for each in range(3)]
    assert set(await asyncio.gather(*answers)) == {(401, "not_authentic")}
    going_on.cancel()
    assert turns > 200


async def test_few_messages_are_checked_beside_the_loop_at_once(
    receiver: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else strangers would take every thread there is."""
    lock, now, most = threading.Lock(), 0, 0
    in_pairs = threading.Barrier(2, timeout=20)
    check = module._signer

    def counted(sources: Sequence[Source], signed: Signed, body: bytes) -> Source | None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        in_pairs.wait()
        found = check(sources, signed, body)
        with lock:
            now -= 1
        return found

    monkeypatch.setattr(module, "_signer", counted)
    await receiver.write(*(source(f"s{number}", secrets=(_public_key(),)) for number in range(5)))
    answers = [receiver.status(padded(100_000), message_id=f"m{each}") for each in range(12)]
    assert {status for status, _ in await asyncio.gather(*answers)} == {202}
    assert most == receiver.limits.large_at_once


def _public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return f"whpk_{base64.b64encode(key).decode()}"


async def test_few_large_bodies_are_read_at_once(receiver: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of one may be thirty times its size."""
    lock, now, most = threading.Lock(), 0, 0

    def counted(body: bytes) -> object:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        value = parsed(body)
        with lock:
            now -= 1
        return value

    monkeypatch.setattr(module, "parsed", counted)
    large = gzip.compress(b"[" + b"[]," * 200_000 + b"[]]")
    answers = await asyncio.gather(*(receiver.status(large, **GZIP) for _ in range(12)))
    assert set(answers) == {(422, "invalid_payload")}
    assert most == receiver.limits.large_at_once == 2


async def test_one_address_does_not_take_all_the_memory(store: Store) -> None:
    """Nobody is known yet when a body comes in."""
    receiver = Receiving(store, limits=ReceiverLimits(memory_bytes=4000, body_bytes=1000))
    await receiver.write(source())
    waiting = Conversation(receiver, b"")
    waiting.give(b" " * 900, more=True)
    await waiting.until_read()
    refused = await receiver.post(padded(900))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    elsewhere = httpx.ASGITransport(receiver.app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://gatepost") as client:
        body = padded(900)
        assert (await client.post(agreement.PATH, content=body, headers=signed(body))).status_code == 202
    waiting.hang_up()
    assert await waiting.status() == 400


async def test_fewer_apps_by_setting(store: Store) -> None:
    receiver = Receiving(store, limits=ReceiverLimits(apps=3))
    await receiver.write(source())
    assert await receiver.status(full(1, apps(3))) == (202, "applied")
    answer = await receiver.post(full(2, apps(4)))
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"pointer": "/data/apps", "detail": "List should have at most 3 items, not 4"}],
    )


async def test_each_end_of_a_report_is_counted(store: Store) -> None:
    counted: list[str] = []
    receiver = Receiving(store, limits=ReceiverLimits(body_bytes=2000), count=counted.append)
    await receiver.write(source())
    await receiver.post(full(1), message_id="msg_1")
    await receiver.post(full(1), message_id="msg_1")
    await receiver.post(full(2), secret="whsec_" + "A" * 40)
    await receiver.post(padded(2001))
    await receiver.post(b"{}")
    assert counted == ["applied", "duplicate", "not_authentic", "too_large", "invalid_payload"]
