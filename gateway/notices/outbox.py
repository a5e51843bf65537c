"""The outbox: brings notices that are written down to the mail server, each at most once without a person's word.

Every step is committed before it is acted on: a notice is claimed before it is composed, and marked as going before the
first octet that could make a server take it, in a unit of work that looks whether its change and its mailing still
stand. A process that dies in between leaves a claimed notice, which another takes up when the lease is over, or one
that was going, which is uncertain from then on. Several processes may share an outbox: row versions decide who goes on.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from gateway.domain.batches import Batches, retry_after
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    moved,
)
from gateway.domain.quiet_hours import Daytime, release_at
from gateway.notices.compose import Composer
from gateway.notices.dates import zone_of
from gateway.notices.planning import OVER
from gateway.notices.releasing import ReleaseRules, release_next, settle_cancelled, stop
from gateway.notices.settling import Settling
from gateway.notices.taking_back import plan_corrections
from gateway.ports.notices import Attempt, NoticeDelivery, Outcome, OutgoingNotice
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

GOES_ON = frozenset({MailingState.PLANNING, MailingState.SENDING, MailingState.FINISHED})
RESULT_TRIES = 5


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How fast and how patiently. Times in seconds."""

    batches: Batches = field(default_factory=Batches)
    daytime: Daytime = field(default_factory=Daytime)
    wrong_at_most: int = 20
    """More readers of a change's notices than this say that theirs is wrong: nothing more of it leaves."""
    per_second: float = 10.0
    at_once: int = 2
    """Notices under way at the same time."""
    lease_seconds: float = 120.0
    """For everything before the transmission."""
    transmit_seconds: float = 1_200.0
    """After which a transmission that nobody tells the end of is uncertain."""
    pause_seconds: float = 300.0
    """When the way to the mail server is broken."""
    refused_in_a_row: int = 5
    """Then it is not the recipients' fault: the mailing stops."""
    every_seconds: float = 1.0
    end_seconds: float = 10.0
    """At the end of the process, for what is under way."""


