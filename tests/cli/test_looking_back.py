"""Looking back, somebody's apps, whom a change cuts, and erasing, by command."""

import json
from datetime import UTC, datetime

from tests.cli.conftest import TIKTOK, USER, Gatepost
from tests.support.served_control import Served


def test_why_as_of_a_moment(gatepost: Gatepost, ann: None, api: Served) -> None:
    then = datetime.fromtimestamp(api.control.now + 5, UTC)
    api.control.now += 10
    said = gatepost("why", "ann", "abc1", "--at", then.isoformat())
    assert said.stderr.startswith(f"as it was at {then:%Y-%m-%d %H:%M:%S UTC}, by what was known")
    assert said.stdout.startswith("Allowed")
    told = json.loads(gatepost("why", "ann", "--at", then.isoformat(), "--json").stdout)
    assert datetime.fromisoformat(told["at"]) == then
    ahead = datetime.fromtimestamp(api.control.now + 60, UTC).isoformat()
    assert "that moment lies ahead" in gatepost("why", "ann", "--at", ahead, expect=1).stderr
    assert "is no moment" in gatepost("why", "ann", "--at", "yesterday", expect=2).stderr


def test_somebodys_apps_take_a_reason(gatepost: Gatepost, ann: None) -> None:
    assert "give a reason (--reason)" in gatepost("device", "apps", "ann", expect=1).stderr
    lines = gatepost("device", "apps", "ann", "--reason", "ticket 1").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["abc1", "mdm", f"android:{TIKTOK.id}"],
        ["(none)", "mdm", f"android:{TIKTOK.id}"],
    ]
    assert "\x1b" not in "".join(lines)


def test_a_person_is_erased(gatepost: Gatepost, ann: None, api: Served) -> None:
    gatepost("person", "erase", "ann", "--yes", expect=2)
    gatepost("person", "erase", "ann", "--reason", "left", expect=1)
    said = gatepost("person", "erase", "ann", "--reason", "left", "--yes").stdout.splitlines()
    assert said[0].startswith("erased: ")
    assert "2 mail devices" in said[0]
    assert all(line.startswith("stays: ") for line in said[1:])
    assert api.control.erased == [USER]
    assert "nothing is known of" in gatepost("person", "erase", "ann", "--reason", "x", "--yes", expect=1).stderr
