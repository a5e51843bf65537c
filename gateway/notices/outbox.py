"""The outbox: brings notices that are written down to the mail server, each at most once without a person's word.

Every step is committed before it is acted on: a notice is claimed before it is composed, and marked as going before the
first octet that could make a server take it, in a unit of work that looks whether its change and its mailing still
stand. A process that dies in between leaves a claimed notice, which another takes up when the lease is over, or one
that was going, which is uncertain from then on. Several processes may share an outbox: row versions decide who goes on.
A notice that a server lets hang keeps only its own place: the others, stops and withdrawals go on beside it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from gateway.domain.notice import WAITING, Mailing, MailingState, Notice, NoticeKind, NoticeState, moved
from gateway.domain.quiet_hours import release_at
from gateway.notices.bringing import GOES_ON, Bringing
from gateway.notices.compose import Composer
from gateway.notices.dates import zone_of
from gateway.notices.outbox_settings import OutboxSettings
from gateway.notices.releasing import ReleaseRules, release_next, settle_cancelled, stop_by_itself
from gateway.notices.settling import Settling
from gateway.notices.taking_back import plan_corrections
from gateway.ports.notices import NoticeDelivery
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

TAKEN_UP = 4
"""So many times as many notices are taken up in one unit of work as may be under way."""
UNDER_WAY = frozenset({MailingState.PLANNING, MailingState.SENDING})
DONE_WITH = frozenset({MailingState.FINISHED, MailingState.CANCELLED})
"""To be cared for only while something of them waits."""
EVER = 1e12
"""A moment, epoch seconds, after all others."""


class Outbox:
    """One per control process."""

    def __init__(
        self,
        store: Store,
        delivery: NoticeDelivery,
        composer: Composer,
        now: Callable[[], float],
        settings: OutboxSettings = OutboxSettings(),  # noqa: B008  (frozen)
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """``count`` is told of each attempt's outcome."""
        self._store = store
        self._delivery = delivery
        self._composer = composer
        self._now = now
        self._settings = settings
        self._next_start = 0.0
        self._turn = asyncio.Semaphore(settings.at_once)
        self._taken_up: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._failure: BaseException | None = None
        self._ending = False
        self._bringing = Bringing(store, delivery, composer, now, settings, count)
        self.way = self._bringing.way
        self.settling = Settling(store, delivery, composer, now)

    @property
    def trouble(self) -> str:
        """Why nothing leaves at the moment; for ``status``."""
        return self._bringing.trouble

    async def run(self) -> None:
        """Until cancelled; what is going on its way then is waited for a little."""
        beginning: asyncio.Task[int] | None = None
        settling = asyncio.create_task(self.settling.run())
        try:
            while not settling.done():
                beginning = asyncio.create_task(self._begin_next())
                await self._until_room(await asyncio.shield(beginning))
            await settling
        finally:
            self._ending = True
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            await self._end(beginning)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.close_seconds):
                    await self._delivery.close()

    async def _end(self, beginning: asyncio.Task[int] | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.end_seconds
        # What is being taken up first: only then all is known that is under way.
        for tasks in ([beginning] if beginning is not None else [], self._taken_up):
            ending: list[asyncio.Task[Any]] = list(tasks)
            if ending:
                await asyncio.wait(ending, timeout=max(0.0, until - loop.time()))
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _begin_next(self) -> int:
        begun = 0
        try:
            begun = await self.begin()
        except (StoreUnavailable, Conflict) as error:
            log.warning("outbox_waits", error=str(error))
        return begun

    async def _until_room(self, begun: int) -> None:
        """Wait until more can be taken up, or it is time to look."""
        if begun:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.every_seconds):
                    await self._room.wait()
        else:
            await asyncio.sleep(self._settings.every_seconds)

    async def step(self) -> bool:
        """As ``begin``, and wait until all that is under way has ended; whether anything was taken up."""
        begun = await self.begin()
        while self._taken_up:
            await asyncio.wait(self._taken_up)
        self._raise_failure()
        return bool(begun)

    async def begin(self) -> int:
        """Take up what is to be brought now, beside what is under way; how many notices that were.

        Raises ``StoreUnavailable``, ``Conflict``, and by what another notice has failed since.
        """
        self._raise_failure()
        await self._give_up_lost()
        await self._care_for_mailings()
        await self._look_at_the_way()
        before = len(self._taken_up)
        if self._bringing.is_paused or before > self._settings.at_once:
            return 0
        claimed = await self._claim(self._settings.at_once * TAKEN_UP - before)
        for mailing, notice in claimed:
            task = asyncio.create_task(self._bring_in_turn(mailing, notice))
            self._taken_up.add(task)
            task.add_done_callback(self._brought)
        if len(self._taken_up) > self._settings.at_once:
            self._room.clear()
        return len(claimed)

    def _brought(self, task: asyncio.Task[None]) -> None:
        self._taken_up.discard(task)
        if len(self._taken_up) <= self._settings.at_once:
            self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            # It keeps this call, which would keep it.
            del failure

    # --- what is due

    async def _give_up_lost(self) -> None:
        async def work(writing: Writing) -> int:
            lost = await writing.lost_notices(self._now(), 500)
            words = "the process that sent it ended before the answer"
            return sum([await writing.put_notice(moved(each, NoticeState.UNCERTAIN, answer=words)) for each in lost])

        async with self._store.read() as reading:
            if not await reading.lost_notices(self._now(), 1):
                return
        number, _ = await self._store.write(work)
        if number:
            log.warning("notices_uncertain", notices=number, reason="lost")

    async def _care_for_mailings(self) -> None:
        async with self._store.read() as reading:
            # Of any age: an old change is withdrawn, too, and a notice of it sent again.
            mailings = [*await reading.mailings_in(UNDER_WAY), *await reading.mailings_in(DONE_WITH, WAITING)]
            life = await reading.incarnation()
        rules = ReleaseRules(
            self._settings.batches, self._settings.daytime, self._composer.site_zone, self._settings.wrong_at_most
        )
        for mailing in mailings:
            if mailing.state is MailingState.CANCELLED:
                await settle_cancelled(self._store, mailing)
            elif mailing.state not in GOES_ON:
                continue
            elif mailing.life != life:
                await stop_by_itself(
                    self._store,
                    mailing,
                    "the database was put back to an earlier state: see what left since, then resume",
                )
            elif mailing.state is MailingState.SENDING and mailing.kind is NoticeKind.CORRECTION:
                await self.settling.before_correction(mailing.change)
                await plan_corrections(self._store, mailing, self._composer.key, self._composer.domain, self._now())
            elif mailing.state is MailingState.SENDING:
                await release_next(self._store, mailing, rules, self._now())

    async def _look_at_the_way(self) -> None:
        if self.way.in_vain and not self._taken_up:
            async with self._store.read() as reading:
                if not await reading.due_notices(EVER, 1):
                    self.way.nothing_waits()
        self.way.look()

    async def _claim(self, most: int) -> list[tuple[Mailing, Notice]]:
        now = self._now()
        async with self._store.read() as reading:
            if not await reading.due_notices(now, 1):
                return []

        async def work(writing: Writing) -> list[tuple[Mailing, Notice]]:
            claimed = []
            for notice in await writing.due_notices(now, most):
                mailing = await writing.mailing(notice.change, notice.kind)
                if mailing is None:
                    continue
                step = self._claimed(mailing, notice, now)
                if await writing.put_notice(step) and step.state is NoticeState.CLAIMED:
                    claimed.append((mailing, step))
            return claimed

        found, _ = await self._store.write(work)
        return found

    def _claimed(self, mailing: Mailing, notice: Notice, now: float) -> Notice:
        """The notice, claimed; or where it stands instead."""
        if mailing.not_after and now >= mailing.not_after:
            return moved(notice, NoticeState.EXPIRED, answer=notice.answer or "it could not leave in time")
        again = notice.state is NoticeState.CLAIMED
        morning = now
        if not mailing.urgent and not again:
            zone = zone_of(notice.reader.time_zone, self._composer.site_zone)
            morning = release_at(now, zone, self._settings.daytime)
        if morning > now:
            return moved(notice, NoticeState.HELD, morning)
        claimed = moved(notice, NoticeState.CLAIMED, now + self._settings.lease_seconds)
        # One whose lease is over was counted when it was claimed first.
        return claimed if again else replace(claimed, attempts=notice.attempts + 1)

    # --- one after the other

    async def _bring_in_turn(self, mailing: Mailing, notice: Notice) -> None:
        async with self._turn:
            loop = asyncio.get_running_loop()
            start = max(self._next_start, loop.time())
            self._next_start = start + 1 / self._settings.per_second
            await asyncio.sleep(start - loop.time())
            if self._now() >= notice.next_at:
                # The lease is over: it is taken up again.
                return
            if self._ending or self._bringing.is_paused:
                await self._bringing.give_back(notice)
                return
            await self._bringing.bring(mailing, notice)
