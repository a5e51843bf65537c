"""The outbox of the memory store."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.notice import (
    CLAIMABLE,
    WAITING,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    mailing_moved,
    moved,
)
from gateway.ports.store import Conflict

GOES_ON = frozenset({MailingState.PLANNING, MailingState.SENDING, MailingState.FINISHED})


@dataclass(frozen=True, slots=True)
class OutboxTables:
    """One state of the outbox; never changed, only replaced."""

    mailings: dict[tuple[int, NoticeKind], Mailing] = field(default_factory=dict)
    notices: dict[tuple[int, NoticeKind, str], Notice] = field(default_factory=dict)
    complaints: dict[tuple[int, str], float] = field(default_factory=dict)


class MemoryNoticeReading:
    """``ports.notice_store.NoticeReading`` over one state."""

    outbox: OutboxTables

    async def mailings(self, change: int | None = None, limit: int = 1000) -> Sequence[Mailing]:
        found = [each for each in self.outbox.mailings.values() if change in (None, each.change)]
        return sorted(found, key=lambda each: (-each.change, each.kind))[:limit]

    async def mailings_in(
        self, states: Collection[MailingState], having: Collection[NoticeState] = ()
    ) -> Sequence[Mailing]:
        there = {(each.change, each.kind) for each in self.outbox.notices.values() if each.state in having}
        found = [
            each for key, each in self.outbox.mailings.items() if each.state in states and (not having or key in there)
        ]
        return sorted(found, key=lambda each: (-each.change, each.kind))

    async def mailing(self, change: int, kind: NoticeKind) -> Mailing | None:
        return self.outbox.mailings.get((change, kind))

    async def notice(self, change: int, kind: NoticeKind, person_id: str) -> Notice | None:
        return self.outbox.notices.get((change, kind, person_id))

    async def notices(
        self, change: int, states: Collection[NoticeState], after: tuple[str, str] = ("", ""), limit: int = 1000
    ) -> Sequence[Notice]:
        return self._page(change, after, limit, lambda notice: notice.state in states)

    async def told_notices(self, change: int, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[Notice]:
        on_its_way = NoticeState.TRANSMITTING
        return self._page(change, after, limit, lambda notice: notice.may_be_read or notice.state is on_its_way)

    async def notice_counts(self, change: int, kind: NoticeKind) -> Mapping[NoticeState, int]:
        return Counter(each.state for each in self._of(change, kind))

    async def planned_notices(self, change: int, kind: NoticeKind, limit: int) -> Sequence[Notice]:
        found = [each for each in self._of(change, kind) if each.state is NoticeState.PLANNED]
        return sorted(found, key=lambda each: (each.place, each.reader.person_id))[:limit]

    async def due_notices(self, now: float, limit: int) -> Sequence[Notice]:
        return self._by_time(CLAIMABLE, now, limit)

    async def lost_notices(self, now: float, limit: int) -> Sequence[Notice]:
        return self._by_time(frozenset({NoticeState.TRANSMITTING}), now, limit)

    async def complaints(self, change: int, since: float = 0.0) -> int:
        return sum(1 for (number, _), at in self.outbox.complaints.items() if number == change and at >= since)

    def _page(
        self, change: int, after: tuple[str, str], limit: int, wanted: Callable[[Notice], bool]
    ) -> Sequence[Notice]:
        found = [
            ((person, kind), each)
            for (number, kind, person), each in self.outbox.notices.items()
            if number == change and wanted(each) and (person, kind) > after
        ]
        return [each for _, each in sorted(found, key=lambda pair: pair[0])][:limit]

    def _of(self, change: int, kind: NoticeKind) -> list[Notice]:
        return [each for each in self.outbox.notices.values() if each.change == change and each.kind == kind]

    def _by_time(self, states: frozenset[NoticeState], now: float, limit: int) -> list[Notice]:
        mailings = self.outbox.mailings
        found = [
            each
            for each in self.outbox.notices.values()
            if each.state in states
            and each.next_at <= now
            and (each.state is NoticeState.TRANSMITTING or mailings[each.change, each.kind].state in GOES_ON)
        ]
        return sorted(found, key=lambda each: (each.next_at, each.place))[:limit]


class MemoryNoticeWriting(MemoryNoticeReading):
    """``ports.notice_store.NoticeWriting`` on a state of a unit's own."""

    async def put_mailing(self, mailing: Mailing) -> None:
        known = self.outbox.mailings.get(mailing.key)
        if mailing.version != (known.version + 1 if known else 0):
            raise Conflict(f"the {mailing.kind} notices of change {mailing.change} changed meanwhile")
        self.outbox = replace(self.outbox, mailings={**self.outbox.mailings, mailing.key: mailing})

    async def add_notices(self, notices: Sequence[Notice]) -> None:
        self.outbox = replace(self.outbox, notices={**{each.key: each for each in notices}, **self.outbox.notices})

    async def put_notice(self, notice: Notice) -> bool:
        known = self.outbox.notices.get(notice.key)
        if known is None or known.version != notice.version - 1:
            return False
        self.outbox = replace(self.outbox, notices={**self.outbox.notices, notice.key: notice})
        return True

    async def put_notices(self, notices: Sequence[Notice]) -> None:
        for each in notices:
            await self.put_notice(each)

    async def cancel_mailings(self, change: int, kinds: Collection[NoticeKind], words: str) -> int:
        cancelled = {
            key: mailing_moved(each, MailingState.CANCELLED, words)
            for key, each in self.outbox.mailings.items()
            if each.change == change and each.kind in kinds and each.state is not MailingState.CANCELLED
        }
        self.outbox = replace(self.outbox, mailings={**self.outbox.mailings, **cancelled})
        return len(cancelled)

    async def settle_cancelled(self, change: int, kind: NoticeKind, limit: int) -> int:
        waiting = [each for each in self._of(change, kind) if each.state in WAITING][:limit]
        turned = {each.key: moved(each, NoticeState.CANCELLED) for each in waiting}
        self.outbox = replace(self.outbox, notices={**self.outbox.notices, **turned})
        return len(turned)

    async def put_complaint(self, change: int, token: str, at: float) -> bool:
        if (change, token) in self.outbox.complaints:
            return False
        self.outbox = replace(self.outbox, complaints={**self.outbox.complaints, (change, token): at})
        return True
