"""Notices: what people are told about a change, how far that is, and the words that stop it and let it go on."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import ApiDeps, Deps, Editing, Viewing
from gateway.admin.api.moments import GivenMoment, shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.admin.api.views import Reason, reason_given, view_told
from gateway.changes.short_form import not_in_force
from gateway.domain.audit import Subject
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, NoticeState
from gateway.notices.desk import NoticeDesk

router = APIRouter(tags=["notices"])

PAGE = 1000

Number = Annotated[int, Path(ge=1, lt=1 << 31, description="of the change")]


class MailingOut(BaseModel):
    """All notices of one kind about one change."""

    change: int
    kind: NoticeKind
    state: MailingState
    planned_by: str
    planned_at: datetime
    starts_at: datetime | None = Field(description="nothing leaves before")
    not_after: datetime | None = Field(description="nothing leaves after")
    deadline: datetime | None
    urgent: bool
    batches: int = Field(description="released so far")
    next_batch_at: datetime | None
    words: str = Field(description="why it was stopped or cancelled")
    people: int | None = Field(description="of the present wave of recipients; null: all are written down")
    looked_at: int = Field(description="of these")
    without_address: int = Field(description="who are told nothing")
    not_found: int = Field(description="logins that belong to nobody known: told nothing")
    not_so: int = Field(description="cut for something else, or without the app by now: told nothing")
    notices: dict[NoticeState, int] = Field(description="how many are in which state")


class MailingList(BaseModel):
    """Mailings, those of the newest changes first."""

    sending: bool = Field(description="false: no [notices] sender is set, and nobody is told anything by mail")
    warnings: list[str] = Field(description="why notices do not leave at the moment, in whole sentences")
    mailings: list[MailingOut]


class NoticeLine(BaseModel):
    """One notice."""

    user: str
    kind: NoticeKind
    address: str
    language: str
    state: NoticeState
    next_at: datetime | None
    attempts: int
    answer: str
    message_id: str


class NoticeList(BaseModel):
    """A page of the notices of a change, ordered by user."""

    notices: list[NoticeLine]
    next_after: str | None = Field(description="give it as `after` for the next page; null at the end")


class PlanIn(BaseModel):
    """What is to be told."""

    model_config = ConfigDict(extra="forbid")

    kind: NoticeKind
    deadline: GivenMoment | None = Field(None, description="of a warning: from when mail is cut")
    urgent: bool = Field(False, description="at any time of the day")
    hold_seconds: float | None = Field(None, ge=0, le=7 * 86_400)


class StopIn(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500)


class ResendIn(BaseModel):
    """To whom."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(max_length=320)


@router.get("/notices")
async def list_mailings(
    deps: Deps, operator: Viewing, change: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None
) -> MailingList:
    """What people are told about changes, and how far that is."""
    async with deps.store.read() as reading:
        found = await reading.mailings(change)
        counts = [await reading.notice_counts(each.change, each.kind) for each in found]
    lines = [_mailing(each, dict(count)) for each, count in zip(found, counts, strict=True)]
    warnings = [] if deps.notices is None else list(deps.notices.troubles())
    return MailingList(sending=deps.notices is not None, warnings=warnings, mailings=lines)


@router.get("/notices/{change}")
async def list_notices(
    change: Number,
    deps: Deps,
    operator: Editing,
    state: Annotated[list[NoticeState], Query(description="only these; left out: all")] = [],  # noqa: B006
    after: Annotated[str, Query(max_length=400, description="next_after of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 200,
    reason: Reason = "",
) -> NoticeList:
    """The notices of a change, page by page: who gets one has the app, so it takes a reason, and is audited."""
    why = reason_given(reason, "who gets a notice tells who has an app")
    person, _, kind = after.partition(" ")
    async with deps.store.read() as reading:
        page = await reading.notices(change, state or list(NoticeState), (person, kind), limit)
    readers = [Subject(name) for name in dict.fromkeys(each.reader.person_id for each in page)]
    await view_told(deps, operator.name, readers, "notices", change=change, reason=why)
    following = f"{page[-1].reader.person_id} {page[-1].kind}" if len(page) == limit else None
    return NoticeList(notices=[_line(each) for each in page], next_after=following)


@router.post("/notices/{change}")
async def plan_notices(change: Number, given: PlanIn, deps: Deps, operator: Editing) -> MailingOut:
    """Tell whom a change cuts: they are written down beside, it is held then, and leaves in rising batches.

    What one person may not bring into force, one person does not announce either.
    """
    desk = _desk(deps)
    if given.kind is NoticeKind.WARNING and (refused := await deps.applier.would_refuse(change)) is not None:
        raise not_in_force(refused)
    deadline = given.deadline.timestamp() if given.deadline else None
    begun = await desk.plan(
        change, given.kind, operator.name, deadline=deadline, urgent=given.urgent, hold_seconds=given.hold_seconds
    )
    return await _shown(deps, begun)


@router.post("/notices/{change}/{kind}/stop")
async def stop_notices(change: Number, kind: NoticeKind, given: StopIn, deps: Deps, operator: Editing) -> MailingOut:
    """Let nothing more of them go."""
    return await _shown(deps, await _desk(deps).stop(change, kind, operator.name, given.reason))


@router.post("/notices/{change}/{kind}/resume")
async def resume_notices(change: Number, kind: NoticeKind, deps: Deps, operator: Editing) -> MailingOut:
    """Let stopped ones go on."""
    return await _shown(deps, await _desk(deps).resume(change, kind, operator.name))


@router.post("/notices/{change}/{kind}/resend")
async def resend_notice(change: Number, kind: NoticeKind, given: ResendIn, deps: Deps, operator: Editing) -> NoticeLine:
    """Send one again that is uncertain, was refused, came back or has expired."""
    login = canonical_login(given.user, deps.rules)
    return _line(await _desk(deps).resend(change, kind, login, operator.name))


def _desk(deps: ApiDeps) -> NoticeDesk:
    if deps.notices is None:
        raise InvalidValue("no notices are sent: set [notices] sender and server, and start again")
    return deps.notices


async def _shown(deps: ApiDeps, mailing: Mailing) -> MailingOut:
    async with deps.store.read() as reading:
        present = await reading.mailing(mailing.change, mailing.kind)
        counts = await reading.notice_counts(mailing.change, mailing.kind)
    if present is None:
        raise not_found(f"there are no {mailing.kind} notices of change {mailing.change}")
    return _mailing(present, dict(counts))


def _mailing(mailing: Mailing, counts: dict[NoticeState, int]) -> MailingOut:
    return MailingOut(
        change=mailing.change,
        kind=mailing.kind,
        state=mailing.state,
        planned_by=mailing.planned_by,
        planned_at=surely_shown(mailing.planned_at),
        starts_at=shown(mailing.starts_at or None),
        not_after=shown(mailing.not_after or None),
        deadline=shown(mailing.deadline),
        urgent=mailing.urgent,
        batches=mailing.batch,
        next_batch_at=shown(mailing.next_batch_at or None),
        words=mailing.words,
        people=mailing.plan.people,
        looked_at=mailing.plan.looked_at,
        without_address=mailing.plan.without_address,
        not_found=mailing.plan.not_found,
        not_so=mailing.plan.not_so,
        notices=counts,
    )


def _line(notice: Notice) -> NoticeLine:
    return NoticeLine(
        user=notice.reader.person_id,
        kind=notice.kind,
        address=notice.reader.address,
        language=notice.reader.language,
        state=notice.state,
        next_at=shown(notice.next_at or None),
        attempts=notice.attempts,
        answer=notice.answer,
        message_id=notice.message_id,
    )
