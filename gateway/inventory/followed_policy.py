"""The policy that evidence is taken by, as new as the unit of work that asks.

Another control process may have made a version that this one has not heard of yet, and a hit of a ban in it must not be
forgotten meanwhile. The change log tells in the very transaction whether there is one: a look at its newest rows, once
for all the units of a transaction, and nothing where nothing was committed in between.
"""

from gateway.domain.policy import Policy, policy_of
from gateway.ports.store import ChangeKind, Reading

ROWS = 1_000
"""More rows than these are not looked through: the newest version is read."""


class FollowedPolicy:
    """One per control process."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._sequence = -1
        """Up to here the log has been looked through."""

    async def catch_up(self, reading: Reading) -> None:
        """Make ``policy`` that of the store as ``reading`` sees it. Raises ``StoreUnavailable``."""
        sequence = await reading.sequence()
        if sequence <= self._sequence:
            return
        if self._sequence < 0 or await self._has_news(reading):
            version = await reading.policy()
            if sequence <= self._sequence:
                # Another reading, which sees more, was quicker.
                return
            if version is not None and version != self.policy.version:
                self.policy = policy_of(version, self.policy)
        self._sequence = max(sequence, self._sequence)

    async def _has_news(self, reading: Reading) -> bool:
        rows = await reading.changes_after(self._sequence, ROWS)
        return rows is None or len(rows) >= ROWS or any(row.kind is ChangeKind.POLICY for row in rows)
