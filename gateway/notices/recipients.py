"""Writes down who a mailing's recipients are: page by page, beside everything else, under a lease.

Each page is one unit of work that moves the mailing's plan on: a process that is killed leaves it at a page's end, and
whoever takes the lease goes on from there. Taking the change back, or stopping it, changes the mailing, and a page that
was read before is not written then. Whoever has no address is counted and told by nobody, and so is who has no app
of those that the notice would name.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    Finding,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    Reader,
    mailing_moved,
    message_id_of,
    place_of,
)
from gateway.notices.addresses import address_of
from gateway.notices.compose import Composer
from gateway.notices.planning import planned_people
from gateway.notices.releasing import stop_by_itself
from gateway.ports.store import Conflict, Person, Reading, Store, StoreUnavailable, Writing

log = structlog.get_logger()

PAGE = 500
FINDINGS_AT_MOST = 10
LOOK_EVERY_SECONDS = 1.0
AGAIN_AFTER_SECONDS = 5.0
PLANS = frozenset({MailingState.PLANNING, MailingState.STOPPED})
"""A stopped one is written down as well: nothing of it leaves."""

FindingsOf = Callable[[Reading, Sequence[str]], Awaitable[Mapping[str, Sequence[Finding]]]]
"""What the evidence has of some people against the change, by their ids."""


class NotNow(Exception):  # noqa: N818  (a state of affairs)
    """Whom a change cuts cannot be said at the moment; later it can."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Whom a wave of a mailing is for."""

    people: Sequence[str]
    """Ids, ascending."""
    findings_of: FindingsOf
    by_preview: str = ""
    """The digest of the preview that says so; empty: none does."""


class Waves(Protocol):
    """Knows whom a mailing is for."""

    async def wave(self, change: int, wave: int) -> Wave:
        """See ``domain.notice.Plan.waves``. Raises ``NotNow``, and ``InvalidValue`` for what nobody will ever know."""
        ...


@dataclass(frozen=True, slots=True)
class _Page:
    """Some people in a row, as they were read."""

    notices: Sequence[Notice]
    without_address: int
    not_found: int
    not_so: int


class Recipients:
    """One per control process that sends notices."""

    def __init__(
        self, store: Store, composer: Composer, waves: Waves, now: Callable[[], float], *, page: int = PAGE
    ) -> None:
        self._store = store
        self._composer = composer
        self._waves = waves
        self._now = now
        self._size = page

    async def run(self, held: object) -> None:
        """Look regularly, while ``held`` is true."""
        while held:
            seconds = LOOK_EVERY_SECONDS
            try:
                await self.look(held)
            except (StoreUnavailable, Conflict, NotNow) as error:
                log.warning("recipients_wait", error=str(error))
                seconds = AGAIN_AFTER_SECONDS
            await asyncio.sleep(seconds)

    async def look(self, held: object = True) -> int:
        """Write down what is to be written down now; how many mailings that were."""
        async with self._store.read() as reading:
            begun = [each for each in await reading.mailings_in(PLANS) if each.plan.waves]
        for mailing in begun:
            try:
                await self._write_down(mailing, held)
            except InvalidValue as error:
                if mailing.state is MailingState.STOPPED:
                    continue
                words = f"who is told could not be found out: {error}"
                log.error("notices_not_planned", change=mailing.change, kind=mailing.kind.value, reason=str(error))
                await stop_by_itself(self._store, mailing, words)
        return len(begun)

    async def _write_down(self, begun: Mailing, held: object) -> None:
        """The present wave of a mailing, to its end or until something has changed it."""
        wave = await self._waves.wave(begun.change, begun.plan.waves[0])
        people, same = wave.people, begun.plan.by_preview == wave.by_preview
        at = bisect_right(people, begun.plan.after) if same else 0
        mailing: Mailing | None = begun
        while mailing is not None and held:
            upto = min(at + self._size, len(people))
            page = await self._store.read_at_once(partial(self._read, mailing, wave, people[at:upto]))
            mailing, _ = await self._store.write(partial(self._put, mailing, wave, page, upto))
            at = upto
            if at == len(people):
                return

    # --- one page

    async def _read(self, mailing: Mailing, wave: Wave, people: Sequence[str], reading: Reading) -> _Page:
        known = {person.person_id: person for person in await reading.people_named(people)}
        addresses = {name: address for name, person in known.items() if (address := address_of(person))}
        found = await wave.findings_of(reading, list(addresses))
        warned = mailing.kind is not NoticeKind.WARNING and (
            await reading.mailing(mailing.change, NoticeKind.WARNING) is not None
        )
        notices, not_so = [], 0
        for name, address in addresses.items():
            findings = tuple(found.get(name, ()))[:FINDINGS_AT_MOST]
            if not is_so(mailing.kind, findings):
                not_so += 1
                continue
            answers = await _earlier(reading, mailing, name) if warned else ()
            notices.append(notice_to(self._composer, mailing, known[name], address, findings, answers))
        return _Page(notices, len(known) - len(addresses), len(people) - len(known), not_so)

    async def _put(self, mailing: Mailing, wave: Wave, page: _Page, upto: int, writing: Writing) -> Mailing | None:
        """Store a page and how far that is; None where the mailing has changed since it was read."""
        present = await writing.mailing(mailing.change, mailing.kind)
        if present is None or present.version != mailing.version:
            return None
        page = await _without_erased(writing, page)
        await writing.add_notices(page.notices)
        following = replace(_moved_on(present, wave, page, upto), version=present.version + 1)
        if upto == len(wave.people):
            following = await self._wave_done(writing, following)
        await writing.put_mailing(following)
        return following

    async def _wave_done(self, writing: Writing, mailing: Mailing) -> Mailing:
        """The next wave begins; behind the last one the hold does."""
        done, *following = mailing.plan.waves
        written = (*(wave for wave in mailing.plan.written if wave != done), done)
        plan = replace(
            mailing.plan, waves=tuple(following), written=written, after="", people=None, looked_at=0, by_preview=""
        )
        if plan.waves:
            return replace(mailing, plan=plan)
        starts_at = self._now() + plan.hold_seconds
        latest = starts_at + plan.expires_seconds
        not_after = latest if mailing.deadline is None else min(latest, mailing.deadline)
        number = await planned_people(writing, mailing)
        told = {"change": mailing.change, "kind": mailing.kind.value, "act": "planned", "people": number}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, mailing.planned_by, details=told))
        log.info("notices_planned", change=mailing.change, kind=mailing.kind.value, notices=number)
        if mailing.state is MailingState.PLANNING:
            version = mailing.version
            mailing = replace(mailing_moved(mailing, MailingState.SENDING), version=version)
        return replace(mailing, plan=plan, starts_at=starts_at, not_after=not_after)


