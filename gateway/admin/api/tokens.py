"""Operators' tokens: create (shown once), list, revoke."""

from datetime import datetime

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Editing, Viewing
from gateway.admin.api.moments import GivenMoment, epoch, shown, surely_shown
from gateway.admin.api.problems import Refused, not_found
from gateway.admin.auth import Role, new_token, revoked, token_created, token_revoked, usable
from gateway.ports.store import OperatorToken, Writing

log = structlog.get_logger()
router = APIRouter(tags=["tokens"])


class TokenIn(BaseModel):
    """A token to be created."""

    model_config = ConfigDict(extra="forbid")

    operator: str = Field(min_length=1, max_length=100, description="the person it belongs to")
    role: Role = Role.EDITOR
    expires_at: GivenMoment | None = None


class TokenOut(BaseModel):
    """A token, without itself."""

    id: str
    operator: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    usable: bool


class TokenCreated(TokenOut):
    """The only time that the token itself is shown."""

    token: str


class TokenList(BaseModel):
    """All tokens, revoked ones included, newest first."""

    tokens: list[TokenOut]


@router.get("/tokens")
async def list_tokens(deps: Deps, operator: Viewing) -> TokenList:
    """All tokens."""
    now = deps.now()
    async with deps.store.read() as reading:
        tokens = await reading.tokens()
    return TokenList(tokens=[_token_out(token, now) for token in tokens])


@router.post("/tokens", status_code=201)
async def create_token(given: TokenIn, deps: Deps, operator: Editing) -> TokenCreated:
    """A new token for a named operator. It is shown in this answer and never again."""
    now = deps.now()
    text, token = new_token(given.operator, given.role, now, epoch(given.expires_at))

    async def work(writing: Writing) -> None:
        await writing.put_token(token)
        await writing.log_audit(token_created(token, operator.name))

    await deps.store.write(work)
    log.info("token_created", token_id=token.id, operator=token.operator, role=token.role, author=operator.name)
    return TokenCreated(token=text, **_token_out(token, now).model_dump())


@router.delete("/tokens/{token_id}")
async def revoke_token(token_id: str, deps: Deps, operator: Editing) -> TokenOut:
    """Revoke a token; the last usable one of an editor stays."""
    now = deps.now()

    async def work(writing: Writing) -> OperatorToken:
        tokens = await writing.tokens()
        token = next((each for each in tokens if each.id == token_id), None)
        if token is None:
            raise not_found(f"there is no token {token_id!r}: see the list of them")
        others = [t for t in tokens if t.id != token_id and t.role == Role.EDITOR and usable(t, now)]
        if not others:
            raise Refused(409, "last_token", "this is the last usable token of an editor: create another one first")
        ended = revoked(token, now)
        await writing.put_token(ended)
        await writing.log_audit(token_revoked(ended, operator.name))
        return ended

    ended, _ = await deps.store.write(work)
    log.info("token_revoked", token_id=token_id, operator=ended.operator, author=operator.name)
    return _token_out(ended, now)


def _token_out(token: OperatorToken, now: float) -> TokenOut:
    return TokenOut(
        id=token.id,
        operator=token.operator,
        role=Role(token.role),
        created_at=surely_shown(token.created_at),
        expires_at=shown(token.expires_at),
        revoked_at=shown(token.revoked_at),
        usable=usable(token, now),
    )
