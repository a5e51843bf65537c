"""Whether the index that previews are computed from says what the decision says."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.deps import Deps, Viewing, policy_in_store
from gateway.domain.access import Protocol
from gateway.domain.policy import policy_of

router = APIRouter(tags=["changes"])


class DifferenceOut(BaseModel):
    """Where the index and the decision disagree: a defect, to be reported."""

    person: str
    device: str = Field(description="empty: all devices of the person")
    protocol: Protocol
    index_refuses: bool
    decision_refuses: bool


class VerifiedOut(BaseModel):
    """What became of a random sample of people."""

    people: int
    decisions: int
    changed: int = Field(description="people left out because they changed meanwhile")
    different: int
    differences: list[DifferenceOut] = Field(description="the first ones")


@router.get("/impact/verify")
async def verify_impact(
    deps: Deps, operator: Viewing, sample: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> VerifiedOut:
    """Hold the impact index against the decision itself, for people chosen at random, by every device and protocol."""
    async with deps.store.read() as reading:
        policy = policy_of(await policy_in_store(reading))
    found = await deps.verify(policy, sample)
    return VerifiedOut(
        people=found.people,
        decisions=found.decisions,
        changed=found.changed,
        different=found.different,
        differences=[
            DifferenceOut(
                person=each.person_id,
                device=each.device_id,
                protocol=each.protocol,
                index_refuses=each.index_refuses,
                decision_refuses=each.decide_refuses,
            )
            for each in found.differences
        ],
    )
