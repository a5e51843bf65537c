"""What every edit of the policy answers: the version, and on how many workers it is in force."""

from datetime import datetime

from pydantic import BaseModel, Field

from gateway.admin.api.moments import surely_shown
from gateway.changes.apply import AppliedEdit
from gateway.changes.applying import Applied as AppliedChange


class Applied(BaseModel):
    """An edit that is committed. ``in_force`` tells whether every worker judges by it."""

    policy_version: int
    changed: bool = Field(description="false: everything was so already, and no new version was made")
    summary: str
    author: str
    created_at: datetime
    in_force: bool
    workers: int
    in_force_on: int
    silent: list[str] = Field(description="workers that did not confirm in time; they follow as soon as they can")
    seconds: float = Field(description="from the request to the last worker's word")
    newly_cut: int = Field(0, description="devices, as computed when it came into force")
    newly_admitted: int = 0
    warnings: list[str] = []


def applied(edit: AppliedEdit, warnings: tuple[str, ...] = ()) -> Applied:
    """An edit for an answer."""
    version = edit.version
    return Applied(
        policy_version=version.number,
        changed=edit.changed,
        summary=version.summary,
        author=version.author,
        created_at=surely_shown(version.created_at),
        in_force=edit.in_force,
        workers=edit.workers,
        in_force_on=edit.in_force_on,
        silent=list(edit.silent),
        seconds=round(edit.seconds, 6),
        newly_cut=edit.newly_cut,
        newly_admitted=edit.newly_admitted,
        warnings=list(warnings),
    )


def applied_of(done: AppliedChange) -> Applied:
    """A stage or a withdrawal for an answer."""
    force, numbers = done.in_force, (0, 0)
    if done.change.done and done.change.done[-1].policy_version == done.version.number:
        numbers = (done.change.done[-1].newly_cut, done.change.done[-1].newly_admitted)
    edit = AppliedEdit(done.version, done.edited, force.workers, force.in_force, done.seconds, force.silent, *numbers)
    told = applied(edit)
    # Else it would be told by what another change did before it.
    return told if done.edited else told.model_copy(update={"summary": done.change.title})
