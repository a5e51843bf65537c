"""Sources: systems that report app inventories, each with its device set, widest scope and secrets."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Editing, Viewing
from gateway.admin.api.devices import ActionWaits
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.operators import propose
from gateway.admin.api.problems import Refused, not_found
from gateway.admin.operators import other_approvers
from gateway.admin.wide_sources import action_for, is_wide, put_added, removal_of, remove_with_evidence, source_told
from gateway.domain.audit import AuditKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Scope
from gateway.inventory.sources.push.secrets import PUBLIC, key_of, new_secret
from gateway.ports.store import Source, Writing

log = structlog.get_logger()
router = APIRouter(tags=["sources"])

SECRETS_AT_MOST = 4
DAY_SECONDS = 86400.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class SourceKind(StrEnum):
    """How a source reports."""

    PUSH = "push"


class SourceIn(BaseModel):
    """A source to be added."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    kind: SourceKind = SourceKind.PUSH
    devices: str = Field("*", min_length=1, max_length=200, description="glob over its device keys it may report for")
    scope: Scope = Field(Scope.DEVICE, description="the widest it may claim")
    max_age_seconds: float = Field(DAY_SECONDS, gt=0, le=366 * DAY_SECONDS, description="then its list is stale")
    user: str = Field("", max_length=200, description="glob over the users it may name; empty: any")
    public_key: str = Field("", max_length=200, description="whpk_…: it signs by ed25519; empty: a secret is made")


class RotationIn(BaseModel):
    """A step of a rotation: a further secret, or the end of the older ones."""

    model_config = ConfigDict(extra="forbid")

    finish: bool = Field(False, description="make no new secret; accept the newest only from now on")
    public_key: str = Field("", max_length=200, description="whpk_…: the new key of a source that signs by ed25519")


class SourceOut(BaseModel):
    """A source, without its secrets."""

    name: str
    kind: str
    devices: str
    scope: Scope
    max_age_seconds: float
    user: str
    secrets: int = Field(description="how many are accepted now")
    created_at: datetime
    created_by: str
    removed_at: datetime | None


class SourceWithSecret(SourceOut):
    """The only time that a new secret is shown."""

    secret: str = Field(description="whsec_…, for Standard Webhooks signatures; empty with a public key")
    change: int | None = Field(None, description="the change that a second person has to approve; null: it is done")
    sentence: str = ""


class SourceList(BaseModel):
    """All sources."""

    sources: list[SourceOut]


@router.get("/sources")
async def list_sources(deps: Deps, operator: Viewing) -> SourceList:
    """All sources that are not removed."""
    async with deps.store.read() as reading:
        sources = await reading.sources()
    return SourceList(sources=[SourceOut.model_validate(_shown(source)) for source in sources])


@router.post("/sources", status_code=201)
async def add_source(given: SourceIn, deps: Deps, operator: Editing, response: Response) -> SourceWithSecret:
    """Add a source. Its secret is in this answer and nowhere else; 202: for any device, and to be approved first."""
    if not _NAME.match(given.name):
        raise InvalidValue("the name of a source has 1 to 64 letters, digits, dots, hyphens and underscores")
    secret = "" if given.public_key else new_secret()
    source = Source(
        name=given.name,
        kind=given.kind.value,
        devices=given.devices,
        max_scope=given.scope,
        max_age=given.max_age_seconds,
        secrets=(_public_key(given.public_key) or secret,),
        created_at=deps.now(),
        created_by=operator.name,
        user=given.user,
    )

    async def work(writing: Writing) -> Source | None:
        current = await writing.source(source.name)
        if current is not None and current.removed_at is None:
            raise Refused(409, "exists", f"source {source.name} exists already: rotate its secret, or remove it first")
        if current is not None and current.disbelieved:
            detail = f"source {source.name} was removed with its evidence, which would count again: choose another name"
            raise Refused(409, "exists", detail)
        if is_wide(source.devices) and await other_approvers(writing, operator.name):
            return None
        await put_added(writing, source, current)
        await writing.log_audit(source_told(AuditKind.SOURCE_ADDED, source, operator.name))
        return source

    added, changes = await deps.store.write(work)
    await deps.publish(changes)
    if added is None:
        title = f"add the source {source.name} for devices {source.devices}"
        change, sentence = await propose(deps, operator, action_for(source), title)
        response.status_code = 202
        waiting = {**_shown(replace(source, secrets=())), "secret": "", "change": change, "sentence": sentence}
        return SourceWithSecret.model_validate(waiting)
    log.info("source_added", source=source.name, author=operator.name)
    return SourceWithSecret.model_validate({**_shown(source), "secret": secret})