async def _without_erased(writing: Writing, page: _Page) -> _Page:
    """The page without those who were erased since it was read: their notices would bring their names back."""
    there = {
        person.person_id for person in await writing.people_named([each.reader.person_id for each in page.notices])
    }
    left = [each for each in page.notices if each.reader.person_id in there]
    return replace(page, notices=left, not_found=page.not_found + len(page.notices) - len(left))


def _moved_on(mailing: Mailing, wave: Wave, page: _Page, upto: int) -> Mailing:
    plan = mailing.plan
    if plan.by_preview != wave.by_preview:
        # By another preview it has begun anew.
        plan = replace(plan, without_address=0, not_found=0, not_so=0)
    return replace(
        mailing,
        plan=replace(
            plan,
            after=wave.people[upto - 1] if upto else "",
            people=len(wave.people),
            looked_at=upto,
            by_preview=wave.by_preview,
            without_address=plan.without_address + page.without_address,
            not_found=plan.not_found + page.not_found,
            not_so=plan.not_so + page.not_so,
        ),
    )


def is_so(kind: NoticeKind, findings: Sequence[Finding]) -> bool:
    """Whether what a notice of that kind says is so: an app is on a device, or, of word that mail works again, none is.

    A change may cut people for something else as well, and apps go between the preview and the notice.
    """
    return bool(findings) != (kind is NoticeKind.ADMITTED)


async def _earlier(reading: Reading, mailing: Mailing, person_id: str) -> tuple[str, ...]:
    """The warning that the notice answers."""
    earlier = await reading.notice(mailing.change, NoticeKind.WARNING, person_id)
    return (earlier.message_id,) if earlier is not None and earlier.may_be_read else ()


def notice_to(
    composer: Composer,
    mailing: Mailing,
    person: Person,
    address: str,
    findings: tuple[Finding, ...],
    answers: tuple[str, ...] = (),
) -> Notice:
    """The notice of a mailing to one person, as it is planned."""
    key, person_id, change = composer.key, person.person_id, mailing.change
    language = composer.language_for(person.language)
    return Notice(
        change=change,
        kind=mailing.kind,
        reader=Reader(person_id, address, language, person.time_zone, person.display_name),
        message_id=message_id_of(key, change, mailing.kind, person_id, composer.domain),
        findings=findings,
        answers=answers,
        place=place_of(key, change, person_id),
    )
