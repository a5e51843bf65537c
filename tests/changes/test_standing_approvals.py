"""An approval stands while hardly anybody else would be cut than it was given for, however often one looks again."""

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied
from gateway.changes.desk import Wanted
from gateway.changes.guards import Measured
from gateway.changes.previews import Approved, KeptPreview, Previewed, decode_preview, encode_preview
from gateway.domain.change import PolicyChange, PreviewSeen, State
from tests.changes.office import ANN, BOB, Office, enforce, office, phone


async def approved_office() -> Office:
    """A change that cuts a hundred phones, previewed and approved."""
    made = await office(dirty=100)
    await made.approve(await made.proposed(enforce))
    return made


async def previewed(made: Office) -> PolicyChange:
    change, _ = await made.desk.preview(2, ANN.name)
    return change


async def test_a_new_preview_of_the_same_keeps_it() -> None:
    made = await approved_office()
    change = await previewed(made)
    assert (change.state, [each.operator for each in change.approvals]) == (State.APPROVED, ["bob"])
    assert isinstance(await made.applier.apply(2, ANN.name), Applied)


async def test_another_policy_version_that_touches_something_else_keeps_it() -> None:
    made = await approved_office()
    before = (await made.change(2)).preview
    await made.turn(lambda version: edits.set_grace(version, 60.0, 1), BOB)
    change = await previewed(made)
    assert change.preview is not None
    assert before is not None
    assert change.preview.digest != before.digest
    assert change.state is State.APPROVED
    assert isinstance(await made.applier.apply(2, ANN.name), Applied)


async def test_a_few_devices_more_keep_it_and_many_small_steps_do_not_add_up() -> None:
    made = await approved_office()
    made.records += [phone(5000 + each, banned=True) for each in range(6)]
    assert (await previewed(made)).state is State.APPROVED
    made.records += [phone(6000 + each, banned=True) for each in range(4)]
    assert (await previewed(made)).state is State.APPROVED
    # Each step is small, together they are more than a tenth of what bob saw.
    made.records += [phone(7000, banned=True)]
    change = await previewed(made)
    assert (change.state, change.approvals) == (State.PREVIEWED, ())
    refused = await made.applier.apply(2, ANN.name)
    assert isinstance(refused, NotApplied)
    assert "needs the approval of a second person" in refused.sentence


async def test_what_is_applied_is_held_against_what_was_approved_not_against_the_newest_preview() -> None:
    made = await approved_office()
    made.records += [phone(5000 + each, banned=True) for each in range(10)]
    assert (await previewed(made)).state is State.APPROVED
    made.records += [phone(6000, banned=True)]
    refused = await made.applier.apply(2, ANN.name)
    assert isinstance(refused, NotApplied)
    assert refused.sentence.startswith("11 devices would be cut that were not in the preview that bob approved")


async def test_the_kept_preview_says_what_is_cut_now_and_what_was_approved() -> None:
    made = await approved_office()
    made.records += [phone(5000, banned=True)]
    change = await previewed(made)
    assert change.preview is not None
    async with made.store.read() as reading:
        content = await reading.change_preview(2, change.preview.digest)
    assert content is not None
    kept = decode_preview(content)
    assert kept.approved is not None
    assert (len(kept.newly_cut), len(kept.approved.newly_cut), kept.shown) == (101, 100, {"newly_cut": 101})


async def test_one_that_has_ended_is_given_anew() -> None:
    made = await approved_office()
    made.now += 86_400
    made.previews.now = made.now
    assert (await previewed(made)).state is State.APPROVED
    assert isinstance(await made.applier.apply(2, ANN.name), NotApplied)
    await made.approve(2)
    assert isinstance(await made.applier.apply(2, ANN.name), Applied)


async def test_an_approval_of_what_comes_at_its_moment_lasts_until_then() -> None:
    made = await office(dirty=100)
    moment = made.now + 5 * 86_400
    change = await made.desk.propose(ANN, enforce, Wanted(starts_at=moment))
    assert change is not None
    await made.desk.preview(change.number, ANN.name)
    await made.approve(change.number)
    waits = await made.applier.apply(change.number, ANN.name)
    assert isinstance(waits, NotApplied)
    assert (waits.comes_at, waits.change.state) == (moment, State.SCHEDULED)
    made.now = moment + 86_000
    assert isinstance(await made.applier.apply(change.number, "gatepost"), Applied)


@pytest.mark.parametrize("octets", [0, 11, 20, 40, 50])
def test_a_kept_preview_that_was_cut_is_no_preview(octets: int) -> None:
    seen = PreviewSeen("d", 1, 0, 0.0, 2, 0, 2)
    whole = encode_preview(Previewed(seen, Measured(2, 0, 2), frozenset({1, 2}), {"a": 1}), Approved(frozenset({7}), 3))
    assert decode_preview(whole) == KeptPreview(frozenset({1, 2}), {"a": 1}, Approved(frozenset({7}), 3))
    with pytest.raises(ValueError, match="preview"):
        decode_preview(whole[:octets])
