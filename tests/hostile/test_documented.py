"""docs/hostile-bytes.md says what the collection is: its themes, how many of each, and what is answered."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.answer_case import BROKEN, AnswerCase
from tests.hostile.answers import THEMES as ANSWERS
from tests.hostile.case import Case
from tests.hostile.catalogue import THEMES as REQUESTS

PAGE = Path(__file__).parents[2] / "docs" / "hostile-bytes.md"


def outcome(case: Case | AnswerCase) -> str:
    """In the words of the page: what the first answer is, and whether the connection ends with it."""
    if isinstance(case, AnswerCase):
        return "refused" if case.gets == BROKEN else "passed on, connection used again" if case.reused else "passed on"
    words = re.sub("/HEAD", "", case.gets).split()
    if words[0] == "waits":
        return "time out"
    return f"{words[0]} and close" if words[1:2] == ["close"] else words[0]


def rows(themes: dict[str, tuple[Case, ...]] | dict[str, tuple[AnswerCase, ...]]) -> list[str]:
    return [row(theme, cases) for theme, cases in themes.items()]


def row(theme: str, cases: Sequence[Case | AnswerCase]) -> str:
    outcomes = [outcome(case) for case in cases]
    counted = sorted(set(outcomes), key=lambda each: (-outcomes.count(each), each))
    return f"| {theme} | {len(cases)} | {', '.join(f'{outcomes.count(each)} × {each}' for each in counted)} |"


def test_the_tables_are_true() -> None:
    text = PAGE.read_text()
    for line in (*rows(REQUESTS), *rows(ANSWERS)):
        assert line in text, line
    for themes in (REQUESTS, ANSWERS):
        assert f"{sum(len(cases) for cases in themes.values())} of them" in text
