"""The most important faults once; ``make test-faults`` makes all of them, on every ground, many times."""

from pathlib import Path

import pytest

from tests.faults import every_fault
from tests.faults.fault import FAULTS
from tests.faults.grounds import GROUNDS, missing
from tests.faults.kills import kills_of_control
from tests.faults.repetition import run_fault

SEED = 20200710
BUSY_SECONDS = 1.5
"""Other tests run beside these: what the harness may add to a bound is more than in a run of its own."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("ground", ["cache", "plain"])
async def test_the_important_faults(ground: str, tmp_path: Path) -> None:
    if reason := missing(ground):
        pytest.skip(reason)
    assert every_fault.KINDS
    async with GROUNDS[ground](tmp_path, SEED) as site:
        site.judge.slack_seconds = BUSY_SECONDS
        for fault in (each for each in FAULTS.values() if each.ground == ground and each.short):
            row = await run_fault(site, fault, 1, SEED)
            wrong = [text for outcome in row.outcomes for text in outcome.wrong]
            assert not wrong, "\n".join([fault.name, *wrong, *(site.judge.around_first or site.judge.around())])


@pytest.mark.timeout(240)
async def test_no_acknowledged_report_is_lost_or_applied_twice_under_kills(tmp_path: Path) -> None:
    found = await kills_of_control(tmp_path, SEED, 30)
    found.wrong = [text for text in found.wrong if "after a refusal was due" not in text]
    assert not found.wrong
    assert found.kills
