"""What is made of reports has bounds, too: one source's flood takes its own room, and none of the others' time."""

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from gateway.inventory.sources.problems import Refused
from gateway.inventory.sources.push import receiver as module
from gateway.inventory.sources.push.bodies import parsed
from gateway.inventory.sources.push.intake import ReceiverLimits
from gateway.inventory.sources.push.room import HELD_TIMES, SHARES, Room
from gateway.storage.memory import MemoryStore
from tests.inventory.events import full
from tests.inventory.held_store import HeldStore
from tests.inventory.receiving import OTHER_SECRET, SECRET, Receiving, source

LARGEST = 100_000
LIMITS = ReceiverLimits(body_bytes=LARGEST, unpacked_bytes=LARGEST, memory_bytes=LARGEST, store_seconds=1.0)
THIRD_SECRET = "whsec_" + "A" * 40


def packed(octets: int, device: str = "d1") -> bytes:
    """A report of exactly that many octets within gzip, where it is some hundred."""
    body = json.dumps(full(1, subject=device)).encode()
    return gzip.compress(body + b" " * (octets - len(body)))


async def sent(receiver: Receiving, body: bytes, secret: str, message_id: str) -> httpx.Response:
    async with asyncio.timeout(20):
        return await receiver.post(body, secret=secret, message_id=message_id, content_encoding="gzip")


class Reader:
    """Reads bodies as the receiver does, but those beside the loop only once they are let go."""

    def __init__(self) -> None:
        self.read = 0
        self.held = True
        self._open = threading.Event()
        self._came = threading.Semaphore(0)

    def __call__(self, body: bytes) -> object:
        """``parsed``."""
        self.read += 1
        if self.held and threading.current_thread() is not threading.main_thread():
            self._came.release()
            assert self._open.wait(30)
        return parsed(body)

    async def until_held(self) -> None:
        """Until one more is held."""
        assert await asyncio.to_thread(self._came.acquire, timeout=20)

    def release(self) -> None:
        """Let them go."""
        self._open.set()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    reader = Reader()
    monkeypatch.setattr(module, "parsed", reader)
    yield reader
    reader.release()


@pytest.fixture
async def receiver() -> Receiving:
    receiver = Receiving(MemoryStore(), limits=LIMITS)
    await receiver.write(source(), source("others", secrets=(OTHER_SECRET,)), source("third", secrets=(THIRD_SECRET,)))
    return receiver


async def test_who_has_no_room_is_told_to_come_back(receiver: Receiving, reader: Reader) -> None:
    first = asyncio.create_task(sent(receiver, packed(80_000), SECRET, "msg_1"))
    await reader.until_held()
    refused = await sent(receiver, packed(30_000, "d2"), SECRET, "msg_2")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "too many reports wait to be stored" in refused.json()["detail"]
    # The room is one source's: for another there is all of its own, for large and small ones.
    reader.held = False
    for number, size in enumerate((30_000, 80_000)):
        answer = await sent(receiver, packed(size, f"other{number}"), OTHER_SECRET, f"msg_{number}")
        assert answer.status_code == 202
    reader.release()
    assert (await first).status_code == 202
    assert (await sent(receiver, packed(30_000, "d2"), SECRET, "msg_2")).status_code == 202


async def test_large_reports_wait_for_a_bounded_time_and_small_ones_for_none(
    receiver: Receiving, reader: Reader
) -> None:
    """Those of two sources are being read, and go on being read."""
    reading = []
    for secret in (SECRET, THIRD_SECRET):
        reading.append(asyncio.create_task(sent(receiver, packed(80_000, secret[-9:]), secret, "msg_1")))
        await reader.until_held()
    assert (await sent(receiver, packed(30_000), OTHER_SECRET, "msg_1")).status_code == 202
    refused = await sent(receiver, packed(80_000, "d2"), OTHER_SECRET, "msg_2")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "too many large reports are being read" in refused.json()["detail"]
    reader.release()
    assert [(await each).status_code for each in reading] == [202, 202]
    assert (await sent(receiver, packed(80_000, "d2"), OTHER_SECRET, "msg_2")).status_code == 202


async def test_a_flood_is_read_as_far_as_there_is_room(reader: Reader) -> None:
    """While the store hangs, what is read of one secret's reports grows no further, and another's pass."""
    reader.held = False
    held = HeldStore(MemoryStore())
    limits = ReceiverLimits(body_bytes=LARGEST, unpacked_bytes=LARGEST, memory_bytes=LARGEST)
    receiver = Receiving(held, limits=limits)
    await receiver.write(source(), source("others", secrets=(OTHER_SECRET,)))
    held.hold()
    flood = [
        asyncio.create_task(sent(receiver, packed(40_000, f"d{number}"), SECRET, f"msg_{number}"))
        for number in range(20)
    ]
    await held.until_waiting(2)
    others = [
        asyncio.create_task(sent(receiver, packed(size, f"other{size}"), OTHER_SECRET, f"msg_{size}"))
        for size in (10_000, 80_000)
    ]
    await held.until_waiting(4)
    assert reader.read == 4
    held.release()
    assert {answer.status_code for answer in await asyncio.gather(*flood, *others)} == {202}
    assert reader.read == 22


async def test_the_room_of_all_is_bounded_and_given_back() -> None:
    room = Room(ReceiverLimits(body_bytes=1000, unpacked_bytes=4000, memory_bytes=1000, store_seconds=0.05))
    held = [room.of(f"s{number}", 4000) for number in range(SHARES)]
    for each in held:
        await each.__aenter__()
    assert room.held_bytes == SHARES * HELD_TIMES * 4000
    with pytest.raises(Refused, match="wait to be stored"):
        async with room.of("one more", 1):
            pytest.fail("there is no room")
    waiting = asyncio.create_task(room.of("patient", 4000).__aenter__())
    await asyncio.sleep(0)
    await held.pop().__aexit__(None, None, None)
    await waiting
    for each in held:
        await each.__aexit__(None, None, None)
    assert room.held_bytes == HELD_TIMES * 4000
    assert set(room.held_by) == {"patient"}


async def test_a_large_report_is_not_overtaken_for_ever() -> None:
    """What comes after it from its source waits behind it, though there is room for something small."""
    room = Room(ReceiverLimits(body_bytes=1000, unpacked_bytes=1000, memory_bytes=1000))
    inside: list[str] = []

    async def report(name: str, octets: int, source: str, until: asyncio.Event) -> None:
        async with room.of(source, octets):
            inside.append(name)
            if len(inside) == 3:
                third.set()
            await until.wait()

    first, third, others = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for name, octets, source, until in (
            ("first", 200, "agents", first),
            ("large", 900, "agents", others),
            ("small", 200, "agents", others),
            ("of another", 900, "others", others),
        ):
            group.create_task(report(name, octets, source, until))
            await asyncio.sleep(0)
        assert inside == ["first", "of another"]
        first.set()
        await third.wait()
        others.set()
    assert inside == ["first", "of another", "large", "small"]
    assert room.held_bytes == 0


@pytest.mark.parametrize(
    ("says", "words"), [(10, "more than its last four octets say"), (10_000, "is not the gzip that")]
)
async def test_gzip_that_says_another_length_is_not_read(receiver: Receiving, says: int, words: str) -> None:
    answer = await sent(receiver, packed(5000)[:-4] + says.to_bytes(4, "little"), SECRET, "msg_1")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:gatepost:problem:unreadable")
    assert words in answer.json()["detail"]
