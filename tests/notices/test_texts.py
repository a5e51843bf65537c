"""The documentation shows the notices as they are sent."""

import re
from pathlib import Path

from tests.notices.texts import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notices-texts.md"


def test_the_page_shows_them_to_the_letter() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_there_is_a_small_picture_of_each() -> None:
    named = re.findall(r"\]\((images/[^)]+)\)", page())
    sizes = {name: (PAGE.parent / name).stat().st_size for name in named}
    assert len(sizes) == 12
    assert all(1_000 < size < 100 << 10 for size in sizes.values()), sizes
