"""Bringing one claimed notice to the mail server: composed, marked as going, handed over, its end written down.

What ends an attempt decides more than the notice: a way that is broken pauses all, and many refusals in a row stop the
mailing.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from gateway.domain.batches import retry_after
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, NoticeState, moved
from gateway.notices.compose import Composer
from gateway.notices.outbox_settings import OutboxSettings
from gateway.notices.planning import OVER
from gateway.notices.releasing import stop_by_itself
from gateway.notices.way_watch import WayWatch
from gateway.ports.notices import Attempt, NoticeDelivery, Outcome, OutgoingNotice
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

GOES_ON = frozenset({MailingState.PLANNING, MailingState.SENDING, MailingState.FINISHED})
RESULT_TRIES = 5


@dataclass(slots=True)
class _Going:
    """A notice under way, as it is stored."""

    notice: Notice


class Bringing:
    """One beside each outbox."""

    def __init__(
        self,
        store: Store,
        delivery: NoticeDelivery,
        composer: Composer,
        now: Callable[[], float],
        settings: OutboxSettings,
        count: Callable[[str], None],
    ) -> None:
        """``count`` is told of each attempt's outcome."""
        self._store = store
        self._delivery = delivery
        self._composer = composer
        self._now = now
        self._settings = settings
        self._count = count
        self._paused_until = 0.0
        self._paused_words = ""
        self._refused: dict[tuple[int, NoticeKind], int] = {}
        self.way = WayWatch(now, settings.alarm_seconds)

    @property
    def is_paused(self) -> bool:
        """Whether the way is broken, and nothing is tried for a while."""
        return self._now() < self._paused_until

    @property
    def trouble(self) -> str:
        """Why nothing leaves at the moment; empty: it does."""
        return f"notices do not leave: {self._paused_words}" if self._paused_words else self.way.trouble

    async def give_back(self, notice: Notice) -> None:
        """A notice that is not tried now: it counts as no attempt, and is due when the pause is over."""
        step = moved(notice, NoticeState.DUE, max(self._now(), self._paused_until))
        await self._put_result(replace(step, attempts=max(notice.attempts - 1, 0)))

    async def bring(self, mailing: Mailing, notice: Notice) -> None:
        """Compose and hand over. Raises ``StoreUnavailable``, ``Conflict`` where the mailing cannot be stopped."""
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

        self.way.begun()
        try:
            attempt = await self._delivery.deliver(outgoing, may_go)
        except (StoreUnavailable, Conflict) as error:
            # By ``may_go``: nothing has left; the lease runs out.
            log.warning("outbox_waits", error=str(error))
            return
        self.way.ended(attempt)
        self._count(attempt.outcome.value)
        await self._tell(mailing, going.notice, attempt)

    async def _mark(self, going: _Going, outgoing: OutgoingNotice) -> bool:
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

    # --- how it ended

    async def _tell(self, mailing: Mailing, notice: Notice, attempt: Attempt) -> None:
        step = self._after(notice, attempt)
        if step is not None:
            await self._put_result(step)
        if attempt.outcome is Outcome.UNCERTAIN:
            log.warning("notice_uncertain", change=notice.change, kind=notice.kind.value, reason=attempt.public)
        if attempt.outcome is Outcome.CHANNEL_BROKEN:
            await self._pause(attempt.public, attempt.retry_after_seconds)
        elif attempt.outcome is Outcome.ACCEPTED:
            self._paused_words = ""
            self._refused.pop(mailing.key, None)
        elif attempt.outcome is Outcome.REFUSED:
            await self._count_refusal(mailing, attempt)

    async def _count_refusal(self, mailing: Mailing, attempt: Attempt) -> None:
        self._refused[mailing.key] = number = self._refused.get(mailing.key, 0) + 1
        if number >= self._settings.refused_in_a_row:
            del self._refused[mailing.key]
            # Not the server's words: they name the reader, and the audit log forgets nobody.
            words = f"{number} notices in a row were refused, the last one: {attempt.public}"
            await stop_by_itself(self._store, mailing, words)

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
        now, before = self._now(), self._paused_words
        self._paused_words = words
        if now < self._paused_until and words == before:
            # Several were under way when it broke: one alarm is enough.
            return
        seconds = max(self._settings.pause_seconds, asked_seconds or 0.0)
        self._paused_until = now + seconds
        log.error("notices_paused", reason=words, seconds=seconds)
