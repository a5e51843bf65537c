"""``gatepost change`` with approve, apply and withdraw: two people and one way back, as they see it."""

import json

import pytest

from gateway.domain.operator import Role
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served

TIKTOK = ("TikTok", "--id", "android:com.zhiliaoapp.musically")
UNTIL = ("--for", "2d", "--reason", "works council")


@pytest.fixture
def waiting(gatepost: Gatepost) -> int:
    """A change that waits for a second person: a whole group would be exempt."""
    refused = gatepost("exempt", "add", "--group", "board", *UNTIL, "--yes", expect=3)
    assert "needs the approval of a second person" in refused.stderr
    return 1


def second(api: Served) -> dict[str, str]:
    """The environment of another editor."""
    return {"GATEPOST_TOKEN": api.run(api.control.token("bob", Role.EDITOR))}


def test_a_change_goes_its_way_between_two_people(gatepost: Gatepost, api: Served, waiting: int) -> None:
    line = gatepost("change", "list").stdout.splitlines()[1]
    assert "previewed" in line
    assert "exemption" in line
    own = gatepost("approve", "1", "--yes", expect=1)
    assert "change 1 was made with the same token: another person approves it" in own.stderr
    gatepost("approve", "1", expect=1, environment=second(api))
    approved = gatepost("approve", "1", "--yes", environment=second(api)).stdout
    assert "exemption added: group board until" in approved
    assert "newly cut       0 devices" in approved
    assert "now: gatepost apply 1" in approved
    applied = gatepost("apply", "1", "--yes").stdout
    assert "in force on 1 of 1 workers" in applied
    assert json.loads(gatepost("change", "show", "1", "--json").stdout)["state"] == "applied"


def test_withdrawn_in_one_step_what_enforced_is_gone(gatepost: Gatepost) -> None:
    gatepost("ban", "add", *TIKTOK, "--yes")
    gatepost("flag", "set", "TikTok", "enforce", "--yes")
    shown = gatepost("change", "show", "2").stdout
    assert "flag of tiktok: report-only → enforce" in shown
    done = gatepost("withdraw", "2", "--reason", "sent in error").stdout
    assert done.startswith("change 2 withdrawn: flag of TikTok set to enforce\n")
    assert "report-only" in gatepost("flag", "list").stdout
    again = gatepost("withdraw", "2", expect=1)
    assert "change 2 is withdrawn" in again.stderr


def test_what_would_enforce_more_is_not_put_back_and_named(gatepost: Gatepost) -> None:
    gatepost("ban", "add", *TIKTOK, "--yes")
    gatepost("ban", "remove", "TikTok", "--yes")
    done = gatepost("withdraw", "2")
    assert "ban:tiktok stays as it is: going back would enforce more" in done.stderr
    assert "no bans" in gatepost("ban", "list").stdout


def test_rejected_or_unknown(gatepost: Gatepost, waiting: int) -> None:
    assert gatepost("change", "preview", "1").stdout.startswith("change 1 by anna: ")
    assert gatepost("change", "reject", "1", "--reason", "no").stdout == "change 1 is rejected\n"
    assert "change 1 is rejected" in gatepost("apply", "1", "--yes", expect=1).stderr
    assert "there is no change 7" in gatepost("change", "show", "7", expect=1).stderr
    assert "from there it can become" in gatepost("change", "halt", "1", expect=1).stderr
