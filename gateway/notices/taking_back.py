"""What becomes of a change's notices when it is taken back: what waits never leaves, and who was told is told so.

Taking back happens in the unit of work that withdraws the change, in a few statements whatever the number of notices.
Who gets the correction follows afterwards, page by page, from what has been told: exactly those whose notice was sent,
and those of whom nobody knows, also where it was sent again or came back since. A notice that is on its way at that
moment is waited for: the correction comes behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, Value
from gateway.domain.change import PolicyChange
from gateway.domain.notice import (
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    mailing_moved,
    message_id_of,
)
from gateway.ports.store import Store, Writing

CLAIMS = (NoticeKind.WARNING, NoticeKind.CUT)
"""What a correction takes back."""
TAKEN_BACK = (*CLAIMS, NoticeKind.ADMITTED)
"""What of a change that is withdrawn leaves no more."""
CORRECTION_SECONDS = 7 * 86_400.0
"""So long a correction is tried."""
PAGE = 500


class TakingBack:
    """Takes notices back with their change."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    async def withdrawn(self, writing: Writing, change: PolicyChange, words: str) -> None:
        """In the unit of work that withdraws the change: cancel, and begin the correction where there was something."""
        there = [each for each in await writing.mailings(change.number) if each.kind in TAKEN_BACK]
        if not there:
            return
        await writing.cancel_mailings(change.number, TAKEN_BACK, words)
        begun = [each for each in there if each.kind in CLAIMS]
        if begun and await writing.mailing(change.number, NoticeKind.CORRECTION) is None:
            await writing.put_mailing(self._correction(change.number, begun, await writing.incarnation()))
        told: dict[str, Value] = {"change": change.number, "act": "cancelled", "reason": words}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, GATEPOST, details=told))

    def _correction(self, change: int, begun: Sequence[Mailing], life: str) -> Mailing:
        now = self._now()
        apps = tuple(dict.fromkeys(app for each in begun for app in each.apps))
        return Mailing(
            change,
            NoticeKind.CORRECTION,
            now,
            GATEPOST,
            MailingState.SENDING,
            starts_at=now,
            not_after=now + CORRECTION_SECONDS,
            urgent=True,
            apps=apps,
            life=life,
        )


async def plan_corrections(store: Store, mailing: Mailing, key: bytes, domain: str, now: float) -> bool:
    """Write down whom the correction goes to, as far as it is known; True when that is everybody.

    What is written down already stays as it is, so that this may be done again from the start.
    """
    look_again = False
    after = ("", "")
    while True:
        async with store.read() as reading:
            page = await reading.told_notices(mailing.change, after, PAGE)
        told = _whole_people([each for each in page if each.kind in CLAIMS], last=len(page) < PAGE)
        known = [each for each in told if all(notice.state is not NoticeState.TRANSMITTING for notice in each)]
        # What is on its way comes first. Its mailing is taken back: none begins any more.
        look_again = look_again or len(known) < len(told)
        if known:
            fresh = {each[-1].key: _correction_of(each, key, domain, now) for each in known}
            written, _ = await store.write(partial(_write_down, mailing.change, after, fresh))
            look_again = look_again or written < len(fresh)
        if len(page) < PAGE:
            break
        newest = told[-1][-1] if told else page[-1]
        after = (newest.reader.person_id, newest.kind.value)
    if look_again:
        return False

    async def work(writing: Writing) -> None:
        present = await writing.mailing(mailing.change, mailing.kind)
        if present is not None and present.state is MailingState.SENDING:
            await writing.put_mailing(mailing_moved(present, MailingState.FINISHED))

    await store.write(work)
    return True


async def _write_down(
    change: int, after: tuple[str, str], fresh: Mapping[tuple[int, NoticeKind, str], Notice], writing: Writing
) -> int:
    """Write corrections down by the notices that they answer, but for those that are not in the page any more.

    They would bring back the names of people who were erased since it was read.
    """
    page = await writing.told_notices(change, after, PAGE)
    there = [fresh[each.key] for each in page if each.key in fresh]
    await writing.add_notices(there)
    return len(there)


def _whole_people(told: Sequence[Notice], *, last: bool) -> list[tuple[Notice, ...]]:
    """The notices of each person; without the last person of a page that may go on in the next one."""
    people = [tuple(each) for _, each in groupby(told, key=lambda notice: notice.reader.person_id)]
    return people if last or len(people) < 2 else people[:-1]


def _correction_of(told: Sequence[Notice], key: bytes, domain: str, now: float) -> Notice:
    # A warning comes before the cut that it warns of.
    ordered = sorted(told, key=lambda each: CLAIMS.index(each.kind))
    newest = ordered[-1]
    return Notice(
        change=newest.change,
        kind=NoticeKind.CORRECTION,
        reader=newest.reader,
        message_id=message_id_of(key, newest.change, NoticeKind.CORRECTION, newest.reader.person_id, domain),
        findings=newest.findings,
        answers=tuple(each.message_id for each in ordered),
        place=newest.place,
        state=NoticeState.DUE,
        next_at=now,
    )
