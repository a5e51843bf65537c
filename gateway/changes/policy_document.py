"""The shape of a policy file: what ``gatepost plan FILE`` and ``POST /api/v1/changes`` take, and what an export writes.

Keys are named as the options of ``ban add``, ``flag set`` and ``exempt add``. What is not named is not touched: a field
that was not given is not in ``model_fields_set``. Lengths of time and moments are texts, as on the command line.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictBool, StrictInt

from gateway.changes import lengths
from gateway.changes.edits import MOST_BANS, MOST_EXEMPTIONS, MOST_MATCHERS, MOST_RULES
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.notice import Tell
from gateway.domain.policy import OutlookMobile, Setting, Unavailable
from gateway.domain.stages import MOST_STAGES

TEXT_LONGEST = 4_000
MOST_GROUPS = 1_000


def _moment(given: object) -> object:
    if given == "":
        return None
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given.strip())
        except ValueError:
            raise ValueError(f"{given!r} is no moment: write 2026-01-31T08:00+01:00") from None
    if isinstance(given, date) and not (isinstance(given, datetime) and given.tzinfo):
        # Whose midnight it is nobody knows: the file may be read on another machine.
        raise ValueError(f"{given} has no time zone: write it like 2026-01-31T08:00+01:00")
    if not isinstance(given, datetime):
        raise ValueError("a moment is a text: write it like 2026-01-31T08:00+01:00")
    return given


def _seconds(given: object) -> object:
    if not isinstance(given, str):
        raise ValueError('a length of time is a text: write "30m", "12h", "2d" or "1w"')
    try:
        return lengths.seconds_of(given)
    except InvalidValue as error:
        raise ValueError(str(error)) from None


def _listed(given: object) -> object:
    return [given] if isinstance(given, (str, dict)) else given


def _matchers(given: object) -> object:
    given = _listed(given)
    return [{"value": each} if isinstance(each, str) else each for each in given] if isinstance(given, list) else given


def _setting(given: object) -> object:
    return {"setting": given} if isinstance(given, str) else given


Text = Annotated[str, Field(max_length=TEXT_LONGEST)]
Name = Annotated[str, Field(max_length=300)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Moment = Annotated[
    datetime | None,
    BeforeValidator(_moment),
    Field(examples=["2026-01-31T08:00+01:00"], description="with a time zone; empty: none"),
]
Seconds = Annotated[
    float, BeforeValidator(_seconds, json_schema_input_type=str), Field(examples=["30m", "12h", "2d", "1w"])
]
Groups = Annotated[list[Name], BeforeValidator(_listed), Field(max_length=MOST_GROUPS)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MatcherWritten(_Section):
    """What recognises an app, where its id alone does not say it all."""

    value: Name
    kind: MatcherKind | None = Field(None, description="of an exception that is no id")
    platform: Platform | None = None
    publisher: Name = ""
    below_version: Name = ""


Matchers = Annotated[
    list[MatcherWritten],
    BeforeValidator(_matchers, json_schema_input_type=list[str | MatcherWritten]),
    Field(max_length=MOST_MATCHERS),
]


class RuleWritten(_Section):
    """An exception to a ban's flag; all conditions that are named must hold."""

    flag: Flag
    protocol: Protocol | None = None
    group: Name = ""
    percent: Number | None = Field(None, ge=0, le=100)


class BanWritten(_Section):
    """A ban: a new one, or what is to change of the one of that name."""

    name: Name
    remove: StrictBool = Field(False, description="the ban is to go")
    id: Matchers = []
    except_: Matchers = Field([], alias="except")
    signer: Matchers = []
    team_id: Matchers = []
    extension: Matchers = []
    origin: Matchers = []
    app_name: Matchers = []
    publisher: Name = Field("", description="of every app_name that names none itself")
    below_version: Name = Field("", description="of every matcher that names none itself")
    flag: Flag = Field(Flag.REPORT_ONLY, description="for everybody: narrower rules that are not named here go")
    rules: list[RuleWritten] = Field([], max_length=MOST_RULES, description="the first that fits counts, before flag")
    group: Groups = Field([], description="only for members of one of these; empty: everybody")
    starts: Moment = None
    ends: Moment = None
    text: Text = ""
    labels: dict[Name, Name] = Field({}, max_length=20)


