"""Operators: named people with roles. Making one, giving a role and losing an approver take a second person.

While nobody else could approve, the author does it alone: else nobody could ever begin. Answer and audit log say so.
"""

from datetime import datetime

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin import guarded
from gateway.admin.api.deps import ApiDeps, Deps, Editing, Viewing, actor_of
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.admin.auth import Operator
from gateway.admin.operators import known_operators, operator_named
from gateway.changes.desk import Wanted
from gateway.domain.change import GuardedAction
from gateway.domain.identity import canonical_login
from gateway.domain.operator import LOGINS_AT_MOST, NAME_LONGEST, Action, NamedOperator, Role, may
from gateway.ports.store import Writing

log = structlog.get_logger()
router = APIRouter(tags=["operators"])


class OperatorIn(BaseModel):
    """An operator to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LONGEST)
    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    logins: list[str] = Field([], max_length=LOGINS_AT_MOST, description="the person's own mail logins")
    note: str = Field("", max_length=2_000)


class RolesIn(BaseModel):
    """All roles that an operator has from now on."""

    model_config = ConfigDict(extra="forbid")

    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    note: str = Field("", max_length=2_000)


class OperatorOut(BaseModel):
    """An operator."""

    name: str
    roles: list[Role]
    logins: list[str]
    first_start: bool = Field(description="by the first start: approves only while there is nobody else")
    created_at: datetime
    created_by: str
    removed_at: datetime | None


class OperatorDone(BaseModel):
    """What came of it."""

    operator: OperatorOut | None = Field(description="as it is now; null: not made yet")
    change: int | None = Field(description="the change that waits for a second person; null: it is done")
    alone: bool = Field(description="done without a second person, since there was nobody else who may approve")
    sentence: str


class OperatorList(BaseModel):
    """Operators by name."""

    operators: list[OperatorOut]


@router.get("/operators")
async def list_operators(deps: Deps, operator: Viewing) -> OperatorList:
    """All operators that are not removed."""
    async with deps.store.read() as reading:
        known = await known_operators(reading)
    return OperatorList(operators=[operator_out(each) for each in known if each.present])


@router.get("/operators/{name}")
async def show_operator(name: str, deps: Deps, operator: Viewing) -> OperatorOut:
    """One operator, a removed one, too."""
    return operator_out(await _named(deps, name))


@router.post("/operators", status_code=201)
async def add_operator(given: OperatorIn, deps: Deps, operator: Editing, response: Response) -> OperatorDone:
    """Make an operator; 202 where a second person has to approve."""
    logins = " ".join(canonical_login(each, deps.rules) for each in given.logins)
    values = {"name": given.name, "roles": " ".join(given.roles), "logins": logins}
    wanted = guarded.wanted_operator(values, deps.now(), operator.name)

    async def free(writing: Writing) -> None:
        await guarded.see_that_free(writing, wanted.name)

    await deps.store.write(free)
    title = f"make {wanted.name} an operator: {', '.join(sorted(wanted.roles))}"
    return await _guarded(deps, operator, GuardedAction(guarded.ADD_OPERATOR, values), title, given.note, response)


@router.put("/operators/{name}/roles")
async def set_roles(name: str, given: RolesIn, deps: Deps, operator: Editing, response: Response) -> OperatorDone:
    """Say all roles of an operator. One more takes a second person (202), and so does an approver less."""
    present = await _named(deps, name)
    wanted = frozenset(given.roles)
    were = " ".join(sorted(present.roles))
    action = GuardedAction(guarded.SET_ROLES, {"name": present.name, "roles": " ".join(sorted(wanted)), "were": were})
    if wanted <= present.roles and may(wanted, Action.APPROVE) == may(present.roles, Action.APPROVE):
        return await _at_once(deps, operator, action)
    title = f"roles of {present.name}: {', '.join(sorted(wanted))} (were {', '.join(sorted(present.roles))})"
    return await _guarded(deps, operator, action, title, given.note, response)


@router.delete("/operators/{name}")
async def remove_operator(name: str, deps: Deps, operator: Editing, response: Response) -> OperatorDone:
    """Remove an operator and revoke the person's tokens. For an approver it takes a second person (202)."""
    present = await _named(deps, name)
    action = GuardedAction(guarded.REMOVE_OPERATOR, {"name": present.name})
    if not may(present.roles, Action.APPROVE):
        return await _at_once(deps, operator, action, lambda writing: guarded.see_that_no_approver(writing, name))
    return await _guarded(deps, operator, action, f"remove the operator {present.name}", "", response)


async def _at_once(
    deps: ApiDeps, operator: Operator, action: GuardedAction, still: guarded.Still | None = None
) -> OperatorDone:
    await deps.guarded.at_once(deps.store, action, operator.name, still)
    return await _done(deps, operator, action, alone=False)


async def _guarded(
    deps: ApiDeps, operator: Operator, action: GuardedAction, title: str, note: str, response: Response
) -> OperatorDone:
    if await deps.guarded.alone(deps.store, action, operator.name):
        return await _done(deps, operator, action, alone=True)
    number, sentence = await propose(deps, operator, action, title, note)
    response.status_code = 202
    return OperatorDone(operator=None, change=number, alone=False, sentence=sentence)


async def propose(
    deps: ApiDeps, operator: Operator, action: GuardedAction, title: str, note: str = ""
) -> tuple[int, str]:
    """A change of the action, previewed and ready for a second person; its number, and what to do with it."""
    change = await deps.editor.ready(actor_of(operator), action, Wanted(title=title, note=note))
    number = change.number
    log.info("action_proposed", change=number, action=action.kind, author=operator.name)
    return number, (
        f"not done yet: change {number} ({title}) needs the approval of a second person, not {operator.name}: "
        f"gatepost approve {number}, then gatepost apply {number}"
    )


async def _done(deps: ApiDeps, operator: Operator, action: GuardedAction, *, alone: bool) -> OperatorDone:
    async with deps.store.read() as reading:
        known = await operator_named(reading, action.values["name"])
    words = ", done without a second person: there was nobody else who may approve" if alone else ""
    log.info("operator_changed", action=action.kind, operator=action.values["name"], author=operator.name, alone=alone)
    out = operator_out(known) if known else None
    name = known.name if known else action.values["name"]
    what = "removed" if known is None or not known.present else f"{', '.join(sorted(known.roles))}"
    return OperatorDone(operator=out, change=None, alone=alone, sentence=f"operator {name}: {what}{words}")


async def _named(deps: ApiDeps, name: str) -> NamedOperator:
    async with deps.store.read() as reading:
        known = await operator_named(reading, name)
    if known is None:
        raise not_found(f"there is no operator {name!r}: see the list of them")
    return known


def operator_out(operator: NamedOperator) -> OperatorOut:
    """As the API shows one."""
    return OperatorOut(
        name=operator.name,
        roles=sorted(operator.roles),
        logins=list(operator.logins),
        first_start=operator.first_start,
        created_at=surely_shown(operator.created_at),
        created_by=operator.created_by,
        removed_at=shown(operator.removed_at),
    )
