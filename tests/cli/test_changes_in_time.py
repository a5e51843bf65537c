"""Changes that come too late, too early, in freeze hours, twice, or against a stop rule: what is printed, nothing done.

The lines stand in ``docs/changes.md``, beside those that ``tests/system/test_never_alone.py`` shows at a whole gateway.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, Applier, Rules
from gateway.changes.desk import Actor, ChangeDesk, Wanted
from gateway.changes.guards import GuardLimits
from gateway.changes.scheduling import Schedule, StopFigures
from gateway.domain.bans import Flag
from gateway.domain.change import PolicyChange, State
from gateway.domain.freeze import freeze_span
from gateway.domain.operator import Role
from gateway.domain.policy import PolicyVersion
from gateway.domain.stages import EVERYBODY, Stage, StopRule
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served
from tests.system.two_people import plain, table

T = TypeVar("T")
ANNA = Actor("anna", "t1")
ALWAYS = GuardLimits(freeze=(freeze_span("mon 00:00 - sun 23:59"), freeze_span("sun 23:00 - mon 01:00")))


class Desk:
    """The desk of the control process behind the API, for what no command says yet."""

    def __init__(self, api: Served) -> None:
        control = api.control
        self._api = api
        self.desk = ChangeDesk(control.store, control, lambda: control.now)
        self.applier = Applier(control.store, control, control.publish, control.workers, lambda: control.now)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._api.run(work)

    def proposed(self, wanted: Wanted) -> int:
        change = self.run(self.desk.propose(ANNA, enforce, wanted))
        assert change is not None
        self.run(self.desk.preview(change.number, "anna"))
        return change.number

    def change(self, number: int) -> PolicyChange:
        async def read() -> PolicyChange | None:
            async with self._api.control.store.read() as reading:
                return await reading.policy_change(number)

        found = self.run(read())
        assert found is not None
        return found

    def policy(self) -> PolicyVersion:
        async def read() -> PolicyVersion | None:
            async with self._api.control.store.read() as reading:
                return await reading.policy()

        found = self.run(read())
        assert found is not None
        return found


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, "TikTok", Flag.ENFORCE)


def row(what: str, tried: str, said: str) -> str:
    return f"| {what} | {plain(tried)} | {plain(said)} |"


@pytest.fixture
def desk(api: Served, gatepost: Gatepost) -> Desk:
    """With a ban that only reports."""
    gatepost("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--yes")
    return Desk(api)


def test_an_approval_that_has_ended(gatepost: Gatepost, api: Served, desk: Desk) -> None:
    gatepost("exempt", "add", "--group", "board", "--for", "9d", "--reason", "trip", "--yes", expect=3)
    second = {"GATEPOST_TOKEN": api.run(api.control.token("bob", Role.EDITOR))}
    gatepost("approve", "2", "--yes", environment=second)
    api.control.now += 86_400
    before = desk.policy()
    said = gatepost("apply", "2", "--yes", expect=3).stderr
    assert row("the approval has ended", "`gatepost apply 2 --yes`", said.strip().removeprefix("gatepost: ")) in table()
    assert (desk.policy(), desk.change(2).state) == (before, State.APPROVED)
    # The same person says it again.
    gatepost("approve", "2", "--yes", environment=second)
    gatepost("apply", "2", "--yes")


def test_in_freeze_hours_nobody_enforces_more_alone(gatepost: Gatepost, api: Served, desk: Desk) -> None:
    # Somebody who could approve; else the sentence says that first.
    api.run(api.control.token("bob", Role.EDITOR))
    api.control.rules = Rules(ALWAYS)
    before = desk.policy()
    refused = gatepost("flag", "set", "TikTok", "enforce", "--yes", expect=3)
    said = refused.stderr.splitlines()[0].removeprefix("gatepost: ")
    assert row("enforcing in freeze hours", "`gatepost flag set TikTok enforce --yes`", said) in table()
    assert desk.policy() == before
    gatepost("flag", "set", "TikTok", "off", "--yes")


def test_before_its_time_nothing_comes(gatepost: Gatepost, api: Served, desk: Desk) -> None:
    number = desk.proposed(Wanted(starts_at=api.control.now + 7200))
    before = desk.policy()
    said = gatepost("apply", str(number), "--yes").stdout.strip()
    assert row("a change is applied before its time", f"`gatepost apply {number} --yes`", said) in table()
    assert (desk.policy(), desk.change(number).state) == (before, State.SCHEDULED)


def test_a_stop_rule_in_the_middle_of_a_stage(gatepost: Gatepost, api: Served, desk: Desk) -> None:
    stop = StopRule(wrong=2)
    number = desk.proposed(Wanted(stages=(Stage(report_only=True, stop=stop), Stage(by_itself=True))))
    assert isinstance(desk.run(desk.applier.apply(number, "anna")), Applied)

    async def figures(change: PolicyChange) -> StopFigures:
        return StopFigures(wrong=3)

    schedule = Schedule(api.control.store, desk.applier, lambda: api.control.now, figures)
    before = desk.policy()
    desk.run(schedule.look())
    desk.run(schedule.look())
    (said,) = schedule.sentences()
    assert row("a stop rule is broken in the middle of a stage", "(by itself; `gatepost status` says)", said) in table()
    assert (desk.policy(), desk.change(number).state) == (before, State.HALTED)
    desk.run(schedule.look())
    assert len(desk.change(number).done) == 1
    assert "halted" in gatepost("change", "show", str(number)).stdout


def test_a_stage_that_is_asked_for_twice(api: Served, desk: Desk) -> None:
    """Because the answer was lost: the stage behind it is not meant."""
    number = desk.proposed(Wanted(stages=(Stage(report_only=True), EVERYBODY)))
    path = f"/changes/{number}/apply"
    with httpx.Client(base_url=f"{api.url}/api/v1", headers={"Authorization": f"Bearer {api.token}"}) as client:
        assert client.post(path, json={"stage": 1}).is_success
        before = desk.policy()
        again = client.post(path, json={"stage": 1})
    assert row("one stage is asked for twice", f"`POST {path}` with its number", again.json()["detail"]) in table()
    assert (desk.policy(), len(desk.change(number).done)) == (before, 1)
