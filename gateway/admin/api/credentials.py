"""Device credentials: issue (shown once), list, revoke."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Editing, Viewing
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.problems import not_found
from gateway.domain.credential import credential_id as read_id
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login, device_named
from gateway.inventory.consequences import person_id_of
from gateway.inventory.credentials import Wanted
from gateway.ports.store import IssuedCredential

log = structlog.get_logger()
router = APIRouter(tags=["credentials"])


class CredentialIn(BaseModel):
    """A credential to be issued: for a mail device, or for an inventory device of a source."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1, max_length=300)
    device: str = Field(default="", max_length=100, description="DeviceId of a mail device")
    source: str = Field(default="", max_length=200)
    source_device: str = Field(default="", max_length=400, description="the source's own key of the device")


class CredentialOut(BaseModel):
    """A credential, without its secret."""

    id: str
    user: str
    device: str = Field(description="the device it stands for: a DeviceId, or credential:ID")
    source: str
    source_device: str
    author: str
    issued_at: datetime
    revoked_at: datetime | None


class CredentialIssued(CredentialOut):
    """The only time that the secret is shown."""

    login: str = Field(description="the user name for the mail program; the password stays the user's own")


class CredentialList(BaseModel):
    """A page of credentials in order of their IDs, revoked ones included."""

    credentials: list[CredentialOut]
    next_after: str | None = Field(description="give it as `after` for the next page; null at the end")


@router.get("/credentials")
async def list_credentials(
    deps: Deps,
    operator: Viewing,
    user: Annotated[str, Query(max_length=300, description="only this user's, all on one page")] = "",
    after: Annotated[str, Query(max_length=100, description="next_after of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> CredentialList:
    """Credentials, of a user or page by page."""
    async with deps.store.read() as reading:
        if user:
            person_id = await person_id_of(reading, canonical_login(user, deps.rules))
            found = await reading.credentials_of_person(person_id)
        else:
            found = await reading.credentials(after, limit)
    more = not user and len(found) == limit
    return CredentialList(credentials=[_out(each) for each in found], next_after=found[-1].id if more else None)


@router.post("/credentials", status_code=201)
async def issue_credential(given: CredentialIn, deps: Deps, operator: Editing) -> CredentialIssued:
    """A new credential. What to write behind the user name is in this answer and nowhere else."""
    login = canonical_login(given.user, deps.rules)
    if bool(given.device) == bool(given.source) or bool(given.source) != bool(given.source_device):
        raise InvalidValue("name either a device, or a source and its source_device")
    device_id = device_named(given.device) if given.device else ""
    wanted = Wanted(login, device_id, given.source, given.source_device)
    issued = await deps.credentials.issue(wanted, operator.name, deps.now())
    log.info("credential_issued", **_named(issued.credential), author=operator.name)
    return CredentialIssued(login=login + issued.suffix, **_out(issued.credential).model_dump())


@router.delete("/credentials/{credential_id}")
async def revoke_credential(credential_id: str, deps: Deps, operator: Editing) -> CredentialOut:
    """End a credential, once and for all; its sessions end as soon as the workers hear of it."""
    ended = await deps.credentials.revoke(read_id(credential_id), deps.now(), operator.name)
    if ended is None:
        raise not_found(f"there is no credential {credential_id!r}: see the list of them")
    log.info("credential_revoked", **_named(ended), author=operator.name)
    return _out(ended)


def _named(credential: IssuedCredential) -> dict[str, str]:
    return {"credential": credential.id, "login": credential.person_id, "device": credential.device_id}


def _out(credential: IssuedCredential) -> CredentialOut:
    return CredentialOut(
        id=credential.id,
        user=credential.person_id,
        device=credential.device_id,
        source=credential.source_id,
        source_device=credential.source_device,
        author=credential.author,
        issued_at=surely_shown(credential.issued_at),
        revoked_at=shown(credential.revoked_at),
    )
