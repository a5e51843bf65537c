"""Policy versions: who changed what, when, and how the policy stood."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.bans import BanOut, ban_out
from gateway.admin.api.deps import Deps, Viewing, policy_in_store
from gateway.admin.api.moments import surely_shown
from gateway.admin.api.problems import not_found
from gateway.changes.policy_export import policy_text
from gateway.domain.policy import PolicyVersion

router = APIRouter(tags=["policies"])


class PolicyLine(BaseModel):
    """One version in one line."""

    number: int
    created_at: datetime
    author: str
    summary: str
    enforcement_on: bool


class PolicyOut(PolicyLine):
    """One version with its bans."""

    bans: list[BanOut]
    exemptions: int


class PolicyList(BaseModel):
    """The newest versions, newest first."""

    policies: list[PolicyLine]


class PolicyFileOut(BaseModel):
    """The policy in force as a policy file."""

    policy_version: int
    toml: str = Field(description="what POST /changes takes")


@router.get("/policies")
async def list_policies(deps: Deps, operator: Viewing, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> PolicyList:
    """The newest policy versions."""
    async with deps.store.read() as reading:
        versions = await reading.policies(limit)
    return PolicyList(policies=[PolicyLine.model_validate(_line(version)) for version in versions])


@router.get("/policies/{number}")
async def show_policy(number: int, deps: Deps, operator: Viewing) -> PolicyOut:
    """One policy version."""
    async with deps.store.read() as reading:
        version = await reading.policy(number) if 0 < number < 2**31 else None
    if version is None:
        raise not_found(f"there is no policy version {number}")
    bans = [ban_out(ban) for ban in version.bans]
    return PolicyOut.model_validate({**_line(version), "bans": bans, "exemptions": len(version.exemptions)})


@router.get("/policy-file")
async def export_policy(deps: Deps, operator: Viewing) -> PolicyFileOut:
    """The policy in force as a policy file, which planned as it is changes nothing."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    return PolicyFileOut(policy_version=version.number, toml=policy_text(version, deps.now()))


def _line(version: PolicyVersion) -> dict[str, object]:
    return {
        "number": version.number,
        "created_at": surely_shown(version.created_at),
        "author": version.author,
        "summary": version.summary,
        "enforcement_on": version.enforcement_on,
    }
