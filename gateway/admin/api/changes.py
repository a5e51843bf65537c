"""Changes: what somebody wants of the policy, with its preview, approvals, stages and way back.

The digest of a preview goes to and fro with each decision: who approves says which preview was seen.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.actions import see_that_may
from gateway.admin.api.applied import Applied, applied_of
from gateway.admin.api.deps import Deps, Editing, Viewing, actor_of
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.admin.api.views import Reason, reason_given, view_told
from gateway.changes.applying import NotApplied
from gateway.changes.desk import NOTE_LONGEST
from gateway.changes.diff_words import touch_words
from gateway.changes.previews import decode_preview
from gateway.changes.scheduling import told_badly
from gateway.changes.short_form import NeedsApproval
from gateway.domain.audit import Subject
from gateway.domain.change import PolicyChange, State
from gateway.domain.notice import Tell
from gateway.domain.operator import Action
from gateway.domain.stages import MOST_STAGES, Stage

router = APIRouter(tags=["changes"])


class StageOut(BaseModel):
    """One step of a change: report-only, a share, a group, or everybody."""

    number: int
    report_only: bool
    percent: float | None
    group: str
    after_seconds: float
    by_itself: bool
    policy_version: int | None = Field(description="in which it came into force; null: not yet")
    at: datetime | None
    newly_cut: int
    newly_admitted: int


class ApprovalOut(BaseModel):
    """A second person's yes."""

    operator: str
    at: datetime
    ends_at: datetime
    digest: str
    counts: bool = Field(description="it is for the present preview and has not ended")


class StepOut(BaseModel):
    """One step of a change's history."""

    state: State
    at: datetime
    by: str
    words: str


class ChangeLine(BaseModel):
    """A change in one line."""

    number: int
    state: State
    title: str
    author: str
    created_at: datetime
    newly_cut: int | None
    newly_admitted: int | None


class ChangeOut(ChangeLine):
    """A change with everything about it but its devices."""

    base_version: int
    starts_at: datetime | None
    note: str
    digest: str = Field(description="of the newest preview; empty: none yet")
    touches: list[str] = Field(description="what it touches, in words")
    stages: list[StageOut]
    approvals: list[ApprovalOut]
    history: list[StepOut]
    withdrawn_by_version: int | None
    tell: Tell = Field(description="how the people whom it cuts are told by itself")
    undelivered: int = Field(description="notices about it that were refused, came back or are uncertain")
    wrong: int = Field(description="readers who say that their notice is wrong")
    preview: dict[str, Any] | None = Field(
        description="all numbers of the newest preview; whom it cuts by name only where that was asked for"
    )


class ChangeList(BaseModel):
    """The newest changes, newest first."""

    changes: list[ChangeLine]


class Decided(BaseModel):
    """A word that goes with a decision."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=NOTE_LONGEST)


class ApprovalIn(BaseModel):
    """Which preview is approved."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(min_length=12, max_length=128, description="of the preview that was seen")


class ApplyIn(BaseModel):
    """Which stage is meant, and how the people whom it cuts are told."""

    model_config = ConfigDict(extra="forbid")

    tell: Tell | None = Field(None, description="in place of what the change and the settings say")
    stage: int | None = Field(
        None, ge=1, le=MOST_STAGES, description="its number; one that is in force already is refused. Null: the next"
    )


class WithdrawnOut(Applied):
    """A withdrawal. What it could not put back as before is named."""

    change: int
    clashes: list[str] = Field(description="parts that a later change had touched, too: the milder value stands")
    kept: list[str] = Field(description="parts that stay as they are, since going back would enforce more than now")


