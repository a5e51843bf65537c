"""People and groups: who is known, and imports of memberships."""

from collections import Counter
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.deps import Deps, Editing, Viewing
from gateway.admin.api.problems import not_found
from gateway.admin.api.views import Reason, reason_given
from gateway.domain.identity import canonical_login
from gateway.inventory.people import PersonRow
from gateway.ports.store import Reading

log = structlog.get_logger()
router = APIRouter(tags=["people"])

PAGE = 1000
ROWS_AT_ONCE = 1000

Name = Annotated[str, Field(max_length=320)]


class PersonLine(BaseModel):
    """One person in one line."""

    user: str
    aliases: list[str]
    groups: list[str]
    origin: str = Field(description="`import`, or the source whose report named the person first")


class PersonList(BaseModel):
    """A page of people, ordered by user."""

    people: list[PersonLine]
    next_after: str | None = Field(description="give it as `after` for the next page; null at the end")


class GroupLine(BaseModel):
    """A group that somebody is in."""

    group: str
    members: int


class GroupList(BaseModel):
    """All groups, by name."""

    groups: list[GroupLine]
    people: int = Field(description="all people that are known")


class RowIn(BaseModel, extra="forbid"):
    """What an import says of one user; it replaces what was known of these fields. Null: it stays as it is."""

    user: Name
    groups: list[Name] | None = Field([], max_length=1000, description="left out: none")
    aliases: list[Name] | None = Field(None, max_length=100, description="left out: they stay as they are")
    address: Name | None = Field(None, description="where notices go to; empty: the user's login")
    language: str | None = Field(None, max_length=35)
    time_zone: str | None = Field(None, max_length=100)
    display_name: str | None = Field(None, max_length=200)


class ImportIn(BaseModel, extra="forbid"):
    """Rows of an import, applied all or none."""

    rows: list[RowIn] = Field(min_length=1, max_length=ROWS_AT_ONCE)
    dry_run: bool = Field(False, description="only count what would change")


class ImportOut(BaseModel):
    """What the rows did, or would do."""

    added: int
    changed: int
    unchanged: int
    users: list[str] = Field(description="everybody that the rows named, in canonical spelling")
    aliases: list[str] = Field(
        description="their other names, as the rows leave them; what is there twice, or among users too, has two owners"
    )
    newly_cut: int = Field(description="devices, by what the policy has for groups")
    newly_admitted: int
    may_cut: int | None = Field(
        description="devices that whoever asks may newly cut so alone, before this request; null: any number"
    )
    dry_run: bool


class ErasedOut(BaseModel):
    """What was erased of a person."""

    erased: dict[str, int] = Field(description="rows by what they were")
    kept: list[str] = Field(description="what names the person still, or may; in whole sentences")


@router.get("/people")
async def list_people(
    deps: Deps,
    operator: Viewing,
    after: Annotated[str, Query(max_length=400, description="next_after of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 200,
) -> PersonList:
    """People who are known, page by page."""
    async with deps.store.read() as reading:
        page = await reading.people(after, limit)
    lines = [
        PersonLine(user=each.person_id, aliases=list(each.aliases), groups=sorted(each.groups), origin=each.origin)
        for each in page
    ]
    return PersonList(people=lines, next_after=page[-1].person_id if len(page) == limit else None)


@router.get("/groups")
async def list_groups(deps: Deps, operator: Viewing) -> GroupList:
    """Groups with the number of their members."""
    async with deps.store.read() as reading:
        members, people = await _members(reading)
    lines = [GroupLine(group=name, members=number) for name, number in sorted(members.items())]
    return GroupList(groups=lines, people=people)


async def _members(reading: Reading) -> tuple[Counter[str], int]:
    members: Counter[str] = Counter()
    people, after = 0, ""
    while page := await reading.people(after, PAGE):
        people, after = people + len(page), page[-1].person_id
        for person in page:
            members.update(person.groups)
    return members, people


@router.post("/people/import")
async def import_people(given: ImportIn, deps: Deps, operator: Editing) -> ImportOut:
    """Set the groups (and aliases) of users; users that are not named stay as they are."""
    done = await deps.people.take([_row(row) for row in given.rows], operator.name, dry_run=given.dry_run)
    if not given.dry_run:
        log.info("people_imported", author=operator.name, added=done.added, changed=done.changed)
    return ImportOut(
        added=done.added,
        changed=done.changed,
        unchanged=done.unchanged,
        users=list(done.people),
        aliases=list(done.aliases),
        newly_cut=done.newly_cut,
        newly_admitted=done.newly_admitted,
        may_cut=done.may_cut,
        dry_run=given.dry_run,
    )


@router.delete("/people/{user}")
async def erase_person(
    user: str,
    deps: Deps,
    operator: Editing,
    reason: Reason = "",
    even_refused: Annotated[bool, Query(description="also where that lets somebody in who is refused now")] = False,
) -> ErasedOut:
    """Erase all that is known of a person; what comes later is taken as new.

    Refused where the person is refused and would not be any more. The reason should name nobody: the audit log has it.
    """
    why = reason_given(reason, "erasing a person cannot be taken back")
    login = canonical_login(user, deps.rules)
    erased = await deps.eraser.erase(login, operator.name, why, even_refused=even_refused)
    if erased is None:
        raise not_found(f"nothing is known of {login}: there is nothing to erase")
    return ErasedOut(erased=dict(erased.rows), kept=list(erased.kept))


def _row(given: RowIn) -> PersonRow:
    groups = None if given.groups is None else tuple(given.groups)
    aliases = None if given.aliases is None else tuple(given.aliases)
    return PersonRow(given.user, groups, aliases, given.address, given.language, given.time_zone, given.display_name)
