"""``gatepost flag set --global off --local``: it says what was done, and of the note what is kept."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.runtime.break_glass import REASON_LONGEST, newest_act


def broken(directory: Path, note: str) -> Result:
    config = directory / "gatepost.toml"
    config.write_text(f'[gateway]\ndata_dir = "{directory}"\n')
    words = ["flag", "set", "--global", "off", "--local", "--note", note]
    return CliRunner().invoke(app, [*words, "--config", str(config)])


@pytest.mark.parametrize("letter", ["a", "ü", "🔨"])
def test_a_note_that_is_too_long_is_cut_and_that_is_said(tmp_path: Path, letter: str) -> None:
    done = broken(tmp_path, letter * (REASON_LONGEST + 1))
    assert done.exit_code == 0
    assert "enforces nothing within a second or two" in done.stdout
    assert "The note was too long: its first 500 characters are kept" in done.stdout
    act = newest_act(tmp_path)
    assert act is not None
    assert (act.broken, act.reason) == (True, letter * REASON_LONGEST)


def test_of_any_other_nothing_is_said(tmp_path: Path) -> None:
    done = broken(tmp_path, "a" * REASON_LONGEST)
    assert done.exit_code == 0
    assert "note" not in done.stdout
