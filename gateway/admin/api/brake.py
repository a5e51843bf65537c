"""The fleet brake: what is held, and an operator's word on it."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Viewing
from gateway.admin.api.moments import shown, surely_shown
from gateway.domain.brake import Hold, Name, Release, Trouble

router = APIRouter(tags=["brake"])


class HoldName(BaseModel):
    """Which hold."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=200)
    trouble: Trouble = Trouble.STALE
    ban: str = Field("", max_length=200, description="where the trouble is hits")

    def name(self) -> Name:
        """As the brake knows it."""
        return self.source, self.trouble, self.ban


class ConfirmIn(HoldName):
    """A hold that is to go on."""

    hours: float = Field(8.0, gt=0, le=168)


class HoldOut(BaseModel):
    """What one source does to very many devices, and what is done about it."""

    source: str
    trouble: Trouble
    ban: str
    holding: bool = Field(description="false: an alarm only; the denials count")
    devices: int = Field(description="held now; of hits and gaps: newly refused within ten minutes at its beginning")
    since: datetime
    confirmed_by: str
    confirmed_until: datetime | None


class ReleaseOut(BaseModel):
    """What an operator let go, and until when it is not held again."""

    source: str
    trouble: Trouble
    ban: str
    by: str
    until: datetime


class BrakeOut(BaseModel):
    """The brake."""

    at: datetime
    looked_until: datetime | None = Field(description="lists age no further than this; none: they age freely")
    standing_still: bool = Field(description="nobody has looked ahead lately, so no list ages")
    holds: list[HoldOut]
    releases: list[ReleaseOut]


@router.get("/brake")
async def show_brake(deps: Deps, operator: Viewing) -> BrakeOut:
    """What is held, alarmed of and let go."""
    now = deps.now()
    async with deps.store.read() as reading:
        brake = await reading.brake()
    return BrakeOut(
        at=surely_shown(now),
        looked_until=shown(brake.looked_until),
        standing_still=brake.looked_until is not None and brake.looked_until < now,
        holds=[hold_out(each, now) for each in brake.holds],
        releases=[_release_out(each) for each in brake.releases if now < each.until],
    )


@router.post("/brake/release")
async def release_brake(given: HoldName, deps: Deps, operator: Viewing) -> HoldOut:
    """Let go: what is held comes into force, and the same is not held again for a day."""
    return hold_out(await deps.brake.release(given.name(), operator.name), deps.now())


@router.post("/brake/confirm")
async def confirm_brake(given: ConfirmIn, deps: Deps, operator: Viewing) -> HoldOut:
    """Say that a hold was looked at and is to go on; told as an alarm again when the hours are over."""
    return hold_out(await deps.brake.confirm(given.name(), operator.name, given.hours), deps.now())


def hold_out(hold: Hold, now: float) -> HoldOut:
    """A hold for an answer."""
    confirmed = now < hold.confirmed_until
    return HoldOut(
        source=hold.source_id,
        trouble=hold.trouble,
        ban=hold.ban,
        holding=hold.holding,
        devices=hold.devices,
        since=surely_shown(hold.since),
        confirmed_by=hold.confirmed_by if confirmed else "",
        confirmed_until=shown(hold.confirmed_until) if confirmed else None,
    )


def _release_out(release: Release) -> ReleaseOut:
    return ReleaseOut(
        source=release.source_id,
        trouble=release.trouble,
        ban=release.ban,
        by=release.by,
        until=surely_shown(release.until),
    )
