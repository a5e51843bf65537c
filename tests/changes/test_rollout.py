"""Stages, a moment and a stop rule as they are written in a policy file."""

import pytest

from gateway.changes.lengths import length_of, seconds_of
from gateway.changes.policy_file import read
from gateway.changes.rollout import wanted_of
from gateway.domain.errors import InvalidValue
from gateway.domain.stages import EVERYBODY, Stage, StopRule

NOW = 1_795_000_000.0
"""18 November 2026."""
HOUR = 3600.0


def test_without_a_rollout_it_is_for_everybody_at_once() -> None:
    wanted = wanted_of(read('title = "t"\nnote = "n"\nbased_on = 7'), NOW)
    assert (wanted.stages, wanted.starts_at) == ((EVERYBODY,), None)
    assert (wanted.title, wanted.note, wanted.based_on) == ("t", "n", 7)
    assert wanted.source == 'title = "t"\nnote = "n"\nbased_on = 7'


def test_a_stage_with_a_length_is_followed_by_the_next_one_by_itself() -> None:
    text = """
        [rollout]
        stages = [{report_only_for = "24h"}, {percent = 10, for = "4h"}, {group = "sales"}, {everybody = true}]
        at = "2026-12-01T06:00+01:00"
        stop = { cut_per_hour = 500, undelivered = 20, wrong = 10 }
    """
    stop = StopRule(500, 20, 10)
    wanted = wanted_of(read(text), NOW)
    assert wanted.starts_at == 1_796_101_200.0
    assert wanted.stages == (
        Stage(report_only=True, stop=stop),
        Stage(percent=10, after_seconds=24 * HOUR, by_itself=True, stop=stop),
        Stage(group="sales", after_seconds=4 * HOUR, by_itself=True, stop=stop),
        Stage(stop=stop),
    )


def test_a_stage_may_have_a_stop_rule_of_its_own() -> None:
    stages = "[{ report_only = true, stop = { wrong = 1 } }, { everybody = true }]"
    wanted = wanted_of(read(f"[rollout]\nstages = {stages}\nstop = {{ cut_per_hour = 5 }}"), NOW)
    assert [each.stop for each in wanted.stages] == [StopRule(wrong=1), StopRule(cut_per_hour=5)]


@pytest.mark.parametrize(
    ("rollout", "sentence"),
    [
        ("stages = [{ percent = 10 }]", "the last stage of a change is for everybody: end the list with { everybody"),
        ("stages = [{}, { everybody = true }]", "stage 1 says one of these: report_only, report_only_for, percent"),
        ("stages = [{ percent = 5, group = 'a' }, { everybody = true }]", "stage 1 says one of these"),
        ("stages = [{ report_only_for = '1h', for = '2h' }, { everybody = true }]", "stage 1 has two lengths"),
        ("stages = [{ percent = 5, for = '91d' }, { everybody = true }]", "stage 1 lasts at most 90 days"),
        ("stages = [{ percent = 5 }, { percent = 5 }, { everybody = true }]", "stage 2: its percentage lies above 5"),
        ("stages = [{ everybody = true, for = '1h' }]", "nothing comes after the last stage: it has no length"),
        ("stages = [{ everybody = true }, { everybody = true }]", "stage 1 is for everybody already"),
        ("at = 2026-11-01T06:00:00+01:00", "at 2026-11-01 06:00 UTC+01:00 has passed"),
        ("at = 2028-11-01T06:00:00+01:00", "at lies more than a year ahead"),
        ("stop = { wrong = 1 }", "a stop rule halts before the next stage: name stages, too"),
    ],
)
def test_what_is_no_rollout(rollout: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        wanted_of(read(f"[rollout]\n{rollout}"), NOW)
    assert str(refused.value).startswith("line 1, rollout: ")
    assert sentence in str(refused.value)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 90.0, 3600.0, 5400.0, 86_400.0, 604_800.0, 0.25])
def test_a_length_that_is_written_is_read_as_the_same(seconds: float) -> None:
    assert seconds_of(length_of(seconds)) == seconds


def test_lengths_are_written_as_short_as_can_be() -> None:
    assert [length_of(each) for each in (0, 90, 5400, 86_400, 14 * 86_400)] == ["0s", "90s", "90m", "1d", "2w"]
