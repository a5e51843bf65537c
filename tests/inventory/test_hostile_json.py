"""Bodies from a sender that has a secret and means harm: each gets a clear problem, none an error of ours."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.inventory.sources.push.bodies import MEMBERS_AT_MOST, parsed
from gateway.storage.memory import MemoryStore
from tests.inventory.events import full
from tests.inventory.receiving import Receiving, source

EVENT = json.dumps(full())


def inside(text: str) -> bytes:
    """A report that would be whole without ``text`` as a further member of its data."""
    return EVENT.replace('"kind"', f'{text}, "kind"', 1).encode("utf-8", "surrogatepass")


UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "the body is no JSON: Expecting value at character 0"),
    (b" ", "the body is no JSON"),
    (b"{", "the body is no JSON"),
    (EVENT.encode()[:-1], "the body is no JSON"),
    (EVENT.encode() + b"{}", "Extra data"),
    (b"\xef\xbb\xbf" + EVENT.encode(), "BOM"),
    (EVENT.encode("utf-16"), "the body is not UTF-8"),
    (inside('"name": "\ud800"'), "the body is not UTF-8"),
    (EVENT.encode().replace(b"event-", b"\xff\xfe"), "the body is not UTF-8"),
    (EVENT.encode().replace(b"event-", b"\xc0\x80"), "the body is not UTF-8"),
    (EVENT.encode().replace(b"event-", b"\x00"), "Invalid control character"),
    (EVENT.encode().replace(b"event-", b"\n"), "Invalid control character"),
    (EVENT.encode().replace(b"event-", b"\\x"), "escape"),
    (("{" + ",".join(f'"{number}":0' for number in range(90_000)) + "}").encode(), "more than 256 members"),
    (b"[" * 100_000, "nested too deeply"),
    (b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
    (inside('"x": ' + "[" * 2_000 + "]" * 2_000), "nested too deeply"),
    (inside('"x": NaN'), "NaN is no JSON"),
    (inside('"x": -Infinity'), "-Infinity is no JSON"),
    (inside('"x": ' + "9" * 5_000), "a number that is too long"),
    (inside('"x": -' + "9" * 900_000), "a number that is too long"),
    (inside('"x": 01'), "the body is no JSON"),
    (inside('"x": 0x1'), "the body is no JSON"),
    (inside("'x': 1"), "the body is no JSON"),
    (inside('"kind": "full"'), "the member 'kind' stands twice in one object"),
    (inside('"k\\u0069nd": "full"'), "the member 'kind' stands twice"),
    (inside('"\\ud800": 1, "\\ud800": 1'), "stands twice"),
    (EVENT.replace('"id"', '"id": "first", "id"', 1).encode(), "the member 'id' stands twice"),
    (inside('"' + "x" * 5000 + '": 1, "' + "x" * 5000 + '": 1'), "stands twice"),
]
INVALID: list[tuple[bytes, str]] = [
    (b"null", ""),
    (b"[]", ""),
    (b"0", ""),
    (b'"report"', ""),
    (b"[" + EVENT.encode() + b"]", ""),
    (b"{}", "/specversion"),
    (inside('"x": ' + "[" * 400 + "]" * 400), "/data/x"),
    (inside('"x": 1e400'), "/data/x"),
    (inside('"\\ud800": 1'), "/data"),
    (inside('"\\u0000": 1'), "/data/"),
    (inside('"' + "x" * 5000 + '": 1'), "/data/" + "x" * 64),
    (EVENT.replace("event-", "\\ud800").encode(), "/id"),
    (EVENT.replace("event-", "\\u0000").encode(), "/id"),
    (EVENT.replace("com.google", "\\udfff").encode(), "/data/apps/0/id"),
    (EVENT.replace('"sequence": 1', '"sequence": 1e400').encode(), "/data/sequence"),
    (EVENT.replace('"sequence": 1', '"sequence": 1e0').encode(), "/data/sequence"),
    (EVENT.replace('"sequence": 1', '"sequence": -0').encode(), "/data/sequence"),
    (EVENT.replace('"sequence": 1', '"sequence": ' + "9" * 4000).encode(), "/data/sequence"),
    (EVENT.replace('"app_count": 1', '"app_count": true').encode(), "/data/app_count"),
]


async def test_what_cannot_be_read(receiver: Receiving) -> None:
    for body, words in UNREADABLE:
        answer = await receiver.post(body, message_id="msg_1")
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (400, "urn:gatepost:problem:unreadable"), body[:80]
        assert words in problem["detail"], (words, problem["detail"])
        assert len(answer.content) < 1000
    assert not await receiver.remembered("msg_1")
    assert await receiver.status(full(), message_id="msg_1") == (202, "applied")


async def test_what_is_no_report(receiver: Receiving) -> None:
    for body, pointer in INVALID:
        answer = await receiver.post(body, message_id="msg_1")
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:gatepost:problem:invalid_payload"), body[:80]
        assert any(each["pointer"].startswith(pointer) for each in problem["errors"]), (pointer, problem)
        assert len(answer.content) < 4000
    assert not await receiver.remembered("msg_1")
    assert await receiver.sequence() == 0


def test_an_object_has_a_bounded_number_of_members() -> None:
    """Each that is not known would make an error of its own. Whether a name stands twice costs one pass at most."""
    for count, words in ((MEMBERS_AT_MOST, ""), (MEMBERS_AT_MOST + 1, "more than 256 members"), (300_000, "more than")):
        names = [f'"{number}":0' for number in range(count)]
        began = time.process_time()
        if words:
            with pytest.raises(InvalidValue, match=words):
                parsed(("{" + ",".join(names) + "}").encode())
        else:
            assert parsed(("{" + ",".join(names) + "}").encode()) == {str(number): 0 for number in range(count)}
        assert time.process_time() - began < 2
    twice = [f'"{number}":0' for number in (*range(100), 99)]
    with pytest.raises(InvalidValue, match="'99' stands twice"):
        parsed(("{" + ",".join(twice) + "}").encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["device", "full", "delta", "user", "2026-11-20T08:17:01Z", "1.0", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _paths(value: object, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, inner in members for path in _paths(inner, (*before, key)))]


PATHS = _paths(full())


@given(st.sampled_from(PATHS), JSON)
@example(("data", "generated_at"), "9999-12-31T23:59:59-23:59")
@example(("data", "generated_at"), "9999-12-31T23:59:60Z")
@example(("time",), "0001-01-01T00:00:00+23:59")
@example(("data", "device", "ids", 0, "value"), "\ud800")
def test_anything_anywhere(path: tuple[Any, ...], value: object) -> None:
    event: Any = full()
    if path:
        target = event
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
    else:
        event = value
    assert asyncio.run(_status_of(json.dumps(event).encode())) in (202, 400, 403, 422)


@given(st.integers(0, len(EVENT) - 1), st.binary(max_size=4), st.integers(0, 8))
def test_any_octets_anywhere(place: int, octets: bytes, cut: int) -> None:
    body = EVENT.encode()
    assert asyncio.run(_status_of(body[:place] + octets + body[place + cut :])) in (202, 400, 422)


async def _status_of(body: bytes) -> int:
    """The status of an answer that keeps the contract, from a receiver of its own."""
    receiver = Receiving(MemoryStore())
    await receiver.write(source())
    return (await receiver.post(body)).status_code
