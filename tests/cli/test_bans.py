"""``gatepost ban``."""

import json

import pytest

from tests.cli.conftest import Gatepost
from tests.support.served_control import Served

ADD = ("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically")


def test_a_ban_is_added_and_says_where_it_is_in_force(gatepost: Gatepost) -> None:
    added = gatepost(*ADD, "--id", "ios:com.zhiliaoapp.musically", "--note", "ticket 4711", "--yes")
    first, second = added.stdout.splitlines()
    assert first == "ban TikTok added, report-only (ticket 4711)"
    assert second.startswith("policy version 2 in force on 1 of 1 workers after ")
    assert gatepost("ban", "list").stdout.splitlines()[1].split("  ")[0] == "TikTok"
    assert "matches  ios:com.zhiliaoapp.musically" in gatepost("ban", "show", "tiktok").stdout


def test_all_kinds_of_matchers(gatepost: Gatepost) -> None:
    gatepost(
        *("ban", "add", "All", "--id", "android:com.example.*", "--except", "android:com.example.fine"),
        *("--signer", "ab" * 32, "--team-id", "ABCDE12345", "--extension", "abcdef", "--origin", "sideload"),
        *("--app-name", "Tik*", "--publisher", "Byte*", "--below-version", "4.2", "--group", "sales"),
        *("--starts", "2026-01-31", "--ends", "2026-12-31T08:00+01:00", "--text", "Please remove it.", "--yes"),
    )
    ban = json.loads(gatepost("ban", "show", "All", "--json").stdout)
    assert len(ban["matchers"]) == 6
    assert {each["below_version"] for each in ban["matchers"]} == {"4.2"}
    assert (ban["ends_at"], ban["groups"], ban["text"]) == ("2026-12-31T07:00:00Z", ["sales"], "Please remove it.")
    shown = gatepost("ban", "show", "All").stdout
    assert "name Tik* by Byte* below 4.2" in shown
    assert "except   android:com.example.fine" in shown
    assert "and 3 more" in gatepost("ban", "list").stdout


def test_warnings_go_beside_the_answer(gatepost: Gatepost) -> None:
    added = gatepost("ban", "add", "Weak", "--app-name", "Tik*", "--yes")
    assert "weak" in added.stderr
    assert "weak" not in added.stdout


def test_a_ban_that_locks_everybody_out_is_refused_in_one_sentence(gatepost: Gatepost) -> None:
    refused = gatepost("ban", "add", "Google", "--id", "android:com.google.*", expect=1)
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("gatepost: this ban also matches Gmail")


def test_what_it_would_do_is_shown_before_it_asks(gatepost: Gatepost) -> None:
    refused = gatepost(*ADD, "--flag", "enforce", expect=1)
    question = "Apply change 1: 0 devices newly cut, 0 devices newly admitted?"
    assert refused.stderr == f"gatepost: {question} Nobody is here to ask: add --yes to do it\n"
    assert "ban TikTok added: android:com.zhiliaoapp.musically" in refused.stdout
    assert "rejected" in gatepost("change", "list").stdout
    assert "added, enforce" in gatepost(*ADD, "--flag", "enforce", "--yes").stdout


def test_a_ban_is_removed(gatepost: Gatepost) -> None:
    gatepost(*ADD, "--yes")
    gatepost("ban", "remove", "TikTok", expect=1)
    assert "ban TikTok removed" in gatepost("ban", "remove", "TikTok", "--yes").stdout
    assert gatepost("ban", "list").stdout == "no bans yet: gatepost ban add NAME --id …\n"
    missing = gatepost("ban", "remove", "TikTok", "--yes", expect=1)
    assert missing.stderr == "gatepost: there is no ban 'TikTok'; there are: none yet\n"


def test_silent_workers_are_named(gatepost: Gatepost, api: Served) -> None:
    api.control.workers.names, api.control.workers.silent = ("worker-1", "worker-2"), ("worker-2",)
    late = gatepost(*ADD, "--yes", expect=1)
    assert late.stderr == (
        "gatepost: policy version 2 is stored, but in force on 1 of 2 workers only; silent: worker-2\n"
    )


def test_without_workers_nothing_is_claimed(gatepost: Gatepost, api: Served) -> None:
    api.control.workers.names = ()
    assert "policy version 2 stored; no worker runs here to take it up" in gatepost(*ADD, "--yes").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("ban", "add"),
        ("ban", "add", "x"),
        (*ADD, "--flag", "maybe"),
        (*ADD, "--publisher", "x"),
        (*ADD, "--starts", "tomorrow"),
        (*ADD, "--what"),
        ("ban", "fly"),
    ],
)
def test_wrong_usage(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    wrong = gatepost(*words, expect=2)
    assert "Usage: " in wrong.stderr
    assert wrong.stdout == ""
