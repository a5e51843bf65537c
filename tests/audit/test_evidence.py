"""Reports in the audit log: every stored one in the count of its minute, once, and a digest that others can make."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

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
