"""A policy version in an answer, with the change that it came from: who made it, who agreed, who applied it."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from gateway.admin.api.moments import surely_shown
from gateway.changes.origin import origin_of
from gateway.domain.change import PolicyChange
from gateway.domain.policy import PolicyVersion


class ChangeBehind(BaseModel):
    """The change that a policy version came from."""

    number: int
    title: str
    author: str
    applied_by: str
    approved_by: list[str]
    stage: int = Field(description="counted from 1; 0: the withdrawal")
    stages: int
    withdrawn: bool = Field(description="the version takes the change back")


class PolicyBehind(BaseModel):
    """A policy version and who applied it."""

    number: int
    author: str
    created_at: datetime
    summary: str
    change: ChangeBehind | None = Field(description="null: the first start, a restore, or too long ago")


def behind(version: PolicyVersion, changes: Sequence[PolicyChange]) -> PolicyBehind:
    """A version for an answer; ``changes`` as far back as is looked."""
    return PolicyBehind(
        number=version.number,
        author=version.author,
        created_at=surely_shown(version.created_at),
        summary=version.summary,
        change=_change(version.number, changes),
    )


def _change(number: int, changes: Sequence[PolicyChange]) -> ChangeBehind | None:
    origin = origin_of(number, changes)
    if origin is None:
        return None
    return ChangeBehind(
        number=origin.change,
        title=origin.title,
        author=origin.author,
        applied_by=origin.applied_by,
        approved_by=list(origin.approved_by),
        stage=origin.stage,
        stages=origin.stages,
        withdrawn=origin.withdrawn,
    )
