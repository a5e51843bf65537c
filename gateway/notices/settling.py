"""Uncertain notices settled: where the server keeps what it has sent, its copy proves that a notice has left.

No copy proves nothing, since nobody says when a copy appears: such a notice stays uncertain, is looked for again at a
calm pace (after 1, 10, 60 minutes, then each 6 hours, for two days), and says so in its answer. It is never sent again
by this. A way without a memory (SMTP) is not asked at all.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import structlog

from gateway.domain.notice import Mailing, MailingState, Notice, NoticeState, moved
from gateway.notices.compose import Composer
from gateway.ports.notices import DeliveryUnusable, NoticeDelivery
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

STEP_SECONDS = 60.0
LOOKS_AFTER = (60.0, 600.0, 3_600.0)
"""Seconds after the attempt; behind them each ``LATER_SECONDS``."""
LATER_SECONDS = 6 * 3_600.0
GIVEN_UP_SECONDS = 2 * 86_400.0
AT_ONCE = 50
BEFORE_CORRECTION_SECONDS = 60.0
"""A correction waits so long for what can be found out about the notices that it answers."""
NOT_FOUND = "; no copy in Sent Items"


class Settling:
    """One beside each outbox."""

    def __init__(self, store: Store, delivery: NoticeDelivery, composer: Composer, now: Callable[[], float]) -> None:
        self._store = store
        self._delivery = delivery
        self._composer = composer
        self._now = now
        self._looked_for: set[int] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.step()
            except (StoreUnavailable, Conflict) as error:
                log.warning("outbox_waits", error=str(error))
            await asyncio.sleep(STEP_SECONDS)

    async def step(self) -> int:
        """Look for those whose time has come; how many were found. Raises ``StoreUnavailable``, ``Conflict``."""
        if not self._delivery.remembers:
            return 0
        async with self._store.read() as reading:
            mailings = await reading.mailings_in(frozenset(MailingState), (NoticeState.UNCERTAIN,))
        changes = {each.change for each in mailings if self._may_be_found(each)}
        return sum([await self._settle(change, self._is_due) for change in sorted(changes)])

    async def before_correction(self, change: int) -> None:
        """Look once for all of a change, whenever they were looked for: its correction answers what has been sent."""
        if not self._delivery.remembers or change in self._looked_for:
            return
        self._looked_for.add(change)
        try:
            async with asyncio.timeout(BEFORE_CORRECTION_SECONDS):
                await self._settle(change, lambda notice: True)
        except TimeoutError:
            log.warning("notices_not_looked_up", change=change, reason="no answer in time")

    # --- one change

    async def _settle(self, change: int, wanted: Callable[[Notice], bool]) -> int:
        found = 0
        after = ("", "")
        while True:
            async with self._store.read() as reading:
                page = await reading.notices(change, (NoticeState.UNCERTAIN,), after, AT_ONCE)
            try:
                found += await self._look_for([each for each in page if wanted(each)])
            except DeliveryUnusable as error:
                log.warning("notices_not_looked_up", change=change, reason=str(error))
                return found
            if len(page) < AT_ONCE:
                return found
            after = (page[-1].reader.person_id, page[-1].kind.value)

    async def _look_for(self, notices: Sequence[Notice]) -> int:
        if not notices:
            return 0
        keys = {f"{each.change}/{each.kind}/{self._composer.token(each)}": each for each in notices}
        copies = await self._delivery.look_up(list(keys))
        steps = [self._after(notice, copies.get(key)) for key, notice in keys.items()]

        async def work(writing: Writing) -> Collection[NoticeState]:
            return [step.state for step in steps if await writing.put_notice(step)]

        written, _ = await self._store.write(work)
        number = sum(1 for state in written if state is NoticeState.SENT)
        if number:
            log.info("notices_settled", change=notices[0].change, notices=number)
        return number

    def _after(self, notice: Notice, message_id: str | None) -> Notice:
        words = notice.answer.partition(NOT_FOUND)[0]
        if message_id is None:
            words = f"{words}{NOT_FOUND}: probably not sent"
            return moved(notice, NoticeState.UNCERTAIN, self._next_look(notice), words)
        sent = moved(notice, NoticeState.SENT, answer=f"{words}; its copy is in Sent Items: it was sent")
        return replace(sent, content=b"", message_id=message_id or notice.message_id)

    # --- when

    def _may_be_found(self, mailing: Mailing) -> bool:
        return not mailing.not_after or self._now() < mailing.not_after + GIVEN_UP_SECONDS

    def _is_due(self, notice: Notice) -> bool:
        began, now = notice.first_attempt_at or 0.0, self._now()
        return (notice.next_at or began + LOOKS_AFTER[0]) <= now < began + GIVEN_UP_SECONDS

    def _next_look(self, notice: Notice) -> float:
        now = self._now()
        began = now if notice.first_attempt_at is None else notice.first_attempt_at
        return next((began + wait for wait in LOOKS_AFTER if began + wait > now), now + LATER_SECONDS)
