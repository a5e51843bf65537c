"""``gatepost plan`` and ``gatepost policy export``: a policy as a file, on its way by two people and by stages."""

import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.changes.applying import Applier
from gateway.changes.scheduling import Schedule
from gateway.cli.main import app
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served

ENFORCED = """\
# The works council agreed on 12 November.
note = "ticket 4711"

[[bans.ban]]
name = "TikTok"
id = "android:com.zhiliaoapp.musically"
flag = "enforce"
"""


def coming(days: float) -> str:
    """A moment so far ahead."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M+00:00")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(ENFORCED, "utf-8")
    return file


def test_a_file_becomes_a_change_that_says_what_it_would_do(gatepost: Gatepost, ann: None, policy: Path) -> None:
    done = gatepost("plan", str(policy)).stdout
    assert done.startswith("change 1 by anna: policy file: 1 ban, 1 flag\npreviewed, made on policy version 1, ")
    assert "note: ticket 4711" in done
    assert "  ban TikTok added: android:com.zhiliaoapp.musically" in done
    assert "  flag of tiktok: none → enforce" in done
    assert "newly cut       1 device of 1 person" in done
    assert "by name         gatepost change show 1 --names --reason WHY\n" in done
    assert done.endswith("\nnothing is in force yet; now: gatepost apply 1\n")
    assert gatepost("ban", "list").stdout.startswith("no bans yet")
    assert "1 device newly cut, 0 newly admitted" in gatepost("apply", "1", "--yes").stdout
    again = gatepost("plan", str(policy))
    assert again.stdout == f"nothing to change: policy version 2 is as {policy} says\n"
    assert json.loads(gatepost("change", "show", "1", "--json").stdout)["source"] == ENFORCED


def test_an_export_is_a_file_that_changes_nothing(gatepost: Gatepost, policy: Path, tmp_path: Path) -> None:
    gatepost("plan", str(policy))
    gatepost("apply", "1", "--yes")
    gatepost("exempt", "add", "--user", "ann", "--for", "2d", "--reason", "travels", "--yes")
    exported = gatepost("policy", "export").stdout
    assert tomllib.loads(exported)["based_on"] == 3
    file = tmp_path / "exported.toml"
    assert gatepost("policy", "export", str(file)).stdout == f"policy version 3 written to {file}\n"
    assert file.read_text("utf-8") == exported
    assert gatepost("plan", str(file)).stdout.startswith("nothing to change")
    assert "add --yes" in gatepost("policy", "export", str(file), expect=1).stderr
    gatepost("policy", "export", str(file), "--yes")
    assert "cannot be written" in gatepost("policy", "export", str(tmp_path / "no" / "x.toml"), expect=1).stderr
    assert json.loads(gatepost("policy", "export", "--json").stdout)["toml"] == exported


def test_what_asks_for_a_second_person_is_said_at_once(gatepost: Gatepost, tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text('[[exemptions.exemption]]\ngroup = "board"\nreason = "x"\nuntil = "2999-01-01T00:00Z"\n', "utf-8")
    refused = gatepost("plan", str(file), expect=1)
    assert refused.stderr == f"gatepost: {file}, line 1, exemptions.exemption[1]: an exemption lasts at most 366 days\n"
    file.write_text(file.read_text("utf-8").replace("2999-01-01T00:00Z", coming(30)), "utf-8")
    done = gatepost("plan", str(file))
    assert "asks for a second person: the whole group board would be exempt" in done.stdout
    assert done.stdout.endswith("now another person: gatepost approve 1\nthen: gatepost apply 1\n")
    assert "nobody known is in group board" in done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'[[bans.ban]]\nname = "x"\nflg = "off"\n', "{file}, line 3, bans.ban[1].flg: there is no key flg: did you"),
        (b"what is this", "this is no TOML text: "),
        (b"\xff\xfe", "{file} is no text in UTF-8 (octet 0): save it as such"),
        (b"#" * (9 << 20), "{file} is larger than a policy file may be"),
        (b"based_on = 9", "based_on names policy version 9, the newest here is 1: export it anew"),
    ],
)
def test_a_file_that_is_none(gatepost: Gatepost, tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(content)
    refused = gatepost("plan", str(file), expect=1)
    assert refused.stderr.startswith(f"gatepost: {sentence.format(file=file)}")
    assert gatepost("change", "list").stdout == "no changes yet\n"


def test_a_file_that_is_not_there_and_one_from_a_pipe(gatepost: Gatepost, api: Served, tmp_path: Path) -> None:
    assert "cannot be read (No such file" in gatepost("plan", str(tmp_path / "no.toml"), expect=1).stderr
    piped = CliRunner().invoke(app, ("plan", "-", "--json"), input=ENFORCED, env=api.environment)
    assert piped.exit_code == 0
    assert json.loads(piped.stdout)["change"]["number"] == 1


# --- by stages


def scheduled(api: Served) -> Schedule:
    """What the control process runs under its lease, over the same store and with the same clock."""
    control = api.control
    applier = Applier(control.store, control, control.publish, control.workers, lambda: control.now)
    return Schedule(control.store, applier, lambda: control.now)


def test_a_staged_change_goes_its_way_by_itself(gatepost: Gatepost, api: Served, ann: None, policy: Path) -> None:
    stages = '[{report_only_for = "24h"}, {group = "sales", for = "4h"}, {everybody = true}]'
    policy.write_text(f"{ENFORCED}[rollout]\nstages = {stages}\nstop = {{ cut_per_hour = 500 }}\n", "utf-8")
    planned = gatepost("plan", str(policy)).stdout
    assert "  stage 1: report-only; halts beyond 500 devices cut per hour\n" in planned
    assert "  stage 2: group sales, by itself 1d after the one before; halts beyond 500" in planned
    assert "  stage 3: everybody, by itself 4h after the one before" in planned
    gatepost("apply", "1", "--yes")
    early = gatepost("apply", "1", "--yes").stdout
    assert early.startswith("change 1 is applying: not before its time, in 24 hours; it comes then by itself (")
    schedule = scheduled(api)
    states = []
    for hours in (24, 4):
        api.control.now += hours * 3600
        api.run(schedule.look())
        states.append(json.loads(gatepost("change", "show", "1", "--json").stdout)["state"])
    assert states == ["applying", "applied"]
    assert "enforce" in gatepost("flag", "list").stdout


def test_stages_and_a_moment_of_a_short_form(gatepost: Gatepost, api: Served, ann: None) -> None:
    ban = ("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--flag", "enforce", "--yes")
    staged = gatepost(*ban, "--stage", "report-only:24h", "--stage", "50%", "--stop-wrong", "3")
    assert "ban TikTok added, enforce, stage 1 of 3" in staged.stdout
    shown = gatepost("change", "show", "1").stdout
    assert "  stage 2: 50 % of the users, by itself 1d after the one before" in shown
    assert '  stage 3: everybody, when somebody applies it; halts beyond 3 "this is wrong"' in shown
    moment = ("--at", "2999-01-01")
    late = gatepost("flag", "set", "--unknown", "missing", "deny", *moment, "--yes", expect=1)
    assert "at lies more than a year ahead" in late.stderr
    waits = gatepost("flag", "set", "--unknown", "missing", "deny", "--at", coming(30), "--yes").stdout
    assert waits.startswith("change 2 is scheduled: not before its time, in ")
    assert " at the earliest" in gatepost("change", "show", "2").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--stage", "half"),
        ("--stage", "101"),
        ("--stage", "10%:soon"),
        ("--at", "tomorrow"),
        ("--stop-wrong", "3"),
        ("--stop-wrong", "-1", "--stage", "10%"),
    ],
)
def test_what_is_no_stage(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    assert "Usage: " in gatepost("flag", "set", "TikTok", "enforce", "--yes", *words, expect=2).stderr


def test_a_step_without_an_edit_is_not_told_as_what_another_change_did(gatepost: Gatepost) -> None:
    gatepost("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--yes")
    gatepost("exempt", "add", "--user", "ann@corp.example", "--for", "2d", "--reason", "travels", "--yes")
    stages = ("--stage", "report-only:24h", "--stage", "everybody")
    begun = gatepost("flag", "set", "TikTok", "enforce", *stages, "--yes").stdout
    withdrawn = gatepost("withdraw", "3").stdout
    assert "exemption" not in begun + withdrawn
    assert begun.startswith("flag of TikTok set to enforce: begun as change 3\n")
    assert withdrawn.startswith("change 3 (")
    assert "the policy is as it was before" in withdrawn


# --- the examples that come with Gatepost

EXAMPLES = sorted((Path(__file__).parents[2] / "config" / "policy-examples").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_planned_as_it_is(gatepost: Gatepost, example: Path) -> None:
    gatepost("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--yes")
    assert "gatepost apply 2" in gatepost("plan", str(example)).stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_and_with_what_has_a_moment(gatepost: Gatepost, tmp_path: Path, example: Path) -> None:
    """What needs a moment that the reader means stands behind a #, or it would be too far ahead, or over, some day."""
    gatepost("ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--yes")
    text = re.sub(r"^# (at = |\[\[|user = |reason = |until = )", r"\1", example.read_text("utf-8"), flags=re.MULTILINE)
    for word, there in PLACES.items():
        text = text.replace(word, there)
    file = tmp_path / example.name
    file.write_text(text, "utf-8")
    assert "gatepost apply 2" in gatepost("plan", str(file)).stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


