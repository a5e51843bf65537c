"""What a look ahead compares is what ``decide`` answers: a fleet whose lists are as old as at some time."""

from dataclasses import replace

import pytest

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.verifying import Said
from gateway.domain.ageing import Ageing
from gateway.domain.policy import policy_of
from tests.support.evidence_strategies import DAY, HOUR, NOW
from tests.support.impact_equality import written
from tests.support.random_fleets import Draw


@pytest.mark.parametrize("seed", range(40))
def test_as_old_as_at_a_time(seed: int) -> None:
    draw = Draw(5000 + seed)
    people = draw.fleet(6)
    fleet = written(people).view()
    compared = 0
    for aged_to in (NOW - 40 * DAY, NOW - DAY, NOW - HOUR, NOW):
        policy = replace(policy_of(replace(draw.policy(5), enforcement_on=True)), ageing=Ageing(aged_to))
        said = Said(Evaluation(Moment(fleet, NOW, aged_to), policy, Hits(fleet)))
        for drawn in people:
            if fleet.person_of_login(drawn.record.person_id) is not None:
                assert list(said.differences(drawn.record)) == []
                compared += 1
    assert compared
