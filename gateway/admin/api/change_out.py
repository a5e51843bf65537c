"""A change for an answer: what it touches, its newest preview, stages, approvals, history; and what would refuse it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from gateway.admin.api.deps import ApiDeps
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.admin.api.second_person import refusal_told
from gateway.changes.diff_words import action_words, touch_words
from gateway.changes.previews import decode_preview
from gateway.changes.scheduling import told_badly
from gateway.changes.short_form import Held
from gateway.domain.change import UNDER_WAY, PolicyChange, State
from gateway.domain.notice import Tell
from gateway.domain.stages import Stage


class StopOut(BaseModel):
    """Beyond these numbers a change halts; null: never for that reason."""

    cut_per_hour: int | None
    undelivered: int | None
    wrong: int | None


class StageOut(BaseModel):
    """One step of a change: report-only, a share, a group, or everybody."""

    number: int
    report_only: bool
    percent: float | None
    group: str
    after_seconds: float
    by_itself: bool
    stop: StopOut
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
    counts: bool = Field(description="it has not ended; one that a new preview left behind is not here any more")


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
    source: str = Field(description="the policy file that it was made from, comments included; else empty")
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


class GuardOut(BaseModel):
    """One reason why a second person has to approve."""

    guard: str
    detail: str


class PlannedOut(ChangeOut):
    """A change that was previewed just now. Nothing of it is in force."""

    guards: list[GuardOut] = Field(description="what asks for a second person; empty: one person may apply it")
    refusal: str = Field(description="what would be said if it were applied now; empty: nothing stands in the way")
    warnings: list[str] = []


async def change_out(deps: ApiDeps, number: int, *, names: bool = False) -> ChangeOut:
    """The change of that number, as it is kept; ``names``: with whom it cuts. Raises ``Refused``: there is none."""
    return ChangeOut.model_validate(await _shown(deps, number, names=names))


async def planned_out(deps: ApiDeps, held: Held, warnings: list[str]) -> PlannedOut:
    """A change that waits for a word."""
    refused = held.refused
    guards = [{"guard": hit.guard, "detail": hit.sentence} for hit in refused.hits] if refused else []
    async with deps.store.read() as reading:
        refusal = await refusal_told(reading, refused)
    told = {"guards": guards, "refusal": refusal, "warnings": warnings}
    return PlannedOut.model_validate({**await _shown(deps, held.change.number), **told})


async def _shown(deps: ApiDeps, number: int, *, names: bool = False) -> dict[str, Any]:
    async with deps.store.read() as reading:
        change = await reading.policy_change(number) if 0 < number < 2**31 else None
        if change is None:
            raise not_found(f"there is no change {number}: see the list of them")
        content = await reading.change_preview(number, change.preview.digest) if change.preview else None
        undelivered, wrong = await told_badly(reading, number)
    return {
        **line_out(change),
        "base_version": change.base_version,
        "starts_at": shown(change.starts_at),
        "note": change.note,
        "source": change.source,
        "digest": change.preview.digest if change.preview else "",
        "touches": [
            *([action_words(change.action)] if change.action is not None else []),
            *(touch_words(touch) for touch in change.touches),
        ],
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


def _preview(shown: dict[str, Any], *, names: bool) -> dict[str, Any]:
    if names:
        return shown
    # Who is cut has the app.
    named = [{**each, "cut": []} for each in shown.get("named", ())]
    return {**shown, "first_cut": [], "named": named}


def line_out(change: PolicyChange) -> dict[str, Any]:
    """A change in one line."""
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
    stop = stage.stop
    return StageOut(
        number=number + 1,
        report_only=stage.report_only,
        percent=stage.percent,
        group=stage.group,
        after_seconds=stage.after_seconds,
        by_itself=stage.by_itself,
        stop=StopOut(cut_per_hour=stop.cut_per_hour, undelivered=stop.undelivered, wrong=stop.wrong),
        policy_version=done.policy_version if done else None,
        at=shown(done.at) if done else None,
        newly_cut=done.newly_cut if done else 0,
        newly_admitted=done.newly_admitted if done else 0,
    )


def _approval_out(change: PolicyChange, place: int, now: float) -> ApprovalOut:
    approval = change.approvals[place]
    return ApprovalOut(
        operator=approval.operator,
        at=surely_shown(approval.at),
        ends_at=surely_shown(approval.ends_at),
        digest=approval.digest,
        counts=now < approval.ends_at or change.state in UNDER_WAY,
    )