class Outbox:
    """One per control process."""

    def __init__(
        self,
        store: Store,
        delivery: NoticeDelivery,
        composer: Composer,
        now: Callable[[], float],
        settings: OutboxSettings = OutboxSettings(),
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """``count`` is told of each attempt's outcome."""
        self._store = store
        self._delivery = delivery
        self._composer = composer
        self._now = now
        self._settings = settings
        self._count = count
        self._paused_until = 0.0
        self._refused: dict[tuple[int, NoticeKind], int] = {}
        self._next_start = 0.0
        self._ending = False
        self.settling = Settling(store, delivery, composer, now)
        self.trouble = ""
        """Why nothing leaves at the moment; for ``status``."""

    async def run(self) -> None:
        """Until cancelled; what is going on its way then is waited for a little."""
        step: asyncio.Task[bool] | None = None
        settling = asyncio.create_task(self.settling.run())
        try:
            while not settling.done():
                step = asyncio.create_task(self._next_step())
                if not await asyncio.shield(step):
                    await asyncio.sleep(self._settings.every_seconds)
            await settling
        finally:
            self._ending = True
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            if step is not None and not step.done():
                await asyncio.wait({step}, timeout=self._settings.end_seconds)
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
            await self._delivery.close()

    async def _next_step(self) -> bool:
        busy = False
        try:
            busy = await self.step()
        except* (StoreUnavailable, Conflict) as errors:
            log.warning("outbox_waits", error=str(errors.exceptions[0]))
        return busy

    async def step(self) -> bool:
        """Do what is to be done now; whether there was a notice to bring."""
        await self._give_up_lost()
        await self._care_for_mailings()
        if self._now() < self._paused_until:
            return False
        claimed = await self._claim()
        turn = asyncio.Semaphore(self._settings.at_once)
        async with asyncio.TaskGroup() as group:
            for mailing, notice in claimed:
                group.create_task(self._bring_in_turn(turn, mailing, notice))
        return bool(claimed)

    # --- before the transmission

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
            mailings = await reading.mailings()
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
                await stop(
                    self._store,
                    mailing,
                    "the database was put back to an earlier state: see what left since, then resume",
                )
            elif mailing.state is MailingState.SENDING and mailing.kind is NoticeKind.CORRECTION:
                await self.settling.before_correction(mailing.change)
                await plan_corrections(self._store, mailing, self._composer.key, self._composer.domain, self._now())
            elif mailing.state is MailingState.SENDING:
                await release_next(self._store, mailing, rules, self._now())

    async def _claim(self) -> list[tuple[Mailing, Notice]]:
        now, most = self._now(), max(1, self._settings.at_once) * 4
        async with self._store.read() as reading:
            if not await reading.due_notices(now, 1):
                return []

        async def work(writing: Writing) -> list[tuple[Mailing, Notice]]:
            claimed = []
            for notice in await writing.due_notices(now, most):
                mailing = await writing.mailing(notice.change, notice.kind)
                if mailing is None:
                    continue
                step = self._taken_up(mailing, notice, now)
                if await writing.put_notice(step) and step.state is NoticeState.CLAIMED:
                    claimed.append((mailing, step))
            return claimed

        found, _ = await self._store.write(work)
        return found

    def _taken_up(self, mailing: Mailing, notice: Notice, now: float) -> Notice:
        if mailing.not_after and now >= mailing.not_after:
            return moved(notice, NoticeState.EXPIRED, answer=notice.answer or "it could not leave in time")
        morning = now
        if not mailing.urgent and notice.state is not NoticeState.CLAIMED:
            zone = zone_of(notice.reader.time_zone, self._composer.site_zone)
            morning = release_at(now, zone, self._settings.daytime)
        if morning > now:
            return moved(notice, NoticeState.HELD, morning)
        claimed = moved(notice, NoticeState.CLAIMED, now + self._settings.lease_seconds)
        return replace(claimed, attempts=notice.attempts + 1)

    # --- the transmission

    async def _bring_in_turn(self, turn: asyncio.Semaphore, mailing: Mailing, notice: Notice) -> None:
        async with turn:
            loop = asyncio.get_running_loop()
            start = max(self._next_start, loop.time())
            self._next_start = start + 1 / self._settings.per_second
            await asyncio.sleep(start - loop.time())
            if self._now() < self._paused_until and not self._ending:
                # It broke meanwhile: not tried, so it counts as no attempt.
                step = moved(notice, NoticeState.DUE, self._paused_until)
                await self._put_result(replace(step, attempts=max(notice.attempts - 1, 0)))
                return
            if self._ending or self._now() >= notice.next_at:
                # It is taken up again when the lease is over.
                return
            await self._bring(mailing, notice)

    async def _bring(self, mailing: Mailing, notice: Notice) -> None:
        try:
            outgoing = self._composer.compose(mailing, notice, self._now())
        except InvalidValue as error:
            await self._pause(str(error))
            return
        except (ValueError, OverflowError) as error:
            # Because of this reader: the others' go on.
            answer = f"cannot be made into a message: {error}"
            await self._put_result(moved(notice, NoticeState.FAILED, answer=answer))
            return
        if notice.content:
            outgoing = replace(outgoing, mime=notice.content)
        going = _Going(notice)

        async def may_go() -> bool:
            return await self._mark(going, outgoing)

        try:
            attempt = await self._delivery.deliver(outgoing, may_go)
        except (StoreUnavailable, Conflict) as error:
            # By ``may_go``: nothing has left; the lease runs out.
            log.warning("outbox_waits", error=str(error))
            return
        self._count(attempt.outcome.value)
        await self._tell(mailing, going.notice, attempt)

    async def _mark(self, going: "_Going", outgoing: OutgoingNotice) -> bool:
        """Commit that the notice is about to go, if its change and its mailing still stand."""
        notice, now = going.notice, self._now()
        marked = replace(
            moved(notice, NoticeState.TRANSMITTING, now + self._settings.transmit_seconds),
            content=outgoing.mime,
            first_attempt_at=outgoing.sent_at,
        )

        async def work(writing: Writing) -> bool:
            mailing = await writing.mailing(notice.change, notice.kind)
            change = await writing.policy_change(notice.change)
            if mailing is None or mailing.state not in GOES_ON or mailing.life != await writing.incarnation():
                return False
            if notice.kind is not NoticeKind.CORRECTION and (change is None or change.state in OVER):
                return False
            return await writing.put_notice(marked)

        done, _ = await self._store.write(work)
        if done:
            going.notice = marked
        return done

    async def _tell(self, mailing: Mailing, notice: Notice, attempt: Attempt) -> None:
        step = self._after(notice, attempt)
        if step is not None:
            await self._put_result(step)
        if attempt.outcome is Outcome.UNCERTAIN:
            log.warning("notice_uncertain", change=notice.change, kind=notice.kind.value, reason=attempt.words)
        if attempt.outcome is Outcome.CHANNEL_BROKEN:
            await self._pause(attempt.words, attempt.retry_after_seconds)
        elif attempt.outcome is Outcome.ACCEPTED:
            self.trouble = ""
            self._refused.pop(mailing.key, None)
        elif attempt.outcome is Outcome.REFUSED:
            self._refused[mailing.key] = number = self._refused.get(mailing.key, 0) + 1
            if number >= self._settings.refused_in_a_row:
                del self._refused[mailing.key]
                await stop(
                    self._store, mailing, f"{number} notices in a row were refused, the last one: {attempt.words}"
                )

    def _after(self, notice: Notice, attempt: Attempt) -> Notice | None:
        """The notice after an attempt; None where it stays as it is."""
        now = self._now()
        transmitted = notice.state is NoticeState.TRANSMITTING
        outcome = attempt.outcome
        if outcome is Outcome.NOT_SENT:
            # Taken back, stopped, or another's: what is still ours is let go.
            return moved(notice, NoticeState.DUE, now)
        if outcome is Outcome.ACCEPTED and transmitted:
            sent = moved(notice, NoticeState.SENT, answer=attempt.words)
            return replace(sent, content=b"", message_id=attempt.message_id or notice.message_id)
        if outcome is Outcome.REFUSED:
            return moved(notice, NoticeState.FAILED, answer=attempt.words)
        if outcome is Outcome.UNCERTAIN and transmitted:
            return moved(notice, NoticeState.UNCERTAIN, answer=attempt.words)
        if outcome is Outcome.CHANNEL_BROKEN:
            # Not this notice's doing: it counts as no attempt, and no further batch is let go meanwhile.
            notice = replace(notice, attempts=max(notice.attempts - 1, 0))
            later = now + max(self._settings.pause_seconds, attempt.retry_after_seconds or 0.0)
            return moved(notice, NoticeState.DUE, later, attempt.words)
        asked = attempt.retry_after_seconds
        later = now + (retry_after(notice.attempts, random.random()) if asked is None else asked)  # noqa: S311
        return moved(notice, NoticeState.DEFERRED, later, attempt.words)

    async def _put_result(self, step: Notice) -> None:
        """Keep trying: an answer that is not stored makes a notice uncertain."""
        for number in range(RESULT_TRIES):
            try:
                await self._store.write(lambda writing: writing.put_notice(step))
                return
            except (StoreUnavailable, Conflict) as error:
                log.warning("outbox_waits", error=str(error))
                await asyncio.sleep(min(2.0**number, 10.0))

    async def _pause(self, words: str, asked_seconds: float | None = None) -> None:
        now, before = self._now(), self.trouble
        self.trouble = f"notices do not leave: {words}"
        if now < self._paused_until and self.trouble == before:
            # Several were under way when it broke: one alarm is enough.
            return
        seconds = max(self._settings.pause_seconds, asked_seconds or 0.0)
        self._paused_until = now + seconds
        log.error("notices_paused", reason=words, seconds=seconds)


@dataclass(slots=True)
class _Going:
    """A notice under way, as it is stored."""

    notice: Notice
