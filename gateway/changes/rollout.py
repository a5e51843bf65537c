"""How a change comes into force, from what an operator writes of it: stages, a moment, a stop rule. Pure.

A stage with a length is followed by the next one by itself; without one the next waits for somebody who applies it.
"""

from collections.abc import Iterator
from itertools import pairwise

from gateway.changes.desk import Wanted
from gateway.changes.policy_document import RolloutWritten, StageWritten, StopWritten
from gateway.changes.policy_file import PolicyFile
from gateway.domain.errors import InvalidValue
from gateway.domain.stages import EVERYBODY, Stage, StopRule, see_that_stages_rise

LENGTH_LONGEST_SECONDS = 90 * 86_400.0
AHEAD_LONGEST_SECONDS = 366 * 86_400.0


def wanted_of(file: PolicyFile, now: float) -> Wanted:
    """What the file wants of the change beside its content. Raises ``InvalidValue`` with the place in the file."""
    document = file.document
    try:
        stages, starts_at = rolled_out(document.rollout, now)
    except InvalidValue as error:
        raise InvalidValue(f"{file.at('rollout')}{error}") from None
    return Wanted(
        document.title,
        document.note,
        file.text,
        stages,
        starts_at,
        tell=document.rollout.tell,
        based_on=document.based_on,
    )


def rolled_out(rollout: RolloutWritten, now: float) -> tuple[tuple[Stage, ...], float | None]:
    """The stages, and the moment before which the first of them does not come. Raises ``InvalidValue``."""
    starts_at = rollout.at.timestamp() if rollout.at is not None else None
    if starts_at is not None and starts_at <= now:
        raise InvalidValue(
            f"at {rollout.at:%Y-%m-%d %H:%M %Z} has passed: without it the change comes when it is applied"
        )
    if starts_at is not None and starts_at > now + AHEAD_LONGEST_SECONDS:
        raise InvalidValue("at lies more than a year ahead")
    stages = tuple(_stages(rollout))
    if not stages[-1].everybody:
        raise InvalidValue("the last stage of a change is for everybody: end the list with { everybody = true }")
    see_that_stages_rise(stages)
    return stages, starts_at


def _stages(rollout: RolloutWritten) -> Iterator[Stage]:
    if not rollout.stages:
        if _stop(rollout.stop) != StopRule():
            raise InvalidValue("a stop rule halts before the next stage: name stages, too")
        yield EVERYBODY
        return
    for number, (before, stage) in enumerate(pairwise((None, *rollout.stages)), start=1):
        assert stage is not None
        _see_that_it_says_for_whom(stage, number)
        lasts = _lasts(before) if before is not None else None
        yield Stage(
            report_only=stage.report_only or stage.report_only_for is not None,
            percent=stage.percent,
            group=stage.group.strip(),
            after_seconds=lasts or 0.0,
            by_itself=lasts is not None,
            stop=_stop(stage.stop if stage.stop is not None else rollout.stop),
        )
    if _lasts(rollout.stages[-1]) is not None:
        raise InvalidValue("nothing comes after the last stage: it has no length")


def _see_that_it_says_for_whom(stage: StageWritten, number: int) -> None:
    said = (
        stage.report_only or stage.report_only_for is not None,
        stage.percent is not None,
        bool(stage.group.strip()),
        stage.everybody,
    )
    if sum(said) != 1:
        raise InvalidValue(
            f"stage {number} says one of these: report_only, report_only_for, percent, group or everybody"
        )
    if stage.report_only_for is not None and stage.lasts is not None:
        raise InvalidValue(f"stage {number} has two lengths: report_only_for says how long, without for")
    if (_lasts(stage) or 0.0) > LENGTH_LONGEST_SECONDS:
        raise InvalidValue(f"stage {number} lasts at most 90 days")


def _lasts(stage: StageWritten) -> float | None:
    return stage.report_only_for if stage.report_only_for is not None else stage.lasts


def _stop(written: StopWritten) -> StopRule:
    return StopRule(written.cut_per_hour, written.undelivered, written.wrong)
