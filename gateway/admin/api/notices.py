"""Notices: what people are told about a change, how far that is, and the words that stop it and let it go on."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.admin.api.deps import ApiDeps, Deps, Editing, Viewing
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, NoticeState
from gateway.notices.desk import NoticeDesk

router = APIRouter(tags=["notices"])

PAGE = 1000


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
    notices: dict[NoticeState, int] = Field(description="how many are in which state")


class MailingList(BaseModel):
    """Mailings, those of the newest changes first."""

    sending: bool = Field(description="false: no [notices] sender is set, and nobody is told anything by mail")
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
    deadline: AwareDatetime | None = Field(None, description="of a warning: from when mail is cut")
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
    deps: Deps, operator: Viewing, change: Annotated[int | None, Query(ge=1)] = None
) -> MailingList:
    """What people are told about changes, and how far that is."""
    async with deps.store.read() as reading:
        found = await reading.mailings(change)
        counts = [await reading.notice_counts(each.change, each.kind) for each in found]
    lines = [_mailing(each, dict(count)) for each, count in zip(found, counts, strict=True)]
    return MailingList(sending=deps.notices is not None, mailings=lines)


@router.get("/notices/{change}")
async def list_notices(
    change: int,
    deps: Deps,
    operator: Editing,
    state: Annotated[list[NoticeState], Query(description="only these; left out: all")] = [],  # noqa: B006
    after: Annotated[str, Query(max_length=400, description="next_after of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 200,
) -> NoticeList:
    """The notices of a change, page by page."""
    person, _, kind = after.partition(" ")
    async with deps.store.read() as reading:
        page = await reading.notices(change, state or list(NoticeState), (person, kind), limit)
    following = f"{page[-1].reader.person_id} {page[-1].kind}" if len(page) == limit else None
    return NoticeList(notices=[_line(each) for each in page], next_after=following)


@router.post("/notices/{change}")
async def plan_notices(change: int, given: PlanIn, deps: Deps, operator: Editing) -> MailingOut:
    """Tell whom a change cuts: they are written down beside, it is held then, and leaves in rising batches."""
    deadline = given.deadline.timestamp() if given.deadline else None
    begun = await _desk(deps).plan(
        change, given.kind, operator.name, deadline=deadline, urgent=given.urgent, hold_seconds=given.hold_seconds
    )
    return await _shown(deps, begun)


@router.post("/notices/{change}/{kind}/stop")
async def stop_notices(change: int, kind: NoticeKind, given: StopIn, deps: Deps, operator: Editing) -> MailingOut:
    """Let nothing more of them go."""
    return await _shown(deps, await _desk(deps).stop(change, kind, operator.name, given.reason))


@router.post("/notices/{change}/{kind}/resume")
async def resume_notices(change: int, kind: NoticeKind, deps: Deps, operator: Editing) -> MailingOut:
    """Let stopped ones go on."""
    return await _shown(deps, await _desk(deps).resume(change, kind, operator.name))


@router.post("/notices/{change}/{kind}/resend")
async def resend_notice(change: int, kind: NoticeKind, given: ResendIn, deps: Deps, operator: Editing) -> NoticeLine:
    """Send one again that is uncertain, was refused or came back."""
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
