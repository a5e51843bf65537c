"""docs/reference/rules.md names tests that exist, and every reason that a verdict can give."""

import re
from pathlib import Path

from gateway.domain.verdict import Reason

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "reference" / "rules.md").read_text()


def test_every_test_on_the_page_exists() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)`", PAGE)
    assert len(named) > 100
    for file, test in named:
        assert f"def {test}(" in (HERE / f"{file}.py").read_text(), f"{file}::{test}"


def test_every_row_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| rule ")]
    assert [row for row in rows if not re.search(r"\| `test_\w+::test_\w+` \|$", row)] == []


def test_every_reason_is_on_the_page() -> None:
    assert [reason for reason in Reason if f"`{reason}`" not in PAGE] == []
