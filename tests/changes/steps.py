"""The steps of a change at which a harness kills the control process: between them a change is half made.

The product has no such places. ``arm`` puts them, in the control process of a gateway under test (``launch``), around
the functions that make each step. A file named ``at`` says which one is meant; who comes there first takes the file,
leaves ``reached`` and is gone by SIGKILL, so that the next control process meets nothing.

What belongs to the shared transaction (numbering, the audit chain, the commit) counts only where a change was written
in it: leases and the like commit all the time.
"""

import functools
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

ASKED = "asked"
LOOKED = "looked at"
COMPUTED = "impact computed"
CLEARED = "cleared"
PROPOSED = "proposed"
PREVIEWED = "previewed"
VERSION = "version written"
CHANGE = "change written"
TOLD = "notices begun"
CANCELLED = "notices cancelled"
CORRECTED = "correction begun"
AUDIT = "audit noted"
UNIT_DONE = "before the log"
NUMBERED = "log written"
CHAINED = "audit chained"
COMMITTING = "before the commit"
COMMITTED = "behind the commit"
PUBLISHING = "before the feed"
PUBLISHED = "behind the feed"
FOLLOWED = "in force"

COMMIT = (AUDIT, UNIT_DONE, NUMBERED, CHAINED, COMMITTING, COMMITTED)
SENT = (PUBLISHING, PUBLISHED, FOLLOWED)
IN_APPLY = (ASKED, LOOKED, COMPUTED, CLEARED, VERSION, CHANGE, TOLD, *COMMIT, *SENT)
IN_WITHDRAW = (ASKED, VERSION, CHANGE, CANCELLED, CORRECTED, *COMMIT, *SENT)
IN_PLAN = (CHANGE, *COMMIT, PROPOSED, COMPUTED, PREVIEWED)
IN_APPROVAL = (CHANGE, *COMMIT)

Step = Callable[..., Awaitable[Any]]


class Steps:
    """The steps of one control process."""

    def __init__(self, directory: Path) -> None:
        self._at, self._reached = directory / "at", directory / "reached"
        self._writes_a_change = False
        """In the transaction that is open."""

    def come(self, name: str) -> None:
        """A step is made; the process ends here if it is the one that is meant."""
        try:
            if self._at.read_text() != name:
                return
            self._at.unlink()
        except FileNotFoundError:
            return
        self._reached.write_text(name)
        os.kill(os.getpid(), signal.SIGKILL)

    def come_in_transaction(self, name: str) -> None:
        """The same, where a change is written in it."""
        if self._writes_a_change:
            self.come(name)

    def after(self, owner: Any, function: str, come: Callable[[str], None], name: str) -> None:
        """Put a step behind an asynchronous function."""
        self._around(owner, function, lambda *_: None, lambda *_: come(name))

    def before(self, owner: Any, function: str, come: Callable[[str], None], name: str) -> None:
        """Put a step before it."""
        self._around(owner, function, lambda *_: come(name), lambda *_: None)

    def _around(self, owner: Any, name: str, before: Callable[..., None], after: Callable[..., None]) -> None:
        function: Step = getattr(owner, name)

        @functools.wraps(function)
        async def wrapped(*words: Any, **named: Any) -> Any:
            before(*words)
            result = await function(*words, **named)
            after(*words)
            return result

        setattr(owner, name, wrapped)

    def follow_transactions(self, writing: Any, transactions: Sequence[Any]) -> None:
        """Know in which of them a change is written."""

        def writes(*_: object) -> None:
            self._writes_a_change = True

        def over(*_: object) -> None:
            self._writes_a_change = False

        self._around(writing, "put_policy_change", writes, lambda *_: None)
        for each in transactions:
            self._around(each, "commit", lambda *_: None, over)
            self._around(each, "rollback", lambda *_: None, over)

    def follow_feed(self, publisher: Any, policy: object) -> None:
        """Put steps around the message that a policy is in force."""

        def about(name: str) -> Callable[..., None]:
            def look(_: object, changes: Sequence[Any]) -> None:
                if any(each.kind is policy for each in changes):
                    self.come(name)

            return look

        self._around(publisher, "publish", about(PUBLISHING), about(PUBLISHED))


def arm(directory: Path) -> None:
    """Put the steps into this process."""
    from gateway.changes import telling
    from gateway.changes.applying import Applier
    from gateway.changes.desk import ChangeDesk
    from gateway.changes.fleet_previews import FleetPreviews
    from gateway.ports.store import ChangeKind
    from gateway.storage.redis import RedisPublisher
    from gateway.storage.sql import group_commit
    from gateway.storage.sql.group_commit import GroupCommit
    from gateway.storage.sql.postgres import PostgresTransaction
    from gateway.storage.sql.sqlite import SqliteTransaction
    from gateway.storage.sql.writing import SqlWriting

    steps = Steps(directory)
    come, within = steps.come, steps.come_in_transaction
    for transaction in (SqliteTransaction, PostgresTransaction):
        steps.before(transaction, "commit", within, COMMITTING)
        steps.after(transaction, "commit", within, COMMITTED)
    steps.before(Applier, "apply", come, ASKED)
    steps.before(Applier, "withdraw", come, ASKED)
    steps.after(Applier, "_looked", come, LOOKED)
    steps.after(Applier, "_cleared", come, CLEARED)
    steps.after(Applier, "in_force", come, FOLLOWED)
    steps.after(FleetPreviews, "of", come, COMPUTED)
    steps.after(ChangeDesk, "propose", come, PROPOSED)
    steps.after(ChangeDesk, "preview", come, PREVIEWED)
    steps.after(SqlWriting, "put_policy", come, VERSION)
    steps.after(SqlWriting, "put_policy_change", come, CHANGE)
    steps.after(SqlWriting, "cancel_mailings", come, CANCELLED)
    steps.after(SqlWriting, "log_audit", within, AUDIT)
    steps.after(SqlWriting, "put_mailing", within, CORRECTED)
    steps.after(telling, "begin", come, TOLD)
    steps.before(GroupCommit, "_log", within, UNIT_DONE)
    steps.after(GroupCommit, "_log", within, NUMBERED)
    steps.after(group_commit, "chain_entries", within, CHAINED)
    # Outermost, so that a transaction is over when all of its steps were made.
    steps.follow_transactions(SqlWriting, (SqliteTransaction, PostgresTransaction))
    steps.follow_feed(RedisPublisher, ChangeKind.POLICY)
