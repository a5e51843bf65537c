"""Effects on their way into the audit log: by a real server, taken once, in batches, whoever sent them."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.audit.effects import SUBJECTS_TO_AN_ENTRY, TEXT_LONGEST, Effects
from gateway.ports.store import StoreUnavailable
from gateway.storage.memory import MemoryStore
from gateway.storage.redis import EffectReceiver, EffectSender, EmbeddedValkey, RedisConnection
from gateway.storage.redis import effects as streamed
from gateway.storage.redis.names import EFFECTS, EFFECTS_ADDED, EFFECTS_COUNTED
from tests.storage.redis.conftest import connection, server

__all__ = ["connection", "server"]


def row(login: str, event: Any = "refused", **more: Any) -> bytes:
    told = {
        "event": event,
        "login": login,
        "device": "phone1",
        "reason": "banned_app",
        "ban": "TikTok",
        "app": "com.zhiliaoapp.musically",
        "policy_version": 3,
        "protocol": "activesync",
        "asker": "",
        "at": 1_000_000.5,
    }
    return json.dumps({**told, **more}).encode()


async def entries(store: MemoryStore) -> list[dict[str, Any]]:
    async with store.read() as reading:
        return [json.loads(each.entry) for each in await reading.audit_entries()]


async def test_many_effects_are_few_entries_and_name_nobody() -> None:
    store = MemoryStore()
    effects = Effects(store)
    rows = [row(f"p{number}@corp.example") for number in range(SUBJECTS_TO_AN_ENTRY + 1)]
    await effects.take(effects.read([*rows, b'{"dropped": 12}']))
    first, second = await entries(store)
    assert (first["details"], second["details"]) == ({"number": 100, "not_noted": 12}, {"number": 1})
    assert "corp.example" not in str(first)
    told = dict(first["subjects"][0])
    assert told.pop("person") != told.pop("device")
    assert told == {
        "event": "refused",
        "reason": "banned_app",
        "ban": "TikTok",
        "app": "com.zhiliaoapp.musically",
        "policy_version": 3,
        "protocol": "activesync",
        "happened_at": "1970-01-12T13:46:40.500000Z",
    }


async def test_long_effects_are_more_entries() -> None:
    store = MemoryStore()
    effects = Effects(store)
    logins = [f"p{number}" for number in range(SUBJECTS_TO_AN_ENTRY)]
    # Control characters are six octets each.
    rows = [row(login, ban="\x01" * TEXT_LONGEST, app="\U0001f4f1" * TEXT_LONGEST) for login in logins]
    await effects.take(effects.read([*rows, b'{"dropped": 3}']))
    found = await entries(store)
    assert sum(entry["details"]["number"] for entry in found) == sum(len(entry["subjects"]) for entry in found) == 100
    assert [entry["details"].get("not_noted") for entry in found] == [3] + [None] * (len(found) - 1)
    assert 4 < len(found) < 10


async def test_a_refusal_that_several_workers_tell_of_stands_there_once() -> None:
    store = MemoryStore()
    effects = Effects(store)
    for _ in range(2):
        await effects.take(effects.read([row("ann"), row("ann", "cut"), row("ann", policy_version=4)]))
    told = [subject["event"] for entry in await entries(store) for subject in entry["subjects"]]
    assert told == ["refused", "cut", "refused", "cut"]


async def test_what_could_not_be_written_down_is_not_forgotten() -> None:
    """The rows stay on the stream and are read again."""
    store = MemoryStore()
    effects = Effects(store)
    store.unavailable = "the disk is full"
    with pytest.raises(StoreUnavailable):
        await effects.take(effects.read([row("ann"), row("ann")]))
    store.unavailable = ""
    await effects.take(effects.read([row("ann"), row("ann")]))
    assert [entry["details"] for entry in await entries(store)] == [{"number": 1}]


async def test_counted_ones_alone_are_told_of() -> None:
    store = MemoryStore()
    effects = Effects(store)
    await effects.take(effects.read([b'{"dropped": 3}', b'{"dropped": 4}']))
    await effects.take(effects.read([]))
    (entry,) = await entries(store)
    assert entry["details"] == {"number": 0, "not_noted": 7}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b'{"dropped": "x"}',
        row(""),
        row("ann", event=7),
        row("ann", ban="x" * 301),
        row("ann", at=-1),
        row("ann", at=1e300),
        row("ann", at="nan"),
        row("ann", policy_version="three"),
        row("ann", policy_version=-1),
        row("ann", policy_version=1 << 53),
        row("ann\ud800"),
        row("ann\0"),
        row("ann", device="phone\udcff"),
        row("ann", ban="Tik\0Tok"),
        b'{"dropped": -1}',
        b'{"dropped": 9007199254740992}',
    ],
)
async def test_what_cannot_be_read_is_left_out(bad: bytes) -> None:
    effects = Effects(MemoryStore())
    with capture_logs() as logged:
        told = effects.read([bad, row("bob")])
    assert [subject.login for subject in told.subjects] == ["bob"]
    assert [each["event"] for each in logged] == ["effect_unreadable"]
    await effects.take(told)


async def test_a_number_is_no_larger_than_an_entry_holds() -> None:
    store = MemoryStore()
    effects = Effects(store)
    await effects.take(
        effects.read([b'{"dropped": %d}' % ((1 << 53) - 1)] * 2 + [row("ann", policy_version=2**53 - 1)])
    )
    (entry,) = await entries(store)
    assert entry["details"] == {"number": 1, "not_noted": (1 << 53) - 1}


async def test_a_stream_of_which_all_is_taken_takes_no_room(connection: RedisConnection) -> None:
    sender, receiver = EffectSender(connection), EffectReceiver(connection)

    async def kept() -> int:
        rows: list[Any] = await connection.call(lambda run_id: ("XREVRANGE", EFFECTS, "+", "-"))
        return len(rows)

    for round_ in range(3):
        await sender.send([b"a%d" % round_, b"b"])
        assert await receiver.next(1.0) == [b"a%d" % round_, b"b"]
        # One that comes between reading and taking stays.
        await sender.send([b"c"])
        await receiver.taken()
        assert await kept() == 3
        assert await receiver.next(1.0) == [b"c"]
        await receiver.taken()
        assert await kept() == 0
    await sender.send([b"last"])
    assert await EffectReceiver(connection).next(1.0) == [b"last"]


async def test_what_was_taken_is_not_taken_again(connection: RedisConnection) -> None:
    sender, receiver = EffectSender(connection), EffectReceiver(connection)
    await sender.send([b"one", b"two"])
    assert await receiver.next(1.0) == [b"one", b"two"]
    # It died before it had written them down: another one takes them again.
    another = EffectReceiver(connection)
    assert await another.next(1.0) == [b"one", b"two"]
    await another.taken()
    assert await another.next(0.01) == []
    await sender.send([b"three"])
    assert await EffectReceiver(connection).next(1.0) == [b"three"]


async def test_what_the_stream_had_no_room_for_is_counted(
    connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody took any for long."""
    monkeypatch.setattr(streamed, "ROWS", 100)
    sender, receiver = EffectSender(connection), EffectReceiver(connection)
    await sender.send([b"taken"])
    assert await receiver.next(1.0) == [b"taken"]
    await receiver.taken()
    for begin in range(0, 400, 50):
        await sender.send([row(f"p{number}") for number in range(begin, begin + 50)])
    for one in (receiver, EffectReceiver(connection)):
        told = Effects(MemoryStore()).read(await one.next(1.0))
        assert 100 <= len(told.subjects) < 400
        assert told.dropped == 400 - len(told.subjects)
        assert told.subjects[-1].login == "p399"
    await one.taken()
    await sender.send([b"next"])
    assert await EffectReceiver(connection).next(1.0) == [b"next"]
    assert await one.next(1.0) == [b"next"]


