"""How often somebody's credentials were tried at the mail server because of us: bounded, or an account gets locked.

One client address may not use up the whole bound: the last attempt of a minute is for somebody elsewhere, who may be
the user with the right password.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_PER_MINUTE = 5
"""Refused log-ins at the mail server per user and minute that we cause at most: all workers of a gateway together."""
LOGINS_MOST = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One that may be made."""

    login: str
    address: str
    at: float


class Attempts:
    """The failed attempts of the last minute by login; of too many logins the oldest are forgotten."""

    def __init__(self, now: Callable[[], float] = time.time, failures_per_minute: int = FAILURES_PER_MINUTE) -> None:
        self._now = now
        self._most = failures_per_minute
        self._most_of_one = max(1, failures_per_minute - 1)
        self._failed: dict[str, list[Attempt]] = {}

    def __len__(self) -> int:
        """Logins that anything is remembered of."""
        return len(self._failed)

    def begin(self, login: str, address: str = "") -> Attempt | None:
        """Count an attempt; None: it must not be made.

        Counted before its outcome is known, or many at once would all be within the bound.
        """
        now = self._now()
        failed = [each for each in self._failed.get(login, ()) if each.at > now - 60.0]
        by_one = sum(each.address == address for each in failed)
        if len(failed) >= self._most or by_one >= self._most_of_one:
            return None
        attempt = Attempt(login, address, now)
        if login not in self._failed:
            while len(self._failed) >= LOGINS_MOST:
                del self._failed[next(iter(self._failed))]
        self._failed[login] = [*failed, attempt]
        return attempt

    def did_not_fail(self, attempt: Attempt) -> None:
        """It was no failed log-in."""
        left = [each for each in self._failed.get(attempt.login, ()) if each is not attempt]
        if left:
            self._failed[attempt.login] = left
        else:
            self._failed.pop(attempt.login, None)
