"""What a worker tells of who is connected, and what is made of it."""

import base64
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decision import sessions_told
from gateway.decision.live_sessions import Follower, LiveSessions
from gateway.decision.sessions_told import SessionTold, read, told
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.verdict import Verdict


class Session:
    def __init__(self, login: str, device_id: str, protocol: Protocol) -> None:
        self.request = AccessRequest(login, device_id, protocol)

    def verdict_turned(self, verdict: Verdict) -> None:
        raise AssertionError(verdict)


class Asked(Session, Follower):
    """Somebody else's connection."""


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.sampled_from(Protocol)), max_size=9))
async def test_what_is_told_is_read(rows: list[tuple[str, str, Protocol]]) -> None:
    sessions = LiveSessions()
    for row in rows:
        sessions.add(Session(*row))
    sessions.add(Asked("asker", "d", Protocol.IMAP))
    found, more = read(await told(sessions))
    assert sorted(found) == sorted(SessionTold(*row) for row in rows)
    assert more == 0


async def test_of_very_many_only_the_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_told, "MOST", 7)
    monkeypatch.setattr(sessions_told, "AT_ONCE", 3)
    sessions = LiveSessions()
    for number in range(20):
        sessions.add(Session(f"u{number}", "", Protocol.IMAP))
    found, more = read(await told(sessions))
    assert (len(found), more) == (7, 13)


def packed(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"packed": 1, "more": 0},
        {"packed": "", "more": "0"},
        {"packed": "é", "more": 0},
        {"packed": "AAAA", "more": 0},
        {"packed": packed(b"{"), "more": 0},
        {"packed": packed(b'["a","b"]\n'), "more": 0},
        {"packed": packed(b'["a","b",3]\n'), "more": 0},
        {"packed": packed(b"\xff\n"), "more": 0},
        {"packed": packed(b"[" * 100_000), "more": 0},
    ],
)
def test_what_no_worker_says_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(said)


def test_more_than_a_worker_can_have_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_told, "UNPACKED_BYTES", 1_000)
    with pytest.raises(ValueError, match="more sessions than it can have"):
        read({"packed": packed(b"[]\n" * 10_000), "more": 0})
