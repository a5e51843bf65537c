"""Letting a mailing's notices go: the hold, a few first, then more; stopped by a rule or a person.

Each step is a unit of work on what is stored at that moment, so that two processes release no batch twice.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.batches import Batches, batch_size, tried_of, why_to_stop
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    RESENDABLE,
    WAITING,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    mailing_moved,
    moved,
)
from gateway.domain.quiet_hours import Daytime, release_at
from gateway.notices.dates import zone_of
from gateway.notices.planning import OVER
from gateway.notices.taking_back import CORRECTION_SECONDS
from gateway.ports.store import Conflict, Store, Writing

log = structlog.get_logger()

SETTLED_AT_ONCE = 2_000
UNDER_WAY = (NoticeState.DUE, NoticeState.CLAIMED, NoticeState.TRANSMITTING)


@dataclass(frozen=True, slots=True)
class ReleaseRules:
    """When the next batch may leave."""

    batches: Batches
    daytime: Daytime
    site_zone: str
    wrong_at_most: int


async def release_next(store: Store, mailing: Mailing, rules: ReleaseRules, now: float) -> int:
    """Release the next batch, if it is time and nothing speaks against it; how many notices that were."""
    if now < max(mailing.starts_at, mailing.next_batch_at):
        return 0

    async def work(writing: Writing) -> tuple[int, str]:
        present = await writing.mailing(mailing.change, mailing.kind)
        if present is None or present.version != mailing.version:
            return 0, ""
        counts = await writing.notice_counts(mailing.change, mailing.kind)
        wrong = await writing.complaints(mailing.change)
        tried, bad = tried_of(counts)
        words = why_to_stop(rules.batches, tried - present.borne_tried, bad - present.borne_bad)
        wrong -= present.borne_wrong
        if wrong > rules.wrong_at_most:
            words = f"{wrong} readers say that their notice is wrong (limit: {rules.wrong_at_most})"
        if words:
            await _stop(writing, present, words)
            return 0, words
        if any(counts.get(state, 0) for state in UNDER_WAY) or _more_wait(counts):
            return 0, ""
        return await _release(writing, present, rules, now), ""

    (number, words), _ = await store.write(work)
    if words:
        log.error("notices_stopped", change=mailing.change, kind=mailing.kind.value, reason=words)
    elif number:
        log.info("notices_released", change=mailing.change, kind=mailing.kind.value, notices=number)
    return number


def _more_wait(counts: Mapping[NoticeState, int]) -> bool:
    """Whether more wait for the mail server than it has taken: away or greylisting it shows nothing of a batch."""
    return counts.get(NoticeState.DEFERRED, 0) > counts.get(NoticeState.SENT, 0)


async def _release(writing: Writing, mailing: Mailing, rules: ReleaseRules, now: float) -> int:
    size = batch_size(rules.batches, mailing.batch)
    batch = await writing.planned_notices(mailing.change, mailing.kind, size)
    # At once: a batch may be thousands, and a unit of work has its time.
    await writing.put_notices([_released(each, mailing, rules, now) for each in batch])
    to = MailingState.FINISHED if len(batch) < size else MailingState.SENDING
    following = replace(mailing, version=mailing.version + 1, batch=mailing.batch + 1, state=to)
    await writing.put_mailing(replace(following, next_batch_at=now + rules.batches.every_seconds))
    if batch:
        told = {"change": mailing.change, "kind": mailing.kind.value, "act": "released", "notices": len(batch)}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, GATEPOST, details=told))
    return len(batch)


def _released(notice: Notice, mailing: Mailing, rules: ReleaseRules, now: float) -> Notice:
    zone = zone_of(notice.reader.time_zone, rules.site_zone)
    at = now if mailing.urgent else release_at(now, zone, rules.daytime)
    return moved(notice, NoticeState.HELD if at > now else NoticeState.DUE, at)


async def settle_cancelled(store: Store, mailing: Mailing) -> int:
    """Turn what waits of a cancelled mailing to cancelled, some at a time; how many that were."""
    async with store.read() as reading:
        counts = await reading.notice_counts(mailing.change, mailing.kind)
    if not any(counts.get(state, 0) for state in WAITING):
        return 0
    number, _ = await store.write(
        lambda writing: writing.settle_cancelled(mailing.change, mailing.kind, SETTLED_AT_ONCE)
    )
    return number


async def stop(store: Store, mailing: Mailing, words: str, by: str) -> None:
    """Let nothing more of a mailing go, on a person's word, until somebody resumes it.

    What is going on its way is not called back. Raises ``InvalidValue`` where there is nothing to stop.
    """
    await _stop_unless(store, mailing, words, by, {MailingState.STOPPED})


async def stop_by_itself(store: Store, mailing: Mailing, words: str) -> None:
    """The same for a reason that Gatepost has found, perhaps late: where nothing leaves any more, nothing is done."""
    await _stop_unless(store, mailing, words, GATEPOST, {MailingState.STOPPED, MailingState.CANCELLED})


async def _stop_unless(store: Store, mailing: Mailing, words: str, by: str, states: Collection[MailingState]) -> None:
    async def work(writing: Writing) -> bool:
        present = await writing.mailing(mailing.change, mailing.kind)
        if present is None or present.state in states:
            return False
        await _stop(writing, present, words, by)
        return True

    done, _ = await store.write(work)
    if done:
        log.warning("notices_stopped", change=mailing.change, kind=mailing.kind.value, reason=words, by=by)


async def _stop(writing: Writing, mailing: Mailing, words: str, by: str = GATEPOST) -> None:
    await writing.put_mailing(mailing_moved(mailing, MailingState.STOPPED, words))
    told = {"change": mailing.change, "kind": mailing.kind.value, "act": "stopped", "reason": words}
    await writing.log_audit(AuditEntry(AuditKind.NOTICE, by, details=told))


async def resume(
    store: Store, change: int, kind: NoticeKind, by: str, now: float, expires_seconds: float = 86_400.0
) -> Mailing:
    """Let a stopped mailing go on at once, with time for what is left of it.

    Raises ``InvalidValue`` where there is nothing to resume.
    """

    async def work(writing: Writing) -> Mailing:
        present = await writing.mailing(change, kind)
        if present is None:
            raise InvalidValue(f"there are no {kind} notices of change {change}: gatepost notice list shows all")
        await _see_that_it_goes_on(writing, change, kind)
        if present.state is not MailingState.STOPPED:
            raise InvalidValue(f"the {kind} notices of change {change} are {present.state}, not stopped")
        # Where recipients are still being written down, that goes on first.
        going = mailing_moved(present, MailingState.PLANNING if present.plan.waves else MailingState.SENDING)
        tried, bad = tried_of(await writing.notice_counts(change, kind))
        going = replace(
            going,
            life=await writing.incarnation(),
            not_after=_not_after(present, now, expires_seconds),
            next_batch_at=now,
            borne_tried=tried,
            borne_bad=bad,
            borne_wrong=await writing.complaints(change),
        )
        await writing.put_mailing(going)
        told = {"change": change, "kind": kind.value, "act": "resumed"}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, by, details=told))
        return going

    going, _ = await store.write(work)
    return going


async def resend(
    store: Store,
    change: int,
    kind: NoticeKind,
    person_id: str,
    by: str,
    now: float,
    expires_seconds: float = 86_400.0,
) -> Notice:
    """Send a notice again on a person's word, with time to leave: one that is uncertain, refused, back or expired.

    Raises ``InvalidValue``, also where nothing about the change leaves any more, and ``Conflict``.
    """

    async def work(writing: Writing) -> Notice:
        present, mailing = await writing.notice(change, kind, person_id), await writing.mailing(change, kind)
        if present is None or mailing is None:
            raise InvalidValue(f"there is no {kind} notice of change {change} to {person_id}")
        if present.state not in RESENDABLE:
            raise InvalidValue(f"the notice to {person_id} is {present.state}: only {_listed()} ones are sent again")
        await _see_that_it_goes_on(writing, change, kind)
        if mailing.state is MailingState.CANCELLED:
            raise InvalidValue(f"the {kind} notices of change {change} are cancelled ({mailing.words}): none leaves")
        if mailing.state is MailingState.STOPPED:
            raise InvalidValue(
                f"the {kind} notices of change {change} are stopped: none leaves before gatepost notice resume"
            )
        if mailing.deadline is not None and mailing.deadline <= now:
            raise InvalidValue("the deadline is over already")
        not_after = _not_after(mailing, now, expires_seconds)
        if not_after != mailing.not_after:
            await writing.put_mailing(replace(mailing, version=mailing.version + 1, not_after=not_after))
        again = moved(present, NoticeState.DUE, now)
        if not await writing.put_notice(again):
            raise Conflict("the notice changed meanwhile: look at it again")
        told = {"change": change, "kind": kind.value, "act": "sent again", "was": present.state.value}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, by, details=told))
        return again

    again, _ = await store.write(work)
    return again


async def _see_that_it_goes_on(writing: Writing, change: int, kind: NoticeKind) -> None:
    """Raises ``InvalidValue`` for notices of a change that is over, but for its correction."""
    about = await writing.policy_change(change)
    if kind is not NoticeKind.CORRECTION and (about is None or about.state in OVER):
        raise InvalidValue(f"change {change} is over: nothing about it leaves any more")


def _not_after(mailing: Mailing, now: float, expires_seconds: float) -> float:
    """Until when its notices may leave, where a person lets some go now: its own time may be over."""
    if not mailing.not_after:
        return 0.0
    latest = now + (CORRECTION_SECONDS if mailing.kind is NoticeKind.CORRECTION else expires_seconds)
    if mailing.deadline is not None:
        latest = min(latest, mailing.deadline)
    return max(mailing.not_after, latest)


def _listed() -> str:
    return ", ".join(sorted(state.value for state in RESENDABLE))
