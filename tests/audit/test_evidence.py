"""Reports in the audit log: every stored one in the count of its minute, once, and a digest that others can make."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.audit import evidence
from gateway.audit.evidence import EvidenceTold, digest_of
from gateway.ports.store import Store, StoredMessage
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store

BEGIN = 1_000_000_020.0
"""A whole minute."""


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


async def stored(store: Store, source: str, name: str, at: float, status: str = "applied") -> None:
    message = StoredMessage(digest(name), status, 1, at)
    await store.write(lambda writing: writing.put_message(source, name, message))


async def entries(store: Store) -> list[dict[str, Any]]:
    async with store.read() as reading:
        return [json.loads(each.entry) for each in await reading.audit_entries()]


async def counts(store: Store) -> list[tuple[str, int]]:
    """Of each entry the minute and how many reports of the first source."""
    told = [each["details"] for each in await entries(store)]
    return [(each["from"][11:16], each["sources"][0]["reports"]) for each in told]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.live)])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("new_database")()
    opened = await open_store(url, writable=True)
    yield opened
    await opened.close()


class Clock:
    """Moved by the test."""

    at = BEGIN + 89.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_each_minute_once_by_source(kind: str, tmp_path: Path) -> None:
    memory = kind == "memory"
    store: Store = MemoryStore() if memory else await open_store(f"sqlite:///{tmp_path}/s.db", writable=True)
    for name, source, at, status in (
        ("a", "mdm", 0.0, "applied"),
        ("b", "mdm", 59.9, "stale"),
        ("c", "jamf", 30.0, "applied"),
        ("d", "mdm", 60.0, "applied"),
    ):
        await stored(store, source, name, BEGIN + at, status)
    clock = Clock()
    told = EvidenceTold(store, clock)
    assert await told.tell() == 0
    clock.at = BEGIN + 90.0
    assert await told.tell() == 3
    assert await told.tell() == 0
    (entry,) = await entries(store)
    assert entry["details"]["from"] == "2001-09-09T01:47:00.000000Z"
    assert entry["details"]["sources"] == [
        {"source": "jamf", "reports": 1, "outcomes": {"applied": 1}, "digest": digest_of([digest("c")])},
        {
            "source": "mdm",
            "reports": 2,
            "outcomes": {"applied": 1, "stale": 1},
            "digest": digest_of([digest("b"), digest("a")]),
        },
    ]
    # Another process, after a pause of an hour and a half.
    clock.at = BEGIN + 5_400.0
    another = EvidenceTold(store, clock)
    assert [await another.tell(), await another.tell()] == [1, 0]
    assert [each["details"]["sources"][0]["reports"] for each in await entries(store)] == [1, 1]
    await store.close()


async def test_two_that_tell_at_once_tell_once() -> None:
    """The lease may pass on between reading and writing."""
    store = MemoryStore()
    await stored(store, "mdm", "a", BEGIN)
    slow, fast = EvidenceTold(store, lambda: BEGIN + 100.0), EvidenceTold(store, lambda: BEGIN + 100.0)
    write = store.write

    async def overtaken(work: Any) -> Any:
        store.write = write  # type: ignore[method-assign]
        await fast.tell()
        return await write(work)

    store.write = overtaken  # type: ignore[method-assign]
    await slow.tell()
    assert len(await entries(store)) == 1


def test_the_digest_needs_no_order() -> None:
    names = [digest(text) for text in "abc"]
    by_hand = sha256(b"".join(sorted(map(bytes.fromhex, names)))).hexdigest()
    assert digest_of(names) == digest_of(reversed(names)) == by_hand


async def test_nothing_is_told_of_minutes_without_reports() -> None:
    store = MemoryStore()
    clock = Clock()
    assert await EvidenceTold(store, clock).tell() == 0
    await stored(store, "mdm", "a", BEGIN)
    clock.at = BEGIN + 40_000.0
    assert await EvidenceTold(store, clock).tell() == 1
    assert len(await entries(store)) == 1


async def test_one_whose_commit_comes_between_reading_and_writing_is_told(any_store: Store) -> None:
    """A report of the last moment of a minute, held up for longer than a minute settles."""
    await stored(any_store, "mdm", "a", BEGIN + 30.0)
    write = any_store.write

    async def held_up(work: Any) -> Any:
        any_store.write = write  # type: ignore[method-assign]
        await stored(any_store, "mdm", "late", BEGIN + 59.9)
        return await write(work)

    any_store.write = held_up  # type: ignore[method-assign]
    clock = Clock()
    told = EvidenceTold(any_store, clock)
    clock.at = BEGIN + 90.0
    assert await told.tell() == 2
    clock.at = BEGIN + 3_600.0
    assert await told.tell() == 0
    assert await counts(any_store) == [("01:47", 2)]


async def test_one_whose_commit_comes_later_still_is_told_with_the_next_minute(any_store: Store) -> None:
    """So is one of a control process whose clock is behind."""
    await stored(any_store, "mdm", "a", BEGIN)
    clock = Clock()
    told = EvidenceTold(any_store, clock)
    clock.at = BEGIN + 90.0
    assert await told.tell() == 1
    await stored(any_store, "mdm", "late", BEGIN + 59.9)
    await stored(any_store, "mdm", "behind", BEGIN - 7_200.0)
    clock.at = BEGIN + 150.0
    assert await told.tell() == 2
    assert await counts(any_store) == [("01:47", 1), ("01:48", 2)]


async def test_one_that_comes_late_after_hours_without_any_is_told(any_store: Store) -> None:
    clock = Clock()
    told = EvidenceTold(any_store, clock)
    clock.at = BEGIN + 90.0
    assert await told.tell() == 0
    await stored(any_store, "mdm", "behind", BEGIN - 3 * evidence.LOOKS_BACK_SECONDS)
    clock.at = BEGIN + 150.0
    assert await told.tell() == 1
    assert await counts(any_store) == [("01:48", 1)]


async def test_after_the_clock_was_set_back_reports_are_told_all_the_same() -> None:
    store = MemoryStore()
    clock = Clock()
    told = EvidenceTold(store, clock)
    await stored(store, "mdm", "a", BEGIN + 86_400.0)
    clock.at = BEGIN + 86_490.0
    assert await told.tell() == 1
    found = []
    with capture_logs() as logged:
        for second in range(0, 600, 20):
            clock.at = BEGIN + second
            await stored(store, "mdm", f"s{second}", clock.at)
            found.append(await told.tell())
    # All but the last few within two minutes, and the lead grows less.
    assert sum(found) >= 25
    assert sum(map(bool, found)) == 5
    assert [each["event"] for each in logged] == ["evidence_clock_set_back"]
    told_upto = BEGIN + 86_460.0 + 5 * 60.0
    async with store.read() as reading:
        assert await reading.evidence_told() == told_upto
    clock.at = told_upto + 90.0
    await told.tell()
    assert sum(count for _, count in await counts(store)) == 31


async def test_very_many_are_told_by_single_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit of work has its time."""
    monkeypatch.setattr(evidence, "MESSAGES_AT_ONCE", 3)
    store = MemoryStore()
    for number in range(8):
        await stored(store, "mdm", str(number), BEGIN + 30.0 * number)
    units = 0
    write = store.write

    async def counted(work: Any) -> Any:
        nonlocal units
        units += 1
        return await write(work)

    store.write = counted  # type: ignore[method-assign]
    assert await EvidenceTold(store, lambda: BEGIN + 300.0).tell() == 8
    assert units == 4
    assert await counts(store) == [("01:47", 2), ("01:48", 2), ("01:49", 2), ("01:50", 2)]
