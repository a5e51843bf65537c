"""Operators' tokens: create (shown once), list, revoke.

Everybody makes and ends own ones. A token in the name of somebody who may edit or approve is a guarded action: by it
its author could be two people. It is shown to the author and of no use before a second person has approved it.
"""

from datetime import datetime

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin import guarded
from gateway.admin.api.actions import see_that_may
from gateway.admin.api.deps import Deps, Viewing
from gateway.admin.api.moments import GivenMoment, epoch, shown, surely_shown
from gateway.admin.api.operators import propose
from gateway.admin.api.problems import Refused, not_found
from gateway.admin.auth import REACH_VIEWER, Operator, new_token, revoked, roles_reached, token_revoked, usable
from gateway.admin.operators import known_operators, operator_behind, operator_named, who_can
from gateway.domain.operator import (
    EDITORS_OF_OLD,
    Action,
    NamedOperator,
    Role,
    name_key,
    name_of,
    same_name,
)
from gateway.ports.store import Conflict, OperatorToken, Writing

log = structlog.get_logger()
router = APIRouter(tags=["tokens"])


class TokenIn(BaseModel):
    """A token to be created."""

    model_config = ConfigDict(extra="forbid")

    operator: str = Field(min_length=1, max_length=100, description="the person it belongs to")
    role: Role | None = Field(
        None,
        description="viewer: it only looks; else it reaches as far as the operator's roles. For a name that is no "
        "operator yet: the role to make one with; without: editor, approver and operator",
    )
    expires_at: GivenMoment | None = None


class TokenOut(BaseModel):
    """A token, without itself."""

    id: str
    operator: str
    role: Role = Field(description="viewer: it only looks")
    roles: list[Role] = Field(description="what it reaches")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    usable: bool


class TokenCreated(TokenOut):
    """The only time that the token itself is shown."""

    token: str
    change: int | None = Field(None, description="the change that a second person has to approve before it is of use")
    sentence: str = ""


class TokenList(BaseModel):
    """All tokens, revoked ones included, newest first."""

    tokens: list[TokenOut]


@router.get("/tokens")
async def list_tokens(deps: Deps, operator: Viewing) -> TokenList:
    """All tokens."""
    now = deps.now()
    async with deps.store.read() as reading:
        tokens = await reading.tokens()
        operators = {name_key(each.name): each for each in await known_operators(reading)}
    return TokenList(tokens=[_token_out(token, operators[name_key(token.operator)], now) for token in tokens])


@router.post("/tokens", status_code=201)
async def create_token(given: TokenIn, deps: Deps, operator: Viewing, response: Response) -> TokenCreated:
    """A new token for a named operator. It is shown in this answer and never again; 202: of no use until approved."""
    now = deps.now()
    async with deps.store.read() as reading:
        known = await operator_named(reading, given.operator)
    known = known if known and known.present else None
    own = known is not None and same_name(known.name, operator.name)
    if not own:
        see_that_may(operator, Action.SET_OPERATORS)
    owner = known or _owner(given, operator.name, now)
    role = given.role or (Role.EDITOR if Role.EDITOR in owner.roles else Role.OPERATOR)
    if known is not None and role is not Role.VIEWER:
        role = Role.EDITOR if Role.EDITOR in owner.roles else Role.OPERATOR
    if own and role is not Role.VIEWER and not owner.roles <= operator.roles:
        # Else whoever was given one that only looks would make one that does everything.
        sentence = f"this token of {owner.name} only looks: make the other one with a token that does more"
        raise Refused(403, "not_allowed", sentence)
    text, token = new_token(owner.name, role, now, epoch(given.expires_at), operator.name)
    action = guarded.action_for(token, None if known else owner)
    change, sentence = None, ""
    if own or (known is not None and not _powerful(token, owner)):
        await deps.guarded.at_once(deps.store, action, operator.name, lambda writing: _still(writing, token, operator))
    elif not await deps.guarded.alone(deps.store, action, operator.name):
        change, sentence = await propose(deps, operator, action, f"a token for {owner.name}")
        response.status_code = 202
    else:
        sentence = "made without a second person: there was nobody else who may approve"
    log.info("token_created", token_id=token.id, operator=token.operator, role=token.role, author=operator.name)
    shown_now = _token_out(token, owner, now).model_dump()
    if change is not None:
        shown_now["usable"] = False
    return TokenCreated(token=text, change=change, sentence=sentence, **shown_now)


def _owner(given: TokenIn, author: str, now: float) -> NamedOperator:
    roles = EDITORS_OF_OLD if given.role in (None, Role.EDITOR) else frozenset({given.role})
    return NamedOperator(name_of(given.operator), roles, (), False, now, author)


async def _still(writing: Writing, token: OperatorToken, asking: Operator) -> None:
    """Raises ``Conflict`` where the token takes a second person by now, or who asks for it was shut out.

    Roles that grow, and a revocation, end the tokens that are there: one that was asked for before comes after it.
    """
    owner = await guarded.present_operator(writing, token.operator)
    used = next((each for each in await writing.tokens() if each.id == asking.token_id), None)
    if used is None or used.revoked_at is not None:
        raise Conflict("the token that asks for another one was revoked meanwhile")
    own = same_name(owner.name, asking.name)
    still = owner.roles <= asking.roles if own else not guarded.powerful(owner.roles)
    if token.reach != REACH_VIEWER and not still:
        raise Conflict(f"the roles of {owner.name} were changed meanwhile: ask for the token again")


def _powerful(token: OperatorToken, owner: NamedOperator) -> bool:
    return guarded.powerful(roles_reached(token, owner))


@router.delete("/tokens/{token_id}")
async def revoke_token(token_id: str, deps: Deps, operator: Viewing) -> TokenOut:
    """Revoke a token, one's own or anybody's; the last one by which operators can be made stays."""
    now = deps.now()

    async def work(writing: Writing) -> tuple[OperatorToken, NamedOperator]:
        token = next((each for each in await writing.tokens() if each.id == token_id), None)
        if token is None:
            raise not_found(f"there is no token {token_id!r}: see the list of them")
        owner = await operator_behind(writing, token)
        own = same_name(token.operator, operator.name) and owner.roles <= operator.roles
        if not own and token.id != operator.token_id:
            see_that_may(operator, Action.REVOKE_TOKENS)
        if not await who_can(writing, Action.SET_OPERATORS, now, without=token_id):
            raise Refused(409, "last_token", "this is the last usable token of an editor: create another one first")
        ended = revoked(token, now)
        await writing.put_token(ended)
        await writing.log_audit(token_revoked(ended, operator.name))
        return ended, owner

    (ended, owner), _ = await deps.store.write(work)
    log.info("token_revoked", token_id=token_id, operator=ended.operator, author=operator.name)
    return _token_out(ended, owner, now)


def _token_out(token: OperatorToken, owner: NamedOperator, now: float) -> TokenOut:
    roles = roles_reached(token, owner)
    return TokenOut(
        id=token.id,
        operator=token.operator,
        role=Role.EDITOR if Role.EDITOR in roles else next(iter(sorted(roles)), Role.VIEWER),
        roles=sorted(roles),
        created_at=surely_shown(token.created_at),
        expires_at=shown(token.expires_at),
        revoked_at=shown(token.revoked_at),
        usable=usable(token, now) and owner.present,
    )
