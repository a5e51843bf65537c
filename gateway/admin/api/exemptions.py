"""Exemptions: a user, one device of a user, or a group let through, with author, reason and an end."""

import secrets
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.applied import Applied, applied
from gateway.admin.api.deps import Deps, Editing, Viewing, actor_of, policy_in_store
from gateway.admin.api.edited import Edited, Given, Hold, answer, edited
from gateway.admin.api.mistyped import group_warnings, user_warnings
from gateway.admin.api.moments import GivenMoment, epoch, surely_shown
from gateway.admin.api.problems import not_found
from gateway.changes import edits
from gateway.changes.apply import AppliedEdit
from gateway.changes.desk import Wanted
from gateway.domain.identity import canonical_login, device_named
from gateway.domain.policy import Exemption

router = APIRouter(tags=["exemptions"])


class ExemptionIn(BaseModel):
    """An exemption to be added: for a user, with or without a device, or for a group."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field("", max_length=300)
    device: str = Field("", max_length=100, description="ActiveSync DeviceId, in any of its spellings")
    group: str = Field("", max_length=200)
    reason: str = Field(min_length=1, max_length=edits.TEXT_LONGEST)
    starts_at: GivenMoment | None = None
    ends_at: GivenMoment


class ExemptionOut(BaseModel):
    """An exemption as it stands."""

    id: str
    user: str
    device: str
    group: str
    reason: str
    author: str
    starts_at: datetime
    ends_at: datetime
    in_force: bool


class ExemptionList(BaseModel):
    """All exemptions of the policy in force, the ended ones of the last month included."""

    policy_version: int
    exemptions: list[ExemptionOut]


class ExemptionAdded(Applied):
    """What became of it."""

    id: str


@router.get("/exemptions")
async def list_exemptions(deps: Deps, operator: Viewing) -> ExemptionList:
    """All exemptions."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    now = deps.now()
    return ExemptionList(
        policy_version=version.number, exemptions=[_exemption_out(each, now) for each in version.exemptions]
    )


@router.post("/exemptions", status_code=201)
async def add_exemption(
    given: ExemptionIn, deps: Deps, operator: Editing, hold: Hold = False
) -> ExemptionAdded | Edited:
    """Let somebody through for a time."""
    now = deps.now()
    exemption = Exemption(
        id=secrets.token_hex(4),
        author=operator.name,
        reason=given.reason.strip(),
        starts_at=now if given.starts_at is None else given.starts_at.timestamp(),
        ends_at=epoch(given.ends_at) or 0.0,
        login=canonical_login(given.user, deps.rules) if given.user else "",
        device_id=device_named(given.device) if given.device else "",
        group=given.group.strip(),
    )
    async with deps.store.read() as reading:
        warnings = await user_warnings(reading, exemption.login)
        warnings += await group_warnings(reading, [exemption.group] if exemption.group else [])
    done = await deps.editor.make(
        actor_of(operator), lambda version: edits.add_exemption(version, exemption, now), Wanted(), hold=hold
    )
    if isinstance(done, AppliedEdit):
        return ExemptionAdded(id=exemption.id, **applied(done, tuple(warnings)).model_dump())
    return await answer(deps, done, warnings)


@router.delete("/exemptions/{exemption_id}")
async def remove_exemption(exemption_id: str, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """End an exemption now."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    if all(each.id != exemption_id for each in version.exemptions):
        raise not_found(f"there is no exemption {exemption_id!r}: see the list of them")
    return await edited(
        deps, operator, lambda version: edits.remove_exemption(version, exemption_id), Given(), hold=hold
    )


def _exemption_out(exemption: Exemption, now: float) -> ExemptionOut:
    return ExemptionOut(
        id=exemption.id,
        user=exemption.login,
        device=exemption.device_id,
        group=exemption.group,
        reason=exemption.reason,
        author=exemption.author,
        starts_at=surely_shown(exemption.starts_at),
        ends_at=surely_shown(exemption.ends_at),
        in_force=exemption.starts_at <= now < exemption.ends_at,
    )
