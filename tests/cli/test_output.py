"""What is printed, and that nothing of it steers a terminal."""

import json
from contextlib import redirect_stdout
from importlib import metadata
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.desk import Desk, command, group
from gateway.cli.main import app
from gateway.cli.output import Rows, ago, harmless, moment, print_json, print_pairs, print_rows

NOW = "2026-01-31T08:00:00Z"


def test_columns_by_blanks_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(Rows(("name", "x"), [("a" * 200, True), ("b", None), ("c", ["d", "e"]), ("f", [])]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "a" * 200 + "  yes"
    assert [line.split()[1:] for line in lines[2:]] == [["-"], ["d,", "e"], ["-"]]


def test_no_rows_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(Rows(("name",), [], "nothing yet"))
    assert capsys.readouterr().out == "nothing yet\n"


def test_pairs_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("a", 1), ("long name", "x"), ("none", None), ("empty", ""), ("no", [])])
    assert capsys.readouterr().out == "a          1\nlong name  x\n"
    print_pairs([])
    assert capsys.readouterr().out == ""


@given(st.text())
def test_text_from_outside_is_one_printable_line(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert len(shown) == len(text)


@given(st.lists(st.text(), min_size=1))
def test_of_a_list_as_well(texts: list[str]) -> None:
    with StringIO() as out, redirect_stdout(out):
        print_pairs([("groups", texts)])
        assert all(line.isprintable() for line in out.getvalue().split("\n"))


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_json_steers_no_terminal_and_says_the_same(data: dict[str, object]) -> None:
    """A phone calls itself what it likes; one octet of its User-Agent may be the C1 control that begins a sequence."""
    with StringIO() as out, redirect_stdout(out):
        print_json(data)
        assert all(line.isprintable() for line in out.getvalue().split("\n"))
        assert json.loads(out.getvalue()) == data


def test_json_is_read_by_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Jürgen 😀"})
    assert "Jürgen 😀" in capsys.readouterr().out


def test_moments_and_ages() -> None:
    assert moment("2026-01-31T09:00:00.999+01:00") == "2026-01-31 08:00:00 UTC"
    assert (moment(None), ago(None, NOW)) == ("-", "-")
    assert ago("2026-01-31T07:00:00Z", NOW) == "1 h ago"
    assert ago("2026-01-31T08:05:00Z", NOW) == "in 5 min"


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"gatepost {metadata.version('gatepost')}\n")


def test_a_file_that_nobody_thought_of_is_one_sentence() -> None:
    tried = group("Tried.")

    @tried.callback()
    def several() -> None:
        pass

    def look(desk: Desk) -> None:
        raise PermissionError(13, "Permission denied", "/closed/x")

    command(tried, "look")(look)
    ended = CliRunner().invoke(tried, ["look"])
    assert (ended.exit_code, ended.stderr) == (1, "gatepost: /closed/x cannot be used (Permission denied)\n")