PLACES = {"2030-12-01T06:00+01:00": coming(5), "2030-12-31T18:00+01:00": coming(30)}
"""Moments in the examples lie far ahead; here they come soon."""


# --- the page of errors

ERRORS = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
WRONG: tuple[bytes | None, ...] = (
    b'[[bans.ban]]\nname = "x"\nflg = "off"',
    b'[[bans.ban]]\nname = "x"\nflag = "maybe"',
    b'[[bans.ban]]\nname = "TikTk"\nflag = "off"',
    b'[[bans.ban]]\nname = "Google"\nid = "android:com.google.*"',
    b'[[bans.ban]]\nname = "x"\nstarts = 2026-01-31',
    b"[rollout]\nstages = [{ percent = 10 }]",
    b'[[exemptions.exemption]]\nuser = "ann"\nreason = "x"',
    b"what is this",
    b"based_on = 9",
    b"\xff",
    None,
)


def test_the_page_of_errors_has_the_sentences_word_by_word(
    gatepost: Gatepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section = ERRORS.read_text("utf-8").partition("## A policy file")[2].partition("\n## ")[0]
    told = [line for line in section.splitlines()[3:] if line and not line.startswith(("#", "```"))]
    said = []
    for content in WRONG:
        Path("policy.toml").unlink(missing_ok=True)
        if content is not None:
            Path("policy.toml").write_bytes(content)
        said.append(gatepost("plan", "policy.toml", expect=1).stderr.removeprefix("gatepost: ").removesuffix("\n"))
    assert said == told
