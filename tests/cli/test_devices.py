"""``gatepost device``."""

import json

from gateway.domain.inventory import Inventory, Naming, Platform, Scope
from gateway.ports.store import Writing
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
    gatepost("device", "forget", "ann", "--without-mail", expect=1)
    said = gatepost("device", "forget", "ann", "--without-mail", "--yes").stdout
    assert said == f"1 reported devices of {USER} without a mail device are forgotten\n"
    assert api.control.forgotten[1:] == [(USER, "")]
    for words in (["ann"], ["ann", "abc1", "--without-mail"]):
        assert gatepost("device", "forget", *words, "--yes", expect=2)


def test_binding_by_hand(gatepost: Gatepost, api: Served) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_inventory(
            Inventory("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, 1.0, 1.0, 1, (), platform=Platform.IOS)
        )

    api.run(api.control.store.write(work))
    pair = ("ann", "ABC1", "mdm", "s1")
    assert "add --yes to do it" in gatepost("device", "bind", *pair, expect=1).stderr
    assert gatepost("device", "bind", *pair, "--yes").stdout == f"device abc1 of {USER} is bound\n"
    assert gatepost("device", "unbind", *pair, "--yes").stdout == f"device abc1 of {USER} is unmatched\n"
    assert "never mdm s1" in gatepost("device", "show", "ann", "abc1").stdout
    assert "bound by its ids again" in gatepost("device", "unbind", *pair, "--by-ids").stdout
    wrong = gatepost("device", "bind", "ann", "ABC1", "mdm", "s2", "--yes", expect=1)
    assert wrong.stderr.startswith("gatepost: source mdm has reported no device s2: gatepost device list USER shows")
