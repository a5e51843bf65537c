"""Reads a whole log and says what it is worth: every row, every checkpoint that is kept, and those from outside.

A page at a time, from one snapshot, so that entries that are written meanwhile are not half seen.
"""

from collections.abc import Callable, Sequence

from gateway.audit.keys import verifies
from gateway.domain.audit.chain import head_before
from gateway.domain.audit.checkpoint import Checkpoint, VerifierKey
from gateway.domain.audit.comparing import Keys, Verification, compared
from gateway.domain.audit.damage import LogWalk, Unseal
from gateway.domain.audit.stored import StoredCheckpoint
from gateway.ports.store import Reading

PAGE = 5_000
CHECKPOINTS_PAGE = 1_000

Tick = Callable[[int, int], None]
"""Told how many entries of how many are done."""


async def verified(
    reading: Reading,
    keys: Sequence[VerifierKey],
    unseal: Unseal | None,
    outside: Sequence[Checkpoint],
    tick: Tick = lambda done, whole: None,
) -> Verification:
    """What the log in a snapshot is worth. ``unseal`` None: seals cannot be looked at here.

    Raises ``StoreUnavailable``.
    """
    head = await reading.audit_head()
    kept = await _checkpoints(reading)
    dropped = await reading.dropped_segments()
    beginning = head_before(head.origin)
    if dropped:
        newest = dropped[-1]
        beginning = StoredCheckpoint(newest.upto, newest.at, newest.note, newest.chain, newest.frontier).head(
            head.origin
        )
    sizes = [each.size for each in kept] + [each.size for each in outside]
    walk = LogWalk(beginning, sizes, unseal)
    while rows := await reading.audit_entries(walk.size, PAGE):
        walk.feed(rows)
        tick(walk.size - beginning.size, max(head.size, walk.size) - beginning.size)
    return compared(walk, head, kept, dropped, outside, Keys(tuple(keys), verifies))


async def _checkpoints(reading: Reading) -> list[StoredCheckpoint]:
    found: list[StoredCheckpoint] = []
    while page := await reading.audit_checkpoints(found[-1].size if found else 0, CHECKPOINTS_PAGE):
        found += page
    return found
