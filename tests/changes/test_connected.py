"""Who is connected, by what workers told."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.changes.connected import connected
from gateway.changes.impact.live import LiveKey
from gateway.decision.live_sessions import LiveSessions
from gateway.decision.sessions_told import told
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.verdict import Verdict
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.worker_statuses import Place, WorkerStatus


class Session:
    def __init__(self, login: str) -> None:
        self.request = AccessRequest(login, "d1")

    def verdict_turned(self, verdict: Verdict) -> None:
        raise AssertionError(verdict)


class Statuses:
    def __init__(self, *rows: tuple[float, Mapping[str, Any]]) -> None:
        self.rows = rows

    async def tell(self, place: Place, told: Mapping[str, Any]) -> None:
        raise AssertionError(told)

    async def leave(self, place: Place) -> None:
        raise AssertionError(place)

    async def all(self) -> Sequence[WorkerStatus]:
        return [WorkerStatus(Place("mx1", f"w{at}", "r"), age, row) for at, (age, row) in enumerate(self.rows)]


class Away(Statuses):
    async def all(self) -> Sequence[WorkerStatus]:
        raise CacheUnavailable("away")


async def of(*logins: str) -> dict[str, Any]:
    sessions = LiveSessions()
    for login in logins:
        sessions.add(Session(login))
    return await told(sessions)


async def test_the_sessions_of_all_workers() -> None:
    found = await connected(Statuses((0.5, await of("ann")), (3.0, {**await of("bob", "ann"), "more": 4})))
    assert found is not None
    assert sorted(found.sessions) == [LiveKey(each, "d1", Protocol.ACTIVESYNC) for each in ("ann", "ann", "bob")]
    assert (found.workers, found.oldest_seconds, found.more) == (2, 3.0, 4)


async def test_who_has_told_nothing_for_long_or_nonsense_is_left_out() -> None:
    found = await connected(Statuses((61.0, await of("ann")), (1.0, {"packed": "?"}), (2.0, await of("bob"))))
    assert found is not None
    assert [each.login for each in found.sessions] == ["bob"]
    assert found.workers == 1


async def test_where_nobody_can_know_nothing_is_said() -> None:
    assert await connected(Away()) is None
    assert await connected(Statuses()) is None
    assert await connected(Statuses((90.0, await of("ann")))) is None
