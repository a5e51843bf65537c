"""How often somebody's credentials were tried at the mail server because of us: bounded, or an account gets locked."""

import time
from collections import deque
from collections.abc import Callable

FAILURES_PER_MINUTE = 5
"""Refused log-ins at the mail server per user and minute that we cause at most: all workers of a gateway together."""
LOGINS_MOST = 20_000


class Attempts:
    """The failed attempts of the last minute by login; of too many logins the oldest are forgotten."""

    def __init__(self, now: Callable[[], float] = time.time, failures_per_minute: int = FAILURES_PER_MINUTE) -> None:
        self._now = now
        self._most = failures_per_minute
        self._failed: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """Logins that anything is remembered of."""
        return len(self._failed)

    def begin(self, login: str) -> bool:
        """Count an attempt; False: it must not be made.

        Counted before its outcome is known, or many at once would all be within the bound.
        """
        failed = self._failed.get(login)
        if failed is None:
            while len(self._failed) >= LOGINS_MOST:
                del self._failed[next(iter(self._failed))]
            failed = self._failed[login] = deque()
        while failed and failed[0] <= self._now() - 60.0:
            failed.popleft()
        if len(failed) >= self._most:
            return False
        failed.append(self._now())
        return True

    def did_not_fail(self, login: str) -> None:
        """The attempt last begun was no failed log-in."""
        failed = self._failed.get(login)
        if failed:
            failed.pop()
        if not failed:
            self._failed.pop(login, None)
