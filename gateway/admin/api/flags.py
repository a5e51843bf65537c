"""Enforcement flags: of each ban, the global switch, and the settings for what cannot be known."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.admin.api.deps import Deps, Editing, Viewing, policy_in_store
from gateway.admin.api.edited import Edited, Given, Hold, edited
from gateway.admin.api.mistyped import group_warnings
from gateway.admin.api.problems import not_found
from gateway.changes import edits
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.notice import Tell
from gateway.domain.policy import OutlookMobile, PolicyVersion, Setting, Unavailable, UnknownSetting

router = APIRouter(tags=["flags"])


class FlagIn(Given):
    """A ban's flag: for everybody, or under the conditions that are given."""

    flag: Flag
    percent: float | None = Field(None, ge=0, le=100, description="share of the users, stable")
    group: str = Field("", max_length=200)
    protocol: Protocol | None = None
    tell: Tell | None = Field(None, description="how people are told whom it newly cuts; null: as the settings say")


class GlobalIn(Given):
    """The global switch."""

    on: bool


class UnknownIn(Given):
    """The setting of one kind of not knowing."""

    setting: Setting
    protocol: Protocol | None = None
    platform: Platform | None = None


class OutlookIn(Given):
    """The rule for Outlook mobile."""

    rule: OutlookMobile


class UnavailableIn(Given):
    """What to answer when the state cannot be read beyond its bound."""

    answer: Unavailable


class GraceIn(Given):
    """The grace of devices that were never seen before."""

    seconds: float = Field(ge=0)
    devices: int = Field(2, ge=0)


class FlagRuleOut(BaseModel):
    """An exception to a ban's own flag; newest first, the first that fits counts."""

    flag: Flag
    protocol: Protocol | None
    group: str
    percent: float | None


class BanFlagOut(BaseModel):
    """The flag of one ban."""

    name: str
    flag: Flag
    rules: list[FlagRuleOut]


class UnknownRuleOut(BaseModel):
    """An exception to the setting."""

    setting: Setting
    protocol: Protocol | None
    platform: Platform | None


class UnknownOut(BaseModel):
    """One kind of not knowing."""

    name: str
    setting: Setting
    rules: list[UnknownRuleOut]


class GraceOut(BaseModel):
    """The grace of new devices."""

    seconds: float
    devices: int


class FlagsOut(BaseModel):
    """Everything that can be turned."""

    policy_version: int
    enforcement_on: bool
    bans: list[BanFlagOut]
    unknowns: list[UnknownOut]
    outlook_mobile: OutlookMobile
    unavailable: Unavailable
    grace: GraceOut


@router.get("/flags")
async def list_flags(deps: Deps, operator: Viewing) -> FlagsOut:
    """Everything that can be turned, as it stands."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
    return FlagsOut(
        policy_version=version.number,
        enforcement_on=version.enforcement_on,
        bans=[BanFlagOut(name=ban.name, flag=ban.flag, rules=[rule_out(r) for r in ban.rules]) for ban in version.bans],
        unknowns=[_unknown_out(name, getattr(version.unknowns, name)) for name in edits.UNKNOWN_NAMES],
        outlook_mobile=version.outlook_mobile,
        unavailable=version.unavailable,
        grace=GraceOut(seconds=version.grace.seconds, devices=version.grace.devices),
    )


@router.put("/flags/bans/{name}")
async def set_flag(name: str, given: FlagIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Set a ban's flag. Without conditions it replaces everything that was said about the ban before."""
    async with deps.store.read() as reading:
        version = await policy_in_store(reading)
        try:
            edits.find_ban(version, name)
        except InvalidValue as error:
            raise not_found(str(error)) from None
        named = [given.group, *(stage.group for stage in given.rollout.stages)]
        warnings = await group_warnings(reading, [name.strip() for name in named if name.strip()])

    def edit(version: PolicyVersion) -> PolicyVersion:
        return edits.set_flag(
            version, name, given.flag, protocol=given.protocol, group=given.group, percent=given.percent
        )

    if given.flag is Flag.ENFORCE:
        warnings += _let_through(version)
    return await edited(deps, operator, edit, given, hold=hold, warnings=warnings, tell=given.tell)


@router.put("/flags/global")
async def set_global(given: GlobalIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Switch all enforcement on or off; exposure is not touched by it."""
    return await edited(deps, operator, lambda version: edits.set_global(version, given.on), given, hold=hold)


@router.put("/flags/unknowns/{name}")
async def set_unknown(name: str, given: UnknownIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Set what happens where the evidence does not suffice: missing, stale, scope, unmatched, conflict, …"""

    def edit(version: PolicyVersion) -> PolicyVersion:
        return edits.set_unknown(version, name, given.setting, protocol=given.protocol, platform=given.platform)

    return await edited(deps, operator, edit, given, hold=hold)


@router.put("/flags/outlook_mobile")
async def set_outlook_mobile(given: OutlookIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Set the rule for Outlook on phones, which comes from a cloud with one id for all phones of a user."""
    return await edited(deps, operator, lambda version: edits.set_outlook_mobile(version, given.rule), given, hold=hold)


@router.put("/flags/unavailable")
async def set_unavailable(given: UnavailableIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Set the answer for when the state cannot be read beyond its bound."""
    return await edited(deps, operator, lambda version: edits.set_unavailable(version, given.answer), given, hold=hold)


@router.put("/flags/grace")
async def set_grace(given: GraceIn, deps: Deps, operator: Editing, hold: Hold = False) -> Edited:
    """Set the grace of new devices."""
    return await edited(
        deps, operator, lambda version: edits.set_grace(version, given.seconds, given.devices), given, hold=hold
    )


def _let_through(version: PolicyVersion) -> list[str]:
    """Enforcing while unknowns pass is worth a word each time."""
    open_names = [
        name for name in ("missing", "unmatched") if getattr(version.unknowns, name).default is not Setting.DENY
    ]
    if not open_names:
        return []
    return [f"devices that nobody can judge still pass ({', '.join(open_names)} not set to deny): see gatepost status"]


def rule_out(rule: FlagRule) -> FlagRuleOut:
    """A rule for an answer."""
    return FlagRuleOut(flag=rule.flag, protocol=rule.protocol, group=rule.group, percent=rule.percent)


def _unknown_out(name: str, setting: UnknownSetting) -> UnknownOut:
    rules = [UnknownRuleOut(setting=r.setting, protocol=r.protocol, platform=r.platform) for r in setting.rules]
    return UnknownOut(name=name, setting=setting.default, rules=rules)
