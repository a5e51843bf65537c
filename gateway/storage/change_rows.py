"""What a unit of work wants on the change log, and the rows that become of it.

Both stores collect through this, so that their logs agree: the people of one unit are one row, a row for everybody
swallows it, policy versions come after the people they may concern.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.domain.evidence import PersonRecord
from gateway.ports.store import Change, ChangeKind

LOG_KEEPS = 100_000
"""Rows kept; whoever has missed more than these drops what it knows."""
NAMED_AT_MOST = 2_000
"""More people than this in one unit are logged as everybody: the row, and what follows from it, stays bounded."""


class LogRequests:
    """Collects the ``log_…`` calls of one unit of work."""

    def __init__(self) -> None:
        self._logins: dict[str, None] = {}
        self._at_hand: dict[str, PersonRecord] = {}
        self._versions: dict[int, None] = {}
        self._everybody = False

    def log_people(self, logins: Sequence[str], records: Sequence[PersonRecord] = ()) -> None:
        # What is at hand is so as of the only change of this unit, or not at all: another one may have outdated it.
        only = not self._logins
        self._logins.update(dict.fromkeys(logins))
        self._at_hand = {
            login: record for record in records if only for login in record.logins if login in self._logins
        }

    def log_policy(self, version: int) -> None:
        self._versions[version] = None

    def log_everybody(self) -> None:
        self._everybody = True

    def rows(self) -> list[Change]:
        """The rows of this unit, not numbered yet."""
        rows: list[Change] = []
        everybody = self._everybody or len(self._logins) > NAMED_AT_MOST
        if self._logins and not everybody:
            rows.append(Change(0, ChangeKind.PERSON, names=tuple(self._logins), records=self._at_hand))
        rows.extend(Change(0, ChangeKind.POLICY, version=version) for version in self._versions)
        if everybody:
            rows.append(Change(0, ChangeKind.EVERYBODY))
        return rows


def numbered(rows: Iterable[Change], after: int, at: float) -> tuple[Change, ...]:
    """The same rows with the sequence numbers above ``after`` and the moment of their commit."""
    return tuple(replace(row, sequence=after + place, at=at) for place, row in enumerate(rows, start=1))
