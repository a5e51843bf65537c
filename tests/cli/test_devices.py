"""``gatepost device``."""

import json

from tests.cli.conftest import USER, Gatepost
from tests.support.served_control import Served


def test_devices(gatepost: Gatepost, ann: None, api: Served) -> None:
    assert [line.split()[1] for line in gatepost("device", "list").stdout.splitlines()[1:]] == ["abc1", "abc2"]
    some = gatepost("device", "list", "--limit", "1")
    assert "more than 1" in some.stderr
    assert json.loads(gatepost("device", "list", "--limit", "1", "--json").stdout)["complete"] is False
    of_ann = gatepost("device", "list", "ann").stdout
    assert "mdm s1" in of_ann
    assert "without a mail device" in of_ann
    shown = gatepost("device", "show", "ann", "ABC1").stdout
    assert "says a" in shown
    assert "1 apps, scope device" in shown
    gatepost("device", "forget", "ann", "abc1", expect=1)
    assert gatepost("device", "forget", "ann", "abc1", "--yes").stdout == f"device abc1 of {USER} is forgotten\n"
    assert api.control.forgotten == [(USER, "abc1")]
