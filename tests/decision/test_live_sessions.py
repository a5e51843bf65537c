"""Registration by login: one, several, unknown ones."""

from gateway.decision.live_sessions import LiveSessions
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict


class Session:
    def __init__(self, login: str) -> None:
        self.request = AccessRequest(login, "d1")
        self.turned: list[Verdict] = []

    def verdict_turned(self, verdict: Verdict) -> None:
        self.turned.append(verdict)


def test_sessions_are_found_by_login() -> None:
    sessions = LiveSessions()
    one, two, other = Session("a"), Session("a"), Session("b")
    for session in (one, two, other):
        sessions.add(session)
    assert set(sessions.of("a")) == {one, two}
    assert sessions.of("b") == (other,)
    assert sessions.of("c") == ()
    assert sessions.count == 3
    assert set(sessions) == {one, two, other}


def test_some_of_many_sessions() -> None:
    sessions = LiveSessions()
    assert sessions.some_of("ann", 3) == ()
    many = [Session("ann") for _ in range(10)]
    for number, each in enumerate(many, 1):
        sessions.add(each)
        some = sessions.some_of("ann", 3)
        assert len(set(some)) == len(some) == min(number, 3)
        assert set(some) <= set(many)


def test_discarding_twice_or_unknown_changes_nothing() -> None:
    sessions = LiveSessions()
    one, two = Session("a"), Session("a")
    sessions.add(one)
    sessions.discard(two)
    sessions.add(two)
    sessions.discard(one)
    sessions.discard(one)
    assert sessions.of("a") == (two,)
    sessions.discard(two)
    assert sessions.count == 0
    assert list(sessions) == []


def test_sessions_may_end_while_all_are_visited() -> None:
    sessions = LiveSessions()
    many = [Session(str(number)) for number in range(10)]
    for session in many:
        sessions.add(session)
    for visited in sessions:
        sessions.discard(visited)
    assert sessions.count == 0
