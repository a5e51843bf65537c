"""Who is told of a change, and what: recipients are written down before the first notice leaves.

The people come one after another, as many as there are; a page of them is written at a time. Whoever has no address is
counted and told by nobody. Planning that was interrupted is done again from the start: who stands there stays.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    TOLD,
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
from gateway.ports.store import Person, Reading, Store, Writing

PAGE = 500
FINDINGS_AT_MOST = 10

FindingsOf = Callable[[Reading, str], Awaitable[Sequence[Finding]]]
"""What the evidence has of a person against the change."""

ALLOWED = {
    NoticeKind.WARNING: frozenset({State.PREVIEWED, State.APPROVED, State.SCHEDULED, State.APPLYING, State.APPLIED}),
    NoticeKind.CUT: frozenset({State.APPLYING, State.APPLIED}),
    NoticeKind.ADMITTED: frozenset({State.APPLYING, State.APPLIED}),
}
"""In which states of a change which notices are planned; corrections plan themselves."""
OVER = frozenset({State.REJECTED, State.WITHDRAWN})
"""States of a change in which no notice about it leaves, but for corrections."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mailing that somebody wants."""

    kind: NoticeKind
    by: str
    hold_seconds: float = 600.0
    expires_seconds: float = 86_400.0
    deadline: float | None = None
    urgent: bool = False
    apps: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What was written down."""

    mailing: Mailing
    people: int
    without_address: int
    not_found: int


async def plan(
    store: Store,
    composer: Composer,
    change: int,
    wanted: Wanted,
    people: AsyncIterator[str],
    findings_of: FindingsOf,
    now: float,
) -> Planned:
    """Write down a mailing and its recipients; it is held from then on.

    Raises ``InvalidValue`` where the change is in no state for it, or there is such a mailing already.
    """
    await _begin(store, change, wanted, now)
    number = without = missing = 0
    page: list[str] = []
    async for person_id in people:
        page.append(person_id)
        if len(page) == PAGE:
            number, without, missing = await _add(
                store, composer, change, wanted, page, findings_of, (number, without, missing)
            )
            page = []
    number, without, missing = await _add(
        store, composer, change, wanted, page, findings_of, (number, without, missing)
    )
    mailing = await _hold(store, change, wanted, number, now)
    return Planned(mailing, number, without, missing)


async def _begin(store: Store, number: int, wanted: Wanted, now: float) -> None:
    if wanted.kind not in ALLOWED:
        raise InvalidValue("corrections go out by themselves when a change is withdrawn")
    if wanted.deadline is not None and wanted.deadline <= now:
        raise InvalidValue("the deadline is over already")

    async def work(writing: Writing) -> None:
        change = await writing.policy_change(number)
        if change is None:
            raise InvalidValue(f"there is no change {number}: gatepost change list shows them")
        if change.state not in ALLOWED[wanted.kind]:
            raise InvalidValue(f"change {number} is {change.state}: a {wanted.kind} notice is not for that")
        present = await writing.mailing(number, wanted.kind)
        if present is None:
            await writing.put_mailing(
                Mailing(
                    number,
                    wanted.kind,
                    now,
                    wanted.by,
                    deadline=wanted.deadline,
                    urgent=wanted.urgent,
                    apps=wanted.apps,
                    text=wanted.text,
                    life=await writing.incarnation(),
                )
            )
        elif present.state is not MailingState.PLANNING:
            raise InvalidValue(f"the {wanted.kind} notices of change {number} are {present.state} already")

    await store.write(work)


async def _add(
    store: Store,
    composer: Composer,
    change: int,
    wanted: Wanted,
    page: Sequence[str],
    findings_of: FindingsOf,
    counted: tuple[int, int, int],
) -> tuple[int, int, int]:
    number, without, missing = counted
    notices = []
    async with store.read() as reading:
        for person_id in page:
            person = await reading.person_by_login(person_id)
            if person is None:
                missing += 1
                continue
            address = address_of(person)
            if not address:
                without += 1
                continue
            findings = tuple(await findings_of(reading, person_id))[:FINDINGS_AT_MOST]
            notices.append(await _notice(reading, composer, change, wanted.kind, person, address, findings))
    if notices:
        await store.write(lambda writing: writing.add_notices(notices))
    return number + len(notices), without, missing


async def _notice(
    reading: Reading,
    composer: Composer,
    change: int,
    kind: NoticeKind,
    person: Person,
    address: str,
    findings: tuple[Finding, ...],
) -> Notice:
    key, person_id = composer.key, person.person_id
    answers: tuple[str, ...] = ()
    if kind is not NoticeKind.WARNING:
        earlier = await reading.notice(change, NoticeKind.WARNING, person_id)
        answers = (earlier.message_id,) if earlier is not None and earlier.state in TOLD else ()
    language = composer.language_for(person.language)
    return Notice(
        change=change,
        kind=kind,
        reader=Reader(person_id, address, language, person.time_zone, person.display_name),
        message_id=message_id_of(key, change, kind, person_id, composer.domain),
        findings=findings,
        answers=answers,
        place=place_of(key, change, person_id),
    )


async def _hold(store: Store, change: int, wanted: Wanted, people: int, now: float) -> Mailing:
    async def work(writing: Writing) -> Mailing:
        present = await writing.mailing(change, wanted.kind)
        if present is None or present.state is not MailingState.PLANNING:
            raise InvalidValue(f"the {wanted.kind} notices of change {change} were taken back meanwhile")
        starts_at = now + wanted.hold_seconds
        latest = starts_at + wanted.expires_seconds
        not_after = min(latest, wanted.deadline) if wanted.deadline is not None else latest
        held = replace(mailing_moved(present, MailingState.SENDING), starts_at=starts_at, not_after=not_after)
        await writing.put_mailing(held)
        told = {"change": change, "kind": wanted.kind.value, "act": "planned", "people": people}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, wanted.by, details=told))
        return held

    held, _ = await store.write(work)
    return held