class BansWritten(_Section):
    """Bans."""

    complete: StrictBool = Field(False, description="bans that are not named here are removed")
    ban: list[BanWritten] = Field([], max_length=MOST_BANS)


class ExemptionWritten(_Section):
    """Somebody let through: known by ``id``, or by whom it is for."""

    id: Name = ""
    remove: StrictBool = Field(False, description="it is to end")
    user: Name = ""
    device: Name = ""
    group: Name = ""
    reason: Text = ""
    starts: Moment = None
    until: Moment = None


class ExemptionsWritten(_Section):
    """Exemptions."""

    complete: StrictBool = Field(False, description="exemptions in force that are not named here end")
    exemption: list[ExemptionWritten] = Field([], max_length=MOST_EXEMPTIONS)


class FlagsWritten(_Section):
    """What ``flag set`` turns beside the flags of bans."""

    switch: Literal["on", "off"] | None = Field(None, alias="global")
    outlook_mobile: OutlookMobile | None = None
    unavailable: Unavailable | None = None
    grace: Seconds | None = None
    grace_devices: StrictInt | None = Field(None, ge=0)


class SettingRuleWritten(_Section):
    """An exception to a setting for one kind of not knowing."""

    setting: Setting
    protocol: Protocol | None = None
    platform: Platform | None = None


class SettingWritten(_Section):
    """A setting for one kind of not knowing, with its exceptions."""

    setting: Setting
    rules: list[SettingRuleWritten] = Field([], max_length=MOST_RULES, description="the first that fits counts")


Unknown = Annotated[
    SettingWritten | None, BeforeValidator(_setting, json_schema_input_type=Setting | SettingWritten | None)
]


class UnknownWritten(_Section):
    """What happens where the evidence does not suffice."""

    missing: Unknown = None
    stale: Unknown = None
    scope: Unknown = None
    unmatched: Unknown = None
    conflict: Unknown = None
    compromised: Unknown = None
    not_compliant: Unknown = None


class StopWritten(_Section):
    """When a change halts by itself; each number is still fine."""

    cut_per_hour: StrictInt | None = Field(None, ge=0)
    undelivered: StrictInt | None = Field(None, ge=0)
    wrong: StrictInt | None = Field(None, ge=0)


class StageWritten(_Section):
    """One step. With a length the next one comes by itself after it, without somebody applies it."""

    report_only: StrictBool = False
    report_only_for: Seconds | None = None
    percent: Number | None = Field(None, ge=0, le=100)
    group: Name = ""
    everybody: StrictBool = False
    lasts: Seconds | None = Field(None, alias="for")
    stop: StopWritten | None = Field(None, description="instead of the rollout's")


class RolloutWritten(_Section):
    """How a change comes into force."""

    stages: list[StageWritten] = Field([], max_length=MOST_STAGES, description="without any: for everybody at once")
    at: Moment = Field(None, description="not before; it then comes by itself once somebody has applied it")
    stop: StopWritten = StopWritten()
    tell: Tell | None = Field(None, description="how people are told whom it newly cuts; without: as the settings say")


class PolicyDocument(_Section):
    """A policy file: all of a policy, or what is to change of it."""

    based_on: StrictInt | None = Field(None, ge=1, description="the policy version that it was made from")
    title: str = Field("", max_length=300)
    note: str = Field("", max_length=2_000)
    flags: FlagsWritten = FlagsWritten()
    unknown: UnknownWritten = UnknownWritten()
    bans: BansWritten = BansWritten()
    exemptions: ExemptionsWritten = ExemptionsWritten()
    rollout: RolloutWritten = RolloutWritten()
