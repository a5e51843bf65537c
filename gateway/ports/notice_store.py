"""The part of a store that keeps notices and their mailings: the outbox.

A mailing is one kind of notice about one change; there is one notice of it for each person. Recipients are written
down and read in pages, never all at once. Each step of a notice or a mailing is stored only by whoever knows the
version that is stored: of two processes that take the same step one does not. Taking a mailing back is one statement,
however many notices wait: none leaves from its commit on, and they are turned to cancelled page by page afterwards.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, NoticeState


class NoticeReading(Protocol):
    """The outbox at one moment."""

    async def mailings(self, change: int | None = None, limit: int = 1000) -> Sequence[Mailing]:
        """The mailings of a change, or of all; those of the newest changes first."""
        ...

    async def mailings_in(
        self, states: Collection[MailingState], having: Collection[NoticeState] = ()
    ) -> Sequence[Mailing]:
        """Those in one of these states, however old their changes are; those of the newest changes first.

        ``having``: only those of which a notice is in one of these states.
        """
        ...

    async def mailing(self, change: int, kind: NoticeKind) -> Mailing | None:
        """One mailing."""
        ...

    async def notice(self, change: int, kind: NoticeKind, person_id: str) -> Notice | None:
        """One notice."""
        ...

    async def notices(
        self,
        change: int,
        states: Collection[NoticeState],
        after: tuple[str, str] = ("", ""),
        limit: int = 1000,
    ) -> Sequence[Notice]:
        """Those of a change that are in one of these states, ordered by (person, kind), those above ``after``."""
        ...

    async def told_notices(self, change: int, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[Notice]:
        """Those of a change that somebody may have read (``Notice.may_be_read``), and those on their way just now.

        In the order of ``notices``.
        """
        ...

    async def notice_counts(self, change: int, kind: NoticeKind) -> Mapping[NoticeState, int]:
        """How many of a mailing are in which state; states without any are left out."""
        ...

    async def planned_notices(self, change: int, kind: NoticeKind, limit: int) -> Sequence[Notice]:
        """The next ones of a mailing that are not released yet, in the order of their places."""
        ...

    async def due_notices(self, now: float, limit: int) -> Sequence[Notice]:
        """Those to be taken up by ``now``, of mailings that go on; longest due first."""
        ...

    async def lost_notices(self, now: float, limit: int) -> Sequence[Notice]:
        """Those whose transmission should have ended by ``now`` and of which nobody has told how."""
        ...

    async def complaints(self, change: int, since: float = 0.0) -> int:
        """How many readers of a change's notices have said since then that theirs is wrong."""
        ...


class NoticeWriting(Protocol):
    """What a unit of work writes of it."""

    async def put_mailing(self, mailing: Mailing) -> None:
        """Add a mailing (version 0), or the next version of one. ``Conflict`` where another version is stored."""
        ...

    async def add_notices(self, notices: Sequence[Notice]) -> None:
        """Add those that are not there; what is there stays as it is."""
        ...

    async def put_notice(self, notice: Notice) -> bool:
        """Store the next version of a notice; False: another one was faster, and nothing is stored."""
        ...

    async def put_notices(self, notices: Sequence[Notice]) -> None:
        """Store the next versions of many, at once; one with which another was faster stays as it is."""
        ...

    async def cancel_mailings(self, change: int, kinds: Collection[NoticeKind], words: str) -> int:
        """Take back these mailings of a change; of how many something may still wait."""
        ...

    async def settle_cancelled(self, change: int, kind: NoticeKind, limit: int) -> int:
        """Turn up to ``limit`` waiting notices of a cancelled mailing to cancelled; how many that were."""
        ...

    async def put_complaint(self, change: int, token: str, at: float) -> bool:
        """A reader says that a notice is wrong; False: said before."""
        ...
