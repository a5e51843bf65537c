"""Stages: a change comes into force for some before it comes for all.

A stage is a share of the people, a group, or report-only for everybody. Within it, and within those before it, the
change's flags count as they will count in the end, outside they are as before; what only lessens enforcement comes
with the first stage. What cannot be divided among people (a setting for unknowns, the global switch) is only reported
until the last stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.domain.bans import Flag, FlagRule
from gateway.domain.errors import InvalidValue
from gateway.domain.lessening import may_enforce
from gateway.domain.milder import is_no_harsher, milder
from gateway.domain.policy import Exemption, OutlookMobile, Setting, SettingRule, UnknownSetting
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition, Touch

MOST_STAGES = 20


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a change halts by itself; None: never for that reason."""

    cut_per_hour: int | None = None
    """More devices than this newly refused within an hour."""
    undelivered: int | None = None
    """More notices than this that could not be delivered."""
    wrong: int | None = None
    """More people than this who say that their notice is wrong."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step; without ``percent`` and ``group`` it is for everybody."""

    report_only: bool = False
    percent: float | None = None
    group: str = ""
    after_seconds: float = 0.0
    """Not before so long after the stage before it; by hand: whenever somebody applies it, but not before."""
    by_itself: bool = False
    """Comes when its time has come; otherwise somebody applies it."""
    stop: StopRule = StopRule()

    @property
    def everybody(self) -> bool:
        """Whether it brings the change in full."""
        return not self.report_only and self.percent is None and not self.group


EVERYBODY = Stage()


def see_that_stages_rise(stages: tuple[Stage, ...]) -> None:
    """Raise ``InvalidValue`` unless each stage takes in more than the one before, the last one everybody."""
    if not stages or not stages[-1].everybody:
        raise InvalidValue(
            "the last stage of a change is for everybody: end the list with one without percent or group"
        )
    if len(stages) > MOST_STAGES:
        raise InvalidValue(f"a change has at most {MOST_STAGES} stages")
    share = 0.0
    for number, stage in enumerate(stages[:-1], start=1):
        if stage.everybody:
            raise InvalidValue(f"stage {number} is for everybody already: nothing is left for the next one")
        if stage.percent is not None and stage.group:
            raise InvalidValue(f"stage {number} has a percentage and a group: make two stages of it")
        if stage.percent is not None:
            if not share < stage.percent < 100:
                raise InvalidValue(f"stage {number}: its percentage lies above {share:g} and below 100")
            share = stage.percent
        if stage.report_only and not all(each.report_only for each in stages[: number - 1]):
            raise InvalidValue(f"stage {number} only reports, after one that does more: put it first")
        if stage.after_seconds < 0:
            raise InvalidValue(f"stage {number} cannot come before the one before it")


def staged(touch: Touch, stages: Sequence[Stage]) -> PartValue | None:
    """The part's value while the last of these stages is in force, and those before it.

    Raises ``InvalidValue`` where it cannot be divided so.
    """
    stage = stages[-1]
    if stage.everybody or _lessens(touch):
        return touch.after
    if isinstance(touch.after, Recognition):
        # A new ban is there at once, and its flag says for whom; what another one recognises beyond cannot be divided.
        return touch.after if touch.before is None else touch.before
    if isinstance(touch.after, FlagPart):
        before = touch.before if isinstance(touch.before, FlagPart) else FlagPart(seed=touch.after.seed)
        return _within(touch.part, before, touch.after, stages)
    if isinstance(touch.after, UnknownSetting) and isinstance(touch.before, UnknownSetting):
        return _reported(touch.before, touch.after) if stage.report_only else touch.before
    return touch.before


def _within(part: str, before: FlagPart, after: FlagPart, stages: Sequence[Stage]) -> FlagPart:
    if stages[-1].report_only:
        return _only_reported(before, after)
    if (after.groups, after.starts_at, after.ends_at, after.seed) != (
        before.groups,
        before.starts_at,
        before.ends_at,
        before.seed,
    ) and may_enforce(before):
        raise InvalidValue(f"{part}: groups and dates of a ban in force cannot change by stages: use one stage")
    rules = [_narrowed(part, rule, each) for each in _counting(stages) for rule in (*after.rules, FlagRule(after.flag))]
    return replace(after, flag=before.flag, rules=(*rules, *before.rules))


def _counting(stages: Sequence[Stage]) -> Iterator[Stage]:
    """The stages that say for whom, the newest first: whom an earlier one took in stays in."""
    share = False
    for stage in reversed(stages):
        # A larger share holds a smaller one.
        if not stage.report_only and not (share and stage.percent is not None):
            yield stage
        share = share or stage.percent is not None


def _narrowed(part: str, rule: FlagRule, stage: Stage) -> FlagRule:
    if rule.group and stage.group and rule.group != stage.group:
        raise InvalidValue(
            f"{part} has a rule for group {rule.group}: a stage for group {stage.group} cannot divide it"
        )
    shares = [each for each in (rule.percent, stage.percent) if each is not None]
    return replace(rule, group=rule.group or stage.group, percent=min(shares, default=None))


def _only_reported(before: FlagPart, after: FlagPart) -> FlagPart:
    """As before where that counts; the rest of what is to come is only reported."""
    if may_enforce(before):
        return before
    return replace(
        after,
        flag=Flag.REPORT_ONLY if after.flag is Flag.ENFORCE else after.flag,
        rules=tuple(
            replace(rule, flag=Flag.REPORT_ONLY) if rule.flag is Flag.ENFORCE else rule for rule in after.rules
        ),
    )


def _reported(before: UnknownSetting, setting: UnknownSetting) -> UnknownSetting:
    """As before where that refuses somebody, who would be let in otherwise; the rest of what is to come is reported."""
    if Setting.DENY in (before.default, *(rule.setting for rule in before.rules)):
        return before

    def milder_of(each: Setting) -> Setting:
        return Setting.REPORT_ONLY if each is Setting.DENY else each

    rules = tuple(SettingRule(milder_of(rule.setting), rule.protocol, rule.platform) for rule in setting.rules)
    return UnknownSetting(milder_of(setting.default), rules)


def is_milder(touch: Touch) -> bool:
    """Whether the touch only lessens enforcement."""
    return isinstance(touch.after, Exemption) or _lessens(touch)


def _lessens(touch: Touch) -> bool:
    if isinstance(touch.after, OutlookMobile):
        # Of two that cannot be compared ``milder`` gives the second.
        return is_no_harsher(touch.after, touch.before)
    return milder(touch.before, touch.after) == touch.after
