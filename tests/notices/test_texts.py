"""The documentation shows the notices as they are sent."""

from pathlib import Path

from tests.notices.texts import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notices-texts.md"


def test_the_page_shows_them_to_the_letter() -> None:
    assert PAGE.read_text("utf-8") == page()
