"""What the API is given, and how its routes get at it. The API builds nothing itself and binds no socket."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from gateway.admin.api.gate import BodyLimits
from gateway.admin.api.problems import Refused
from gateway.admin.api.readings import Readings
from gateway.admin.auth import Operator
from gateway.admin.bold_bindings import Forgetter
from gateway.admin.guarded import Performers
from gateway.admin.unjudged import FleetCounter
from gateway.changes.applying import Applier
from gateway.changes.desk import Actor, ChangeDesk
from gateway.changes.fleet_brake import FleetBrake
from gateway.changes.impact.verifying import Verified
from gateway.changes.newly_cut import Names
from gateway.changes.short_form import ShortForm
from gateway.changes.telling import Telling
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import IdentityRules
from gateway.domain.operator import Action
from gateway.domain.policy import Policy, PolicyVersion
from gateway.domain.shown import Demands
from gateway.inventory.bindings import Bindings
from gateway.inventory.credentials import Credentials
from gateway.inventory.erasing import Eraser
from gateway.inventory.people import People
from gateway.notices.desk import NoticeDesk
from gateway.ports.past import EvidenceReading
from gateway.ports.store import Change, Reading, Store


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Everything the API needs from the rest of the control process."""

    store: Store
    desk: ChangeDesk
    applier: Applier
    editor: ShortForm
    guarded: Performers
    ingest: Forgetter
    people: People
    bindings: Bindings
    credentials: Credentials
    eraser: Eraser
    rules: IdentityRules
    publish: Callable[[Sequence[Change]], Awaitable[None]]
    brake: FleetBrake
    verify: Callable[[Policy, int], Awaitable[Verified]]
    """Hold the impact index against the decision, for so many people at random."""
    load_record: Callable[[EvidenceReading, str], Awaitable[PersonRecord]]
    """``inventory.records.load_record`` with the rules filled in."""
    status: Callable[[], dict[str, object]]
    """Live figures of the processes, fit for JSON."""
    metrics: Callable[[], str]
    """Prometheus text format."""
    alive: Callable[[], tuple[bool, dict[str, object]]]
    """False: a restart would help; and what was looked at."""
    ready: Callable[[], tuple[bool, dict[str, object]]]
    """Whether mail can be judged and forwarded, and what was looked at."""
    now: Callable[[], float] = time.time
    demands: Demands = field(default_factory=dict)
    """What logins must bring beside the password, by protocol."""
    notices: NoticeDesk | None = None
    """None: nobody is told anything by mail."""
    telling: Telling = field(default_factory=Telling)
    """How people are told of a change by itself."""
    names: Names | None = None
    """Knows whom a preview cuts."""
    audit_readings: Readings = field(default_factory=Readings)
    limits: BodyLimits = field(default_factory=BodyLimits)
    count_refused: Callable[[str], None] = lambda reason: None


async def _deps(request: Request) -> ApiDeps:
    deps: ApiDeps = request.app.state.deps
    return deps


async def _fleet(request: Request) -> FleetCounter:
    fleet: FleetCounter = request.app.state.fleet
    return fleet


async def _viewer(request: Request) -> Operator:
    operator: Operator = request.state.operator
    return operator


def actor_of(operator: Operator) -> Actor:
    """The operator as changes know one."""
    may_approve, may_edit = operator.may(Action.APPROVE), operator.may(Action.EDIT_POLICY)
    return Actor(operator.name, operator.token_id, may_approve, may_edit, operator.first_start)


Deps = Annotated[ApiDeps, Depends(_deps)]
Fleet = Annotated[FleetCounter, Depends(_fleet)]
Viewing = Annotated[Operator, Depends(_viewer)]
Editing = Annotated[Operator, Depends(_viewer)]
"""The same: what a route takes stands in ``actions``."""


async def policy_in_store(reading: Reading) -> PolicyVersion:
    """The newest policy version; 503 before the first start has made one."""
    version = await reading.policy()
    if version is None:
        raise Refused(503, "no_policy", "there is no policy yet: the gateway is still starting", {"Retry-After": "2"})
    return version
