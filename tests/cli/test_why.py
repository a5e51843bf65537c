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


def test_what_if_and_plain_words(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--yes")
    assert gatepost("why", "ann", "abc1", "--plain").stdout == "Mail is not blocked.\n"
    thought = gatepost("why", "ann", "abc1", "--flag", "TikTok=enforce", "--plain")
    assert thought.stdout.startswith("Mail is blocked because of an app on this device: TikTok")
    assert "\x1b" not in thought.stdout
    assert thought.stderr == "as if that were so; nothing was changed\n"
    told = gatepost("why", "ann", "abc1", "--flag", "TikTok=enforce").stdout
    assert "change 1 by anna" in told
    assert "give a reason (--reason)" in gatepost("why", "ann", "--with-ban", "A=android:a.b", expect=1).stderr
    everything = gatepost(
        "why", "ann", "--with-ban", "A=android:a.b", "--reason", "x", "--without-app", "ios:a.b"
    ).stdout
    assert everything.startswith("Allowed: ")
    assert "report-only" in gatepost("flag", "list").stdout
