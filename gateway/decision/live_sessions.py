"""Who is connected right now, so that a changed verdict reaches them at once.

A session is registered first and judged after, with no await between: a change heard of in that moment finds it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict


class LiveSession(Protocol):
    """An exchange or connection in progress. Compared by identity."""

    @property
    def request(self) -> AccessRequest:
        """What was asked, and is asked again on every change."""
        ...

    def verdict_turned(self, verdict: Verdict) -> None:
        """The verdict is ALLOW no longer. Called synchronously; must not raise."""
        ...


class Follower:
    """A live session that is told of every verdict, ALLOW too: it keeps the present one for somebody else."""

    __slots__ = ()


class LiveSessions:
    """The sessions of one process by canonical login."""

    def __init__(self) -> None:
        # Most people have one session: it stands alone, a set is made for the second.
        self._by_login: dict[str, LiveSession | set[LiveSession]] = {}

    @property
    def count(self) -> int:
        """How many there are at this moment; looks at all of them."""
        return sum(len(each) if isinstance(each, set) else 1 for each in self._by_login.values())

    def add(self, session: LiveSession, login: str = "") -> int:
        """Register, and judge afterwards; how many the login has now. ``login``: the session's, if it is at hand."""
        login = login or session.request.login
        there = self._by_login.setdefault(login, session)
        if there is session:
            return 1
        if isinstance(there, set):
            there.add(session)
            return len(there)
        self._by_login[login] = {there, session}
        return 2

    def discard(self, session: LiveSession, login: str = "") -> None:
        """Forget a session; one that is not registered is ignored."""
        login = login or session.request.login
        there = self._by_login.get(login)
        if there is session:
            del self._by_login[login]
        elif isinstance(there, set):
            there.discard(session)
            if not there:
                del self._by_login[login]

    def of(self, login: str) -> tuple[LiveSession, ...]:
        """The sessions of one login at this moment."""
        there = self._by_login.get(login)
        if there is None:
            return ()
        return tuple(there) if isinstance(there, set) else (there,)

    def some_of(self, login: str, most: int) -> tuple[LiveSession, ...]:
        """At most so many of them, whichever; anybody may open sessions under any name."""
        there = self._by_login.get(login)
        return tuple(islice(there, most)) if isinstance(there, set) else self.of(login)

    def logins(self) -> Iterable[str]:
        """The logins with sessions at this moment."""
        return tuple(self._by_login)

    def __iter__(self) -> Iterator[LiveSession]:
        """All sessions at this moment."""
        for login in self.logins():
            yield from self.of(login)
