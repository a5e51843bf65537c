"""What is printed, and that nothing of it steers a terminal."""

from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.output import Rows, ago, harmless, moment, print_pairs, print_rows

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


def test_moments_and_ages() -> None:
    assert moment("2026-01-31T09:00:00.999+01:00") == "2026-01-31 08:00:00 UTC"
    assert (moment(None), ago(None, NOW)) == ("-", "-")
    assert ago("2026-01-31T07:00:00Z", NOW) == "1 h ago"
    assert ago("2026-01-31T08:05:00Z", NOW) == "in 5 min"


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"gatepost {metadata.version('gatepost')}\n")
