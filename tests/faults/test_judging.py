"""The harness's own judgement: a gateway that is wrong would not pass."""

import pytest

from tests.faults.judging import SLACK_SECONDS, Judge
from tests.faults.model import Model

DEVICE = "dev1"


def told(model: Model, *, dirty: bool, at: float) -> None:
    model.fact(DEVICE).sending(dirty)
    model.fact(DEVICE).acknowledged(at)


@pytest.fixture
def model() -> Model:
    model = Model()
    model.enforced.sending(True)
    model.enforced.acknowledged(1.0)
    return model


def test_a_refusal_is_due_from_the_acknowledgement_until_a_clean_report_is_on_its_way(model: Model) -> None:
    assert model.refusal_due(DEVICE) is model.mail_due(DEVICE) is None
    model.fact(DEVICE).sending(True)
    assert model.refusal_due(DEVICE) is None
    model.fact(DEVICE).acknowledged(10.0)
    assert model.refusal_due(DEVICE) == 10.0
    # Said once more: it is due since the first time.
    told(model, dirty=True, at=20.0)
    assert model.refusal_due(DEVICE) == 10.0
    model.fact(DEVICE).sending(False)
    assert model.refusal_due(DEVICE) is model.mail_due(DEVICE) is None
    model.fact(DEVICE).acknowledged(30.0)
    assert model.mail_due(DEVICE) == 30.0


def test_nothing_is_due_while_the_flag_is_being_turned(model: Model) -> None:
    told(model, dirty=True, at=10.0)
    model.enforced.sending(False)
    assert model.refusal_due(DEVICE) is model.mail_due(DEVICE) is None
    model.enforced.acknowledged(11.0)
    assert model.mail_due(DEVICE) == 11.0
    model.enforced.sending(True)
    model.enforced.acknowledged(12.0)
    assert model.refusal_due(DEVICE) == 12.0


def test_what_was_acknowledged_before_a_restore_proves_nothing(model: Model) -> None:
    told(model, dirty=True, at=10.0)
    model.doubt()
    assert model.refusal_due(DEVICE) is model.mail_due(DEVICE) is None


def test_a_relay_beyond_the_bound_is_a_violation(model: Model) -> None:
    clock = [10.0]
    judge = Judge(model, now=lambda: clock[0])
    told(model, dirty=True, at=10.0)
    judge.relayed("another", "Sync")
    clock[0] = 10.0 + judge.bound_seconds
    judge.relayed(DEVICE, "Sync")
    assert (judge.longest_stale, judge.violations) == (judge.bound_seconds, [])
    clock[0] += SLACK_SECONDS + 0.1
    judge.released(DEVICE, "Ping")
    assert len(judge.violations) == 1
    assert "VIOLATION" in judge.around()[-1]


def test_what_is_stale_while_all_come_at_once_is_told_apart(model: Model) -> None:
    clock = [10.0]
    judge = Judge(model, now=lambda: clock[0], crowd_until=11.0)
    told(model, dirty=True, at=10.0)
    clock[0] = 10.9
    judge.relayed(DEVICE, "Sync")
    assert judge.longest_stale == pytest.approx(0.9)
    assert judge.longest_after_crowd == 0.0
    for clock[0] in (11.2, 11.1):
        judge.relayed(DEVICE, "Ping")
    assert judge.longest_after_crowd == judge.longest_stale == pytest.approx(1.2)
    assert [text for _, text in sorted(judge.stalest)][-1] == (
        f"Ping of {DEVICE} was relayed, +0.2 s from the end of the crowd"
    )


def test_the_bound_is_wider_by_what_the_harness_is_late(model: Model) -> None:
    clock, late = [10.0], [3.0]
    judge = Judge(model, 1.0, now=lambda: clock[0], late=lambda: late[0])
    told(model, dirty=True, at=10.0)
    clock[0] = 14.0
    judge.relayed(DEVICE, "Sync")
    assert (judge.longest_stale, judge.violations) == (4.0, [])
    late[0] = 2.0
    judge.relayed(DEVICE, "Sync")
    assert len(judge.violations) == 1