async def test_rows_of_an_earlier_version_have_no_number(connection: RedisConnection) -> None:
    await connection.call(lambda run_id: ("XADD", EFFECTS, "*", "m", b"one"))
    await EffectSender(connection).send([b"two"])
    receiver = EffectReceiver(connection)
    assert await receiver.next(1.0) == [b"one", b"two"]
    await receiver.taken()
    await EffectSender(connection).send([b"three"])
    assert await receiver.next(1.0) == [b"three"]


async def test_numbers_that_are_none_of_ours_keep_nobody_from_running(connection: RedisConnection) -> None:
    for name in (EFFECTS_ADDED, EFFECTS_COUNTED):
        await connection.call(lambda run_id, name=name: ("SET", name, b"many"))  # type: ignore[misc]
    await connection.call(lambda run_id: ("XADD", EFFECTS, "*", "m", b"one", "n", b"-1"))
    await EffectSender(connection).send([b"two"])
    receiver = EffectReceiver(connection)
    assert await receiver.next(1.0) == [b"one", b"two"]
    await receiver.taken()


async def test_a_receiver_that_waits_hears_of_them_at_once(server: EmbeddedValkey, connection: RedisConnection) -> None:
    receiver = EffectReceiver(connection)
    waiting = asyncio.create_task(receiver.next(10.0))
    sending = RedisConnection(server.url, timeout_seconds=5.0)
    await EffectSender(sending).send([b"one"])
    assert await asyncio.wait_for(waiting, 5.0) == [b"one"]
    await sending.close()
