"""``gatepost why``."""

import json

from tests.cli.conftest import TIKTOK, Gatepost


def test_why(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--flag", "enforce", "--yes")
    told = gatepost("why", "ann", "ABC1").stdout
    assert told.startswith("Refused: TikTok")
    for words in ("banned_app", "1 h 1 min ago", "anna, version 2", "next change", "mdm reports device abc1 again"):
        assert words in told
    # What a phone or a source wrote does not steer the operator's terminal.
    assert "\x1b" not in told
    everything = gatepost("why", "ann").stdout
    assert everything.startswith("Refused: TikTok")
    nobody = gatepost("why", "bob").stdout
    assert "not known from any import or report" in nobody
    assert json.loads(gatepost("why", "ann", "abc1", "--json").stdout)["answers"][0]["effect"] == "deny"
    assert gatepost("why", "a@b@c", expect=1).stderr == "gatepost: the user name is no mail address\n"
