"""``gatepost exempt``."""

import json
import time

import pytest

from tests.cli.conftest import USER, Gatepost


def test_exemptions(gatepost: Gatepost) -> None:
    gatepost("exempt", "add", "--user", "ann", "--device", "ABC1", "--for", "2d", "--reason", "on the road", "--yes")
    (exemption,) = json.loads(gatepost("exempt", "list", "--json").stdout)["exemptions"]
    assert (exemption["user"], exemption["device"], exemption["in_force"]) == (USER, "abc1", True)
    assert "on the road" in gatepost("exempt", "list").stdout
    gatepost("exempt", "remove", exemption["id"], expect=1)
    gatepost("exempt", "remove", exemption["id"], "--yes")
    assert gatepost("exempt", "list").stdout == "no exemptions\n"
    until = ("--until", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86400)))
    unasked = gatepost("exempt", "add", "--group", "board", *until, "--reason", "x", expect=1)
    assert "Leave change 4 to a second person, who may approve it? Nobody is here to ask: add --yes" in unasked.stderr
    # What nobody has said yes to does not wait for anybody.
    assert json.loads(gatepost("change", "show", "4", "--json").stdout)["state"] == "rejected"
    refused = gatepost("exempt", "add", "--group", "board", *until, "--reason", "x", "--yes", expect=3)
    assert "the whole group board would be exempt. Nothing is in force: change 5 needs the approval" in refused.stderr
    assert refused.stderr.endswith("to drop it: gatepost change reject 5\n")
    assert json.loads(gatepost("change", "show", "5", "--json").stdout)["state"] == "previewed"


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "2d", "--reason", "x"),
        ("--user", "a", "--group", "b", "--for", "2d", "--reason", "x"),
        ("--user", "a", "--reason", "x"),
        ("--user", "a", "--for", "2d", "--until", "2026-01-31", "--reason", "x"),
        ("--user", "a", "--for", "2d"),
        ("--user", "a", "--for", "two days", "--reason", "x"),
    ],
)
def test_wrong_exemptions(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    gatepost("exempt", "add", *words, expect=2)
