"""What is left to ``make test-long`` is there."""

from pathlib import Path

import pytest

from tests.support.long_tests import CASES, FILES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_there(case: str) -> None:
    file, _, name = case.partition("::")
    assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text("utf-8")