@router.get("/changes")
async def list_changes(deps: Deps, operator: Viewing, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> ChangeList:
    """The newest changes."""
    async with deps.store.read() as reading:
        changes = await reading.policy_changes(limit)
    return ChangeList(changes=[ChangeLine.model_validate(_line(change)) for change in changes])


@router.get("/changes/{number}")
async def show_change(
    number: int,
    deps: Deps,
    operator: Viewing,
    names: Annotated[bool, Query(description="also the first whom it cuts, by name: takes a reason, audited")] = False,
    reason: Reason = "",
) -> ChangeOut:
    """One change with its newest preview."""
    if not names:
        return await _shown(deps, number)
    see_that_may(operator, Action.SEE_PERSON)
    why = reason_given(reason, "whom a change cuts tells who has an app")
    found = await _shown(deps, number, names=True)
    named = found.preview or {}
    cut = [Subject(each["person"], each["device"]) for each in named.get("first_cut", ())]
    others = [Subject(name) for each in named.get("named", ()) for name in each["cut"]]
    await view_told(deps, operator.name, (*cut, *others), "preview", change=number, reason=why)
    return found


@router.post("/changes/{number}/preview")
async def preview_change(number: int, deps: Deps, operator: Editing) -> ChangeOut:
    """Compute what the whole change would do now. An approval of another preview is void."""
    await deps.desk.preview(number, operator.name)
    return await _shown(deps, number)


@router.post("/changes/{number}/approve")
async def approve_change(number: int, given: ApprovalIn, deps: Deps, operator: Editing) -> ChangeOut:
    """Say yes to a preview as a second person."""
    await deps.desk.approve(number, actor_of(operator), given.digest)
    return await _shown(deps, number)


@router.post("/changes/{number}/apply")
async def apply_change(number: int, deps: Deps, operator: Editing, given: ApplyIn | None = None) -> Applied:
    """Bring the next stage into force, if guards, approval and time let it."""
    given = given or ApplyIn()
    meant = given.stage - 1 if given.stage is not None else None
    done = await deps.applier.apply(number, operator.name, given.tell, stage=meant)
    if isinstance(done, NotApplied):
        raise NeedsApproval(done)
    return applied_of(done)


@router.post("/changes/{number}/halt")
async def halt_change(number: int, given: Decided, deps: Deps, operator: Editing) -> ChangeOut:
    """Stop between two stages; what is in force stays."""
    await deps.applier.halt(number, operator.name, given.reason)
    return await _shown(deps, number)


@router.post("/changes/{number}/withdraw")
async def withdraw_change(number: int, given: Decided, deps: Deps, operator: Editing) -> WithdrawnOut:
    """Take a change back: one person, one step, at any time."""
    done = await deps.applier.withdraw(number, operator.name, given.reason)
    clashes, kept = list(done.clashes), list(done.kept)
    return WithdrawnOut(change=number, clashes=clashes, kept=kept, **applied_of(done).model_dump())


@router.post("/changes/{number}/reject")
async def reject_change(number: int, given: Decided, deps: Deps, operator: Editing) -> ChangeOut:
    """End a change that has not begun."""
    await deps.desk.reject(number, actor_of(operator), given.reason)
    return await _shown(deps, number)


async def _shown(deps: Deps, number: int, *, names: bool = False) -> ChangeOut:
    async with deps.store.read() as reading:
        change = await reading.policy_change(number) if 0 < number < 2**31 else None
        if change is None:
            raise not_found(f"there is no change {number}: see the list of them")
        content = await reading.change_preview(number, change.preview.digest) if change.preview else None
        undelivered, wrong = await told_badly(reading, number)
    return ChangeOut.model_validate(
        {
            **_line(change),
            "base_version": change.base_version,
            "starts_at": shown(change.starts_at),
            "note": change.note,
            "digest": change.preview.digest if change.preview else "",
            "touches": [touch_words(touch) for touch in change.touches],
            "stages": [_stage_out(change, number, stage) for number, stage in enumerate(change.stages)],
            "approvals": [_approval_out(change, place, deps.now()) for place in range(len(change.approvals))],
            "history": [
                {"state": each.state, "at": surely_shown(each.at), "by": each.by, "words": each.words}
                for each in change.history
            ],
            "withdrawn_by_version": change.withdrawn_by_version,
            "tell": deps.telling.how(change),
            "undelivered": undelivered,
            "wrong": wrong,
            "preview": _preview(decode_preview(content).shown, names=names) if content is not None else None,
        }
    )


def _preview(shown: dict[str, Any], *, names: bool) -> dict[str, Any]:
    if names:
        return shown
    # Who is cut has the app.
    named = [{**each, "cut": []} for each in shown.get("named", ())]
    return {**shown, "first_cut": [], "named": named}


def _line(change: PolicyChange) -> dict[str, Any]:
    return {
        "number": change.number,
        "state": change.state,
        "title": change.title,
        "author": change.author,
        "created_at": surely_shown(change.created_at),
        "newly_cut": change.preview.newly_cut if change.preview else None,
        "newly_admitted": change.preview.newly_admitted if change.preview else None,
    }


def _stage_out(change: PolicyChange, number: int, stage: Stage) -> StageOut:
    done = next((each for each in change.done if each.stage == number), None)
    return StageOut(
        number=number + 1,
        report_only=stage.report_only,
        percent=stage.percent,
        group=stage.group,
        after_seconds=stage.after_seconds,
        by_itself=stage.by_itself,
        policy_version=done.policy_version if done else None,
        at=shown(done.at) if done else None,
        newly_cut=done.newly_cut if done else 0,
        newly_admitted=done.newly_admitted if done else 0,
    )


def _approval_out(change: PolicyChange, place: int, now: float) -> ApprovalOut:
    approval = change.approvals[place]
    present = change.preview is not None and change.preview.digest == approval.digest
    return ApprovalOut(
        operator=approval.operator,
        at=surely_shown(approval.at),
        ends_at=surely_shown(approval.ends_at),
        digest=approval.digest,
        counts=present and now < approval.ends_at,
    )
