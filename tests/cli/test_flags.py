"""``gatepost flag``."""

import json

import pytest

from gateway.changes.applying import Rules
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served


@pytest.fixture(autouse=True)
def tiktok(gatepost: Gatepost) -> None:
    gatepost("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--yes")


def listed(gatepost: Gatepost) -> dict[str, list[str]]:
    lines = gatepost("flag", "list").stdout.splitlines()[1:]
    found: dict[str, list[str]] = {}
    for line in lines:
        what, setting, whom = (
            cell.strip() for cell in line.replace("  ", "\t", 1).replace("  ", "\t").split("\t") if cell
        )
        found.setdefault(what, []).append(f"{setting} {whom}")
    return found


def test_a_flag_is_set_and_listed(gatepost: Gatepost) -> None:
    done = gatepost("flag", "set", "TikTok", "enforce", "--yes")
    assert "policy version 3 in force on 1 of 1 workers" in done.stdout
    assert "devices that nobody can judge still pass" in done.stderr
    gatepost("flag", "set", "TikTok", "off", "--group", "board", "--protocol", "activesync")
    assert listed(gatepost)["TikTok"] == ["off group board, protocol activesync", "enforce everybody else"]


def test_the_global_switch_asks_only_to_be_switched_on(gatepost: Gatepost) -> None:
    assert "enforcement switched off globally" in gatepost("flag", "set", "--global", "off").stdout
    gatepost("flag", "set", "--global", "on", expect=1)
    gatepost("flag", "set", "--global", "on", "--yes")
    assert listed(gatepost)["--global"] == ["on everybody"]


def test_unknowns_and_the_other_settings(gatepost: Gatepost, api: Served) -> None:
    # What lets pass unjudged takes two people, where there are two.
    api.control.rules = Rules(second_person=False)
    gatepost("flag", "set", "--unknown", "unmatched", "deny", "--platform", "android", "--yes")
    gatepost("flag", "set", "--unknown", "not-compliant", "allow", "--protocol", "imap", "--yes")
    gatepost("flag", "set", "--outlook-mobile", "user-wide", "--yes")
    gatepost("flag", "set", "--unavailable", "allow", "--yes")
    gatepost("flag", "set", "--grace", "3d", "--grace-devices", "1", "--yes")
    found = listed(gatepost)
    assert found["--unknown unmatched"] == ["deny android", "report-only otherwise"]
    assert found["--unknown not_compliant"] == ["allow imap", "report-only otherwise"]
    assert found["--outlook-mobile"] == ["user-wide Outlook on phones"]
    assert found["--unavailable"] == ["allow when the state cannot be read"]
    assert found["--grace"] == ["3d 1 new devices per user in 30 days"]


@pytest.mark.parametrize(
    "words",
    [
        ("TikTok", "enforce"),
        ("--unknown", "missing", "deny"),
        ("--outlook-mobile", "deny"),
        ("--unavailable", "deny"),
    ],
)
def test_what_takes_mail_away_asks(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    assert "add --yes" in gatepost("flag", "set", *words, expect=1).stderr
    assert "in force" in gatepost("flag", "set", *words, "--yes").stdout


def test_the_same_again(gatepost: Gatepost) -> None:
    same = gatepost("flag", "set", "TikTok", "report-only")
    assert same.stdout.startswith("nothing to change\npolicy version 2 in force on 1 of 1")


def test_json_has_the_fields_of_the_api(gatepost: Gatepost) -> None:
    done = json.loads(gatepost("flag", "set", "TikTok", "off", "--json").stdout)
    assert (done["policy_version"], done["in_force"], done["silent"]) == (3, True, [])
    assert json.loads(gatepost("flag", "list", "--json").stdout)["bans"][0]["flag"] == "off"


def test_a_ban_that_is_not(gatepost: Gatepost) -> None:
    missing = gatepost("flag", "set", "nothing", "off", expect=1)
    assert missing.stderr == "gatepost: there is no ban 'nothing'; there are: TikTok\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("TikTok",),
        ("TikTok", "maybe"),
        ("TikTok", "off", "--global", "on"),
        ("TikTok", "off", "--platform", "ios"),
        ("TikTok", "off", "--percent", "101"),
        ("--global", "maybe"),
        ("--global", "on", "--group", "x"),
        ("--grace", "long"),
        ("--unavailable", "defer", "--protocol", "imap"),
        ("--unknown", "missing"),
        ("--unknown", "nothing", "deny"),
        ("--unknown", "missing", "maybe"),
    ],
)
def test_wrong_usage(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    assert "Usage: " in gatepost("flag", "set", *words, "--yes", expect=2).stderr
