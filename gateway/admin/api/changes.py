"""Changes: what somebody wants of the policy, with its preview, approvals, stages and way back.

One is made from a policy file or from the same as JSON. The digest of a preview goes to and fro with each decision: who
approves says which preview was seen.
"""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.actions import see_that_may
from gateway.admin.api.applied import Applied, applied_of
from gateway.admin.api.change_out import ChangeLine, ChangeOut, PlannedOut, change_out, line_out, planned_out
from gateway.admin.api.deps import ApiDeps, Deps, Editing, Viewing, actor_of, policy_in_store
from gateway.admin.api.mistyped import group_warnings
from gateway.admin.api.views import Reason, reason_given, view_told
from gateway.admin.auth import Operator
from gateway.changes.applying import NotApplied
from gateway.changes.desk import NOTE_LONGEST
from gateway.changes.policy_document import PolicyDocument
from gateway.changes.policy_edit import Writer, edit_of
from gateway.changes.policy_file import LONGEST, PolicyFile, read
from gateway.changes.rollout import wanted_of
from gateway.changes.short_form import not_in_force
from gateway.domain.audit import Subject
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login, device_named
from gateway.domain.notice import Tell
from gateway.domain.operator import Action
from gateway.domain.stages import MOST_STAGES

router = APIRouter(tags=["changes"])


class ChangeList(BaseModel):
    """The newest changes, newest first."""

    changes: list[ChangeLine]


class ChangeIn(PolicyDocument):
    """A policy file, as its text or as JSON of the same shape; what is not named is not touched."""

    toml: str | None = Field(None, max_length=LONGEST, description="the text of a policy file, instead of the rest")


class PlannedAnswer(BaseModel):
    """What a policy file would do."""

    policy_version: int = Field(description="the newest one")
    change: PlannedOut | None = Field(description="null: everything is so already")


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
    return ChangeList(changes=[ChangeLine.model_validate(line_out(change)) for change in changes])


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
        return await change_out(deps, number)
    see_that_may(operator, Action.SEE_PERSON)
    why = reason_given(reason, "whom a change cuts tells who has an app")
    found = await change_out(deps, number, names=True)
    named = found.preview or {}
    cut = [Subject(each["person"], each["device"]) for each in named.get("first_cut", ())]
    others = [Subject(name) for each in named.get("named", ()) for name in each["cut"]]
    await view_told(deps, operator.name, (*cut, *others), "preview", change=number, reason=why)
    return found


@router.post("/changes", status_code=201)
async def plan_change(given: ChangeIn, deps: Deps, operator: Editing) -> PlannedAnswer:
    """A previewed change that makes the policy what the file says; apply it like any other change."""
    file = await _file(given)
    edit, wanted = edit_of(file, _writer(deps, operator)), wanted_of(file, deps.now())
    deps.telling.see_that_it_can(wanted.tell)
    held = await deps.editor.plan(actor_of(operator), edit, wanted)
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
        warnings = await group_warnings(reading, _groups(file))
    change = await planned_out(deps, held, warnings) if held is not None else None
    return PlannedAnswer(policy_version=version.number, change=change)


@router.post("/changes/{number}/preview")
async def preview_change(number: int, deps: Deps, operator: Editing) -> PlannedOut:
    """Compute what the whole change, or what is left of it, would do now.

    An approval stands as long as hardly anybody else would be cut than what it was given for.
    """
    return await planned_out(deps, await deps.editor.held(number, operator.name), [])


@router.post("/changes/{number}/approve")
async def approve_change(number: int, given: ApprovalIn, deps: Deps, operator: Editing) -> ChangeOut:
    """Say yes to a preview as a second person."""
    await deps.desk.approve(number, actor_of(operator), given.digest)
    return await change_out(deps, number)


@router.post("/changes/{number}/apply")
async def apply_change(number: int, deps: Deps, operator: Editing, given: ApplyIn | None = None) -> Applied:
    """Bring the next stage into force, if guards, approval and time let it; before its time it comes by itself."""
    given = given or ApplyIn()
    meant = given.stage - 1 if given.stage is not None else None
    done = await deps.applier.apply(number, operator.name, given.tell, stage=meant)
    if isinstance(done, NotApplied):
        raise not_in_force(done)
    return applied_of(done)


@router.post("/changes/{number}/halt")
async def halt_change(number: int, given: Decided, deps: Deps, operator: Editing) -> ChangeOut:
    """Stop between two stages; what is in force stays."""
    await deps.applier.halt(number, operator.name, given.reason)
    return await change_out(deps, number)


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
    return await change_out(deps, number)


async def _file(given: ChangeIn) -> PolicyFile:
    if given.toml is None:
        return PolicyFile(given)
    if given.model_fields_set != {"toml"}:
        raise InvalidValue("toml is the whole of it: send either the text of a policy file or its keys")
    # As long as the longest file takes, nothing else would be answered.
    return await asyncio.to_thread(read, given.toml)


def _writer(deps: ApiDeps, operator: Operator) -> Writer:
    return Writer(
        operator.name,
        deps.now(),
        seed=lambda: secrets.randbits(63),
        new_id=lambda: secrets.token_hex(4),
        login=lambda text: canonical_login(text, deps.rules),
        device=device_named,
    )


def _groups(file: PolicyFile) -> list[str]:
    """Every group that is named."""
    document = file.document
    found = [name for ban in document.bans.ban for name in (*ban.group, *(rule.group for rule in ban.rules))]
    found += [each.group for each in document.exemptions.exemption]
    found += [each.group for each in document.rollout.stages]
    return [name.strip() for name in found if name.strip()]
