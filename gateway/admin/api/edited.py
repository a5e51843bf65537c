"""Edits of the policy in one step: applied, held for a word, or made to come at their moment and by stages."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.applied import Applied, applied
from gateway.admin.api.change_out import PlannedOut, planned_out
from gateway.admin.api.deps import ApiDeps, actor_of
from gateway.admin.auth import Operator
from gateway.changes.apply import AppliedEdit
from gateway.changes.desk import Edit, Wanted
from gateway.changes.policy_document import RolloutWritten
from gateway.changes.rollout import rolled_out
from gateway.changes.short_form import Held
from gateway.domain.notice import Tell

Hold = Annotated[
    bool,
    Query(
        description="preview only: the answer is a change, to be applied or rejected by its number. What merely turns "
        "a flag down, or changes nothing, is done all the same"
    ),
]


class Given(BaseModel):
    """What every edit may carry."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=200, description="for the policy's history")
    rollout: RolloutWritten = Field(RolloutWritten(), description="stages, a moment, a stop rule; as in a policy file")


Edited = Applied | PlannedOut


async def edited(
    deps: ApiDeps,
    operator: Operator,
    edit: Edit,
    given: Given,
    *,
    hold: bool = False,
    warnings: Sequence[str] = (),
    tell: Tell | None = None,
) -> Edited:
    """Make the change, and answer what became of it. Raises what the edit and the guards raise."""
    stages, starts_at = rolled_out(given.rollout, deps.now())
    tell = tell or given.rollout.tell
    deps.telling.see_that_it_can(tell)
    wanted = Wanted(note=given.note, stages=stages, starts_at=starts_at, tell=tell)
    return await answer(deps, await deps.editor.make(actor_of(operator), edit, wanted, hold=hold), warnings)


async def answer(deps: ApiDeps, done: AppliedEdit | Held, warnings: Sequence[str] = ()) -> Edited:
    """What became of an edit."""
    if isinstance(done, Held):
        return await planned_out(deps, done, list(warnings))
    return applied(done, tuple(warnings))
