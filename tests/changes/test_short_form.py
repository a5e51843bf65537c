"""Edits in one step that come to nothing: what is left of them in the store, and what is said."""

import pytest
from structlog.testing import capture_logs

from gateway.changes.desk import Wanted
from gateway.changes.short_form import NeedsApproval, ShortForm
from gateway.domain.change import PolicyChange, State
from gateway.ports.store import Conflict, StoreUnavailable
from tests.changes.office import ANN, Office, enforce, office


def short_form(made: Office) -> ShortForm:
    return ShortForm(made.store, made.desk, made.applier, lambda: made.now)


async def newest(made: Office) -> PolicyChange:
    async with made.store.read() as reading:
        return (await reading.policy_changes(limit=1))[0]


async def test_what_the_guards_stop_stays_for_a_second_person() -> None:
    made = await office()
    with pytest.raises(NeedsApproval):
        await short_form(made).make(ANN, enforce, Wanted())
    assert (await newest(made)).state is State.PREVIEWED


async def test_what_others_keep_in_the_way_is_ended_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await office(1)

    async def apply(number: int, by: str) -> None:
        raise Conflict(f"others keep changing the policy: apply change {number} again")

    monkeypatch.setattr(made.applier, "apply", apply)
    with pytest.raises(Conflict, match="nothing was made, do it again"):
        await short_form(made).make(ANN, enforce, Wanted())
    assert (await newest(made)).state is State.REJECTED


async def test_a_draft_that_cannot_be_ended_either_is_named_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await office(1)
    away = StoreUnavailable("the database is locked")

    async def refuse(*given: object) -> None:
        raise away

    monkeypatch.setattr(made.desk, "preview", refuse)
    monkeypatch.setattr(made.desk, "reject", refuse)
    with capture_logs() as logged, pytest.raises(StoreUnavailable):
        await short_form(made).make(ANN, enforce, Wanted())
    left = await newest(made)
    assert [(each["event"], each["change"]) for each in logged] == [("draft_left_behind", left.number)]


async def test_what_is_in_force_although_its_answer_failed_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await office(1)

    async def publish(changes: object) -> None:
        raise StoreUnavailable("the connection was lost behind the commit")

    monkeypatch.setattr(made.applier, "_publish", publish)
    with pytest.raises(StoreUnavailable):
        await short_form(made).make(ANN, enforce, Wanted())
    assert (await newest(made)).state is State.APPLIED
