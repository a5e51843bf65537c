"""Bans: list, show, add, remove."""

import secrets
from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Editing, Viewing, policy_in_store
from gateway.admin.api.edited import Edited, Given, Hold, edited
from gateway.admin.api.flags import FlagRuleOut, rule_out
from gateway.admin.api.mistyped import group_warnings
from gateway.admin.api.moments import GivenMoment, epoch, shown
from gateway.admin.api.problems import not_found
from gateway.changes import edits
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.matching import matcher_from_text, warnings_for
from gateway.domain.notice import Tell

router = APIRouter(tags=["bans"])


class MatcherModel(BaseModel):
    """What recognises an app; ``id`` values may end with ``.*`` for everything below a dot."""

    model_config = ConfigDict(extra="forbid")

    kind: MatcherKind = MatcherKind.ID
    value: str = Field(max_length=600, examples=["com.zhiliaoapp.musically", "com.example.*"])
    platform: Platform | None = None
    publisher: str = Field("", max_length=200, description="glob, for kind name")
    below_version: str = Field("", max_length=100, description="only versions below this one")


class BanIn(Given):
    """A ban to be added."""

    name: str = Field(max_length=200)
    matchers: list[MatcherModel] = Field(min_length=1, max_length=edits.MOST_MATCHERS)
    exceptions: list[MatcherModel] = Field([], max_length=edits.MOST_MATCHERS)
    flag: Flag = Flag.REPORT_ONLY
    groups: list[str] = Field([], max_length=1000, description="only for members of one of these; empty: everybody")
    starts_at: GivenMoment | None = None
    ends_at: GivenMoment | None = None
    text: str = Field("", max_length=edits.TEXT_LONGEST, description="for people who are refused: why, what to do")
    tell: Tell | None = Field(None, description="how people are told whom it newly cuts; null: as the settings say")


class BanOut(BaseModel):
    """A ban as it stands."""

    name: str
    flag: Flag
    rules: list[FlagRuleOut]
    matchers: list[MatcherModel]
    exceptions: list[MatcherModel]
    groups: list[str]
    starts_at: datetime | None
    ends_at: datetime | None
    text: str
    warnings: list[str]


class BanList(BaseModel):
    """All bans of the policy in force."""

    policy_version: int
    bans: list[BanOut]


@router.get("/bans")
async def list_bans(deps: Deps, operator: Viewing) -> BanList:
    """All bans."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    return BanList(policy_version=version.number, bans=[ban_out(ban) for ban in version.bans])


@router.get("/bans/{name}")
async def show_ban(name: str, deps: Deps, operator: Viewing) -> BanOut:
    """One ban."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    try:
        return ban_out(edits.find_ban(version, name))
    except InvalidValue as error:
        raise not_found(str(error)) from None


@router.post("/bans", status_code=201)
async def add_ban(given: BanIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Add a ban. One that would also catch mail clients, management agents or the system itself is refused."""
    ban = Ban(
        name=given.name.strip(),
        matchers=tuple(_matcher(each) for each in given.matchers),
        exceptions=tuple(_matcher(each) for each in given.exceptions),
        flag=given.flag,
        groups=frozenset(given.groups),
        starts_at=epoch(given.starts_at),
        ends_at=epoch(given.ends_at),
        seed=secrets.randbits(63),
        text=given.text,
    )
    async with deps.store.read() as reading:
        of_stages = {stage.group.strip() for stage in given.rollout.stages} - {""}
        warnings = await group_warnings(reading, sorted(ban.groups | of_stages))
    warnings = [*warnings_for(ban), *warnings]
    return await edited(
        deps,
        operator,
        lambda version: edits.add_ban(version, ban),
        given,
        hold=hold,
        warnings=warnings,
        tell=given.tell,
    )


@router.delete("/bans/{name}")
async def remove_ban(name: str, deps: Deps, operator: Editing, note: str = "", hold: Hold = False) -> Edited:
    """Remove a ban."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    try:
        edits.find_ban(version, name)
    except InvalidValue as error:
        raise not_found(str(error)) from None
    given = Given(note=note[:200])
    return await edited(deps, operator, lambda version: edits.remove_ban(version, name), given, hold=hold)


def _matcher(given: MatcherModel) -> Matcher:
    written = given.value
    by_id = given.kind in (MatcherKind.ID, MatcherKind.ID_PREFIX)
    if by_id and given.platform is not None and not written.startswith(f"{given.platform}:"):
        written = f"{given.platform}:{written}"
    if given.kind is MatcherKind.ID_PREFIX and not written.endswith(".*"):
        written += ".*"
    matcher = matcher_from_text(MatcherKind.ID if by_id else given.kind, written)
    if given.publisher and given.kind is not MatcherKind.NAME:
        raise InvalidValue("a publisher goes with a matcher of kind name only")
    return replace(
        matcher,
        platform=matcher.platform or given.platform,
        publisher=given.publisher.strip(),
        below_version=given.below_version.strip(),
    )


def _matcher_out(matcher: Matcher) -> MatcherModel:
    star = ".*" if matcher.kind is MatcherKind.ID_PREFIX else ""
    return MatcherModel(
        kind=matcher.kind,
        value=matcher.value + star,
        platform=matcher.platform,
        publisher=matcher.publisher,
        below_version=matcher.below_version,
    )


def ban_out(ban: Ban) -> BanOut:
    """A ban for an answer."""
    return BanOut(
        name=ban.name,
        flag=ban.flag,
        rules=[rule_out(rule) for rule in ban.rules],
        matchers=[_matcher_out(each) for each in ban.matchers],
        exceptions=[_matcher_out(each) for each in ban.exceptions],
        groups=sorted(ban.groups),
        starts_at=shown(ban.starts_at),
        ends_at=shown(ban.ends_at),
        text=ban.text,
        warnings=list(warnings_for(ban)),
    )