@router.post("/sources/{name}/rotate")
async def rotate_source(name: str, given: RotationIn, deps: Deps, operator: Editing) -> SourceWithSecret:
    """Make a further secret; the older ones are accepted until the rotation is finished."""
    secret = "" if given.finish or given.public_key else new_secret()
    fresh = _public_key(given.public_key) or secret

    async def work(writing: Writing) -> Source:
        source = await _present(writing, name)
        secrets = source.secrets[:1] if given.finish else (fresh, *source.secrets)
        if len(secrets) > SECRETS_AT_MOST:
            raise Refused(409, "too_many_secrets", f"{name} has {SECRETS_AT_MOST} secrets: finish its rotation first")
        rotated = replace(source, secrets=secrets)
        await writing.put_source(rotated)
        entry = source_told(AuditKind.SOURCE_ROTATED, rotated, operator.name, finished=given.finish)
        await writing.log_audit(entry)
        return rotated

    rotated = await _write(deps, work)
    log.info("source_rotated", source=name, author=operator.name, finished=given.finish)
    return SourceWithSecret.model_validate({**_shown(rotated), "secret": secret})


@router.delete("/sources/{name}")
async def remove_source(
    name: str,
    deps: Deps,
    operator: Editing,
    response: Response,
    with_evidence: Annotated[bool, Query(description="what it said, hits included, counts no more")] = False,
) -> SourceOut | ActionWaits:
    """Remove a source: its reports are refused from now on, what it reported stays.

    With evidence what it reported counts no more: that may free or cut everybody of whom it has spoken, and takes two
    people (202).
    """

    async def work(writing: Writing) -> Source | None:
        if not with_evidence:
            removed = replace(await _present(writing, name), removed_at=deps.now(), secrets=())
            await _put(writing, removed)
            entry = source_told(AuditKind.SOURCE_REMOVED, removed, operator.name, with_evidence=False)
            await writing.log_audit(entry)
            return removed
        source = await writing.source(name)
        if source is None or source.disbelieved:
            raise _unknown(name)
        if await other_approvers(writing, operator.name):
            return None
        return await remove_with_evidence(writing, name, operator.name, deps.now(), alone=True)

    removed, changes = await deps.store.write(work)
    await deps.publish(changes)
    if removed is None:
        number, sentence = await propose(
            deps, operator, removal_of(name), f"remove the source {name} with all that it has said"
        )
        response.status_code = 202
        return ActionWaits(change=number, sentence=sentence)
    log.info("source_removed", source=name, author=operator.name, with_evidence=with_evidence)
    return SourceOut.model_validate(_shown(removed))


def _unknown(name: str) -> Refused:
    return not_found(f"there is no source {name!r}: see the list of them")


async def _present(writing: Writing, name: str) -> Source:
    source = await writing.source(name)
    if source is None or source.removed_at is not None:
        raise _unknown(name)
    return source


async def _put(writing: Writing, source: Source) -> None:
    await writing.put_source(source)
    # How long its evidence holds is part of every record that rests on it.
    writing.log_everybody()


async def _write(deps: Deps, work: Callable[[Writing], Awaitable[Source]]) -> Source:
    source, changes = await deps.store.write(work)
    await deps.publish(changes)
    return source


def _public_key(text: str) -> str:
    if text and key_of(text)[0] != PUBLIC:
        raise InvalidValue(f"a public key begins with {PUBLIC}: never send the private half")
    return text


def _shown(source: Source) -> dict[str, object]:
    return {
        "name": source.name,
        "kind": source.kind,
        "devices": source.devices,
        "scope": source.max_scope,
        "max_age_seconds": source.max_age,
        "user": source.user,
        "secrets": len(source.secrets),
        "created_at": surely_shown(source.created_at),
        "created_by": source.created_by,
        "removed_at": shown(source.removed_at),
    }
