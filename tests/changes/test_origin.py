"""By which change a policy version came to be."""

from dataclasses import replace

from gateway.changes.origin import origin_of
from gateway.domain.change import Approval, Moved, PolicyChange, StageDone, State
from gateway.domain.stages import EVERYBODY

ANNAS = PolicyChange(
    number=4,
    author="anna",
    token_id="t1",
    created_at=1.0,
    title="flag of TikTok set to enforce",
    base_version=6,
    stages=(EVERYBODY, EVERYBODY),
    state=State.APPLIED,
    approvals=(Approval("bob", "t2", 10.0, "digest", 100.0), Approval("eve", "t3", 60.0, "digest", 160.0)),
    done=(StageDone(0, 7, 50.0, "carl"), StageDone(1, 8, 70.0, "carl")),
)
WITHDRAWN = replace(ANNAS, withdrawn_by_version=9, history=(Moved(State.WITHDRAWN, 90.0, "dora"),))


def test_a_stage_names_author_approvers_and_who_applied_it() -> None:
    first, second = origin_of(7, [ANNAS]), origin_of(8, [ANNAS])
    assert first is not None
    assert second is not None
    assert (first.change, first.author, first.applied_by, first.stage, first.stages) == (4, "anna", "carl", 1, 2)
    assert (first.approved_by, second.approved_by) == (("bob",), ("bob", "eve"))
    assert not first.withdrawn


def test_a_withdrawal_is_told_as_one() -> None:
    back = origin_of(9, [WITHDRAWN])
    assert back is not None
    assert (back.withdrawn, back.applied_by, back.approved_by, back.stage) == (True, "dora", (), 0)


def test_a_change_that_changed_nothing_has_not_made_the_version_that_it_found() -> None:
    idle = replace(WITHDRAWN, number=5, done=(StageDone(0, 7, 95.0, "eve"),), withdrawn_by_version=8)
    for number in (7, 8):
        found = origin_of(number, [idle, ANNAS])
        assert found is not None
        assert found.change == 4


def test_the_first_version_comes_from_no_change() -> None:
    assert origin_of(1, [ANNAS]) is None
