"""``docs/reference/cli.md`` says what the command line does: every command, every option, and nothing else."""

import re
from pathlib import Path
from typing import Any

import typer

from gateway.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
SHARED = {"--config", "--json", "--yes", "-y", "--help", "-h"}


def tree(command: Any, words: tuple[str, ...] = ("gatepost",)) -> dict[str, Any]:
    """Every command that does something, by its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {" ".join(words): command}
    found: dict[str, Any] = {}
    for name, each in inner.items():
        found.update(tree(each, (*words, name)))
    return found


def sections() -> dict[str, str]:
    """The page's text for each documented command."""
    parts = re.split(r"^### `([^`]+)`$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_documented_and_nothing_else() -> None:
    assert sorted(sections()) == sorted(tree(typer.main.get_command(app)))


def test_every_option_is_documented_and_nothing_else() -> None:
    documented = sections()
    for words, command in tree(typer.main.get_command(app)).items():
        options = {option for each in command.params for option in each.opts if option.startswith("-")}
        told = set(re.findall(r"^\| `(--?[a-z-]+)", documented[words], flags=re.MULTILINE))
        assert told == options - SHARED, words


def test_every_command_teaches_by_example() -> None:
    for words, command in tree(typer.main.get_command(app)).items():
        assert words in (command.help or ""), f"{words} --help has no example"
        assert words in documented_examples(sections()[words]), words


def documented_examples(section: str) -> str:
    """What stands between the fences."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL))
