"""The table of every way and every person, as it was answered; ``docs/conformance.md`` holds it."""

from collections.abc import Mapping
from pathlib import Path

from tests.conformance.people import PEOPLE
from tests.conformance.ways import GROUPS, Answered, Group

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- the table begins -->\n", "<!-- the table ends -->\n"

Answers = Mapping[tuple[str, str, str], Answered]
"""By group, way and person."""


async def answered() -> Answers:
    """Ask by every way about every person, one after the other."""
    found = {}
    for group in GROUPS:
        for way in group.ways:
            for person in PEOPLE:
                found[group.title, way.name, person.name] = await way.ask(person)
    return found


def written(answers: Answers) -> str:
    """In Markdown, a table for each group."""
    return "\n".join(_table(group, answers) for group in GROUPS)


def _table(group: Group, answers: Answers) -> str:
    names = [way.name for way in group.ways]
    lines = [f"**{group.title}**\n", f"| | {' | '.join(names)} | reason |", "|---" * (len(names) + 2) + "|"]
    for person in PEOPLE:
        row = [answers[group.title, name, person.name] for name in names]
        reasons = sorted({each.verdict.reason.value for each in row})
        cells = " | ".join(each.told.name for each in row)
        lines.append(f"| {person.name} | {cells} | {', '.join(f'`{each}`' for each in reasons)} |")
    return "\n".join(lines) + "\n"


def on_the_page() -> str:
    """The table in the documentation."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def put_on_the_page(table: str) -> None:
    """Replace it."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2], "utf-8")
