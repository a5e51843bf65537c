"""The count of live tests, tried on small suites of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import pytest

def test_runs():
    pass

def test_lacks():
    pytest.skip("SOGo is not installed")

def test_lacks_too():
    pytest.skip("SOGo is not installed")
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "live").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = live: real servers\n")
    return tmp_path


def outcome(suite: Path, required: str = "", *more: str) -> tuple[int, str]:
    words = ["-m", "pytest", "-p", "tests.support.live_report", "-p", "no:cacheprovider", "-q", str(suite), *more]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=suite,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GATEPOST_REQUIRE_LIVE": required},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("more", [(), ("-n", "2")])
def test_the_last_lines_say_how_many_ran(suite: Path, more: tuple[str, ...]) -> None:
    (suite / "live" / "test_servers.py").write_text(SUITE)
    (suite / "test_other.py").write_text(SUITE)
    code, text = outcome(suite, "", *more)
    assert code == 0
    assert "live: 1 run, 2 skipped (2 × SOGo is not installed)" in text.splitlines()[-3:]


def test_a_skip_is_a_failure_where_live_tests_are_required(suite: Path) -> None:
    (suite / "live" / "test_servers.py").write_text(SUITE)
    (suite / "test_other.py").write_text(SUITE)
    code, text = outcome(suite, required="1")
    assert code == 1
    assert "GATEPOST_REQUIRE_LIVE=1, yet skipped: SOGo is not installed" in text
    assert "2 failed, 2 passed, 2 skipped" in text


def test_a_file_that_is_skipped_as_a_whole(suite: Path) -> None:
    (suite / "live" / "test_servers.py").write_text(
        "import pytest\npytest.skip('no Docker', allow_module_level=True)\n" + SUITE
    )
    (suite / "test_other.py").write_text("def test_runs():\n    pass\n")
    assert outcome(suite)[0] == 0
    code, text = outcome(suite, required="1")
    assert code != 0
    assert "live: 0 run, 1 skipped (1 × no Docker)" in text


def test_without_live_tests(suite: Path) -> None:
    (suite / "test_other.py").write_text("def test_runs():\n    pass\n")
    assert "live: 0 run, 0 skipped" in outcome(suite, required="1")[1]
