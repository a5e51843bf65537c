"""Live numbers: policy, processes, store, and how many devices pass unjudged."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.admin.api.deps import Deps, Fleet, Viewing, policy_in_store
from gateway.admin.api.moments import surely_shown
from gateway.admin.notice_warnings import about_notices
from gateway.admin.unjudged import FleetCount, enforced_bans

router = APIRouter(tags=["status"])


class PolicyStatus(BaseModel):
    """The policy in the store."""

    number: int
    author: str
    created_at: datetime
    summary: str
    enforcement_on: bool
    bans: int
    enforced_bans: list[str] = Field(description="enforced for anybody at all")
    exemptions: int


class FleetStatus(BaseModel):
    """Known mail devices by what ActiveSync would answer them now."""

    devices: int = Field(description="looked at")
    complete: bool = Field(
        description="false: the fleet is larger than what was looked at; all counts are lower bounds"
    )
    clean: int
    dirty: int = Field(description="a banned app, not enforced")
    refused: int
    exempt: int
    unjudged: int = Field(description="let through although the evidence does not suffice to judge them")
    unjudged_by_cause: dict[str, int]


class Status(BaseModel):
    """How the gateway stands."""

    at: datetime
    ready: bool
    sequence: int = Field(description="of the change log")
    policy: PolicyStatus
    fleet: FleetStatus
    stored: dict[str, int]
    gateway: dict[str, Any] = Field(description="live figures of the processes")
    warnings: list[str]


@router.get("/status")
async def status(deps: Deps, fleet: Fleet, operator: Viewing) -> Status:
    """Live numbers."""
    now = deps.now()
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
        sequence, counts = await reading.sequence(), await reading.counts()
        told = await about_notices(reading, now)
    count = await fleet.count(version, now)
    enforced = enforced_bans(version)
    live: dict[str, Any] = {**deps.status()}
    ready, checks = deps.ready()
    of_processes: list[str] = live.pop("warnings", [])
    return Status(
        at=surely_shown(now),
        ready=ready,
        sequence=sequence,
        policy=PolicyStatus(
            number=version.number,
            author=version.author,
            created_at=surely_shown(version.created_at),
            summary=version.summary,
            enforcement_on=version.enforcement_on,
            bans=len(version.bans),
            enforced_bans=list(enforced),
            exemptions=sum(1 for each in version.exemptions if each.starts_at <= now < each.ends_at),
        ),
        fleet=FleetStatus(
            devices=count.devices,
            complete=count.complete,
            clean=count.clean,
            dirty=count.dirty,
            refused=count.refused,
            exempt=count.exempt,
            unjudged=count.unjudged,
            unjudged_by_cause=count.unjudged_by_cause,
        ),
        stored=counts,
        gateway=live,
        warnings=[
            *_warnings(version.enforcement_on, enforced, count),
            *(() if ready else _about_readiness(checks)),
            *of_processes,
            *told,
            *_about_workers(live),
        ],
    )


def _about_readiness(checks: Mapping[str, object]) -> list[str]:
    """What ``/readyz`` misses."""
    missing = [each["found"] for each in checks.values() if isinstance(each, Mapping) and not each.get("ok")]
    return [f"not ready: {'; '.join(map(str, missing)) or 'see /readyz'}"]


def _about_workers(live: dict[str, Any]) -> list[str]:
    """Of workers that do not follow."""
    found = []
    for row in live.get("workers", ()):
        if not row.get("alive"):
            found.append(f"{row['name']} does not run; it is being restarted")
        elif row.get("silent"):
            found.append(f"{row['name']} hangs: it has said nothing for {row.get('status_age', 0):.0f} s")
        elif row.get("state_lost"):
            found.append(
                f"{row['name']} has known nothing for {row.get('feed_age', 0):.0f} s and answers what "
                "gatepost flag list shows for --unavailable: see its log"
            )
        elif row.get("stale"):
            found.append(f"{row['name']} judges by what it knew {row.get('feed_age', 0):.0f} s ago: see its log")
        if row.get("clock_jumped"):
            found.append(f"the wall clock of {row['name']} jumped by {row['clock_jumped']:+.0f} s: set it right")
        found += [
            f"{row['name']} cannot reach the mail server {server}: see upstream_unavailable in the log"
            for server in _away(row)
        ]
    return found


def _away(row: Mapping[str, Any]) -> list[str]:
    """Mail servers that a worker cannot reach."""
    servers = (row.get("front") or {}).get("upstreams", ()) if row.get("alive") else ()
    return [str(server.get("url")) for server in servers if not server.get("healthy")]


def _warnings(enforcement_on: bool, enforced: tuple[str, ...], count: FleetCount) -> list[str]:
    found = []
    if not enforcement_on:
        found.append("enforcement is switched off globally: everybody has mail")
    if enforced and count.unjudged:
        several = len(enforced) > 1
        bans = f"bans {', '.join(enforced[:5])} are" if several else f"ban {enforced[0]} is"
        least = "" if count.complete else "at least "
        found.append(
            f"{bans} enforced, yet {least}{count.unjudged} of {count.devices} devices pass unjudged"
            f" ({', '.join(f'{name} {number}' for name, number in sorted(count.unjudged_by_cause.items()))})"
        )
    return found
