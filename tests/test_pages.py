"""README, ``docs/`` and the examples name only what there is: commands with their options, settings, files, headings.

Whoever copies a line of a page gets what the page says, or a sentence of the product's own; never "no such option".
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.changes import policy_file
from gateway.cli.main import app
from gateway.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"])
FENCED = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```$", flags=re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
STAND_IN = re.compile(r"[A-Z][A-Z_]*$")
"""A word in capitals, in whose place the reader writes something."""


def name(path: Path) -> str:
    """A page as a test is called after it."""
    return str(path.relative_to(ROOT))


@cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def fences(path: Path, *languages: str) -> list[str]:
    """The code blocks of a page in these languages."""
    return [code for language, code in FENCED.findall(text_of(path)) if language in languages]


def spans(path: Path) -> list[str]:
    """The code within lines, outside code blocks."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCED.sub("", text_of(path)))]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command in a line of shell, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if words:
                yield words
            words = []
        else:
            words.append(word)


@cache
def command_tree() -> Any:
    """The command line; its library promises no type for it."""
    return typer.main.get_command(app)


def asked_of_gatepost(code: str) -> Iterator[list[str]]:
    """What follows ``gatepost`` in a piece of shell, by whatever path and before whatever other words it stands."""
    for line in code.replace("\\\n", " ").splitlines():
        if "gatepost" not in line:
            continue
        for words in simple_commands(line):
            if (place := place_of_program(words)) is not None:
                yield words[place + 1 :]


def place_of_program(words: list[str]) -> int | None:
    """Where the program stands: ``gatepost`` is a user, a unit, a container and an image as well."""
    known = set(command_tree().commands)
    pairs = list(enumerate(zip(words, [*words[1:], ""], strict=True)))
    by_what_follows = [place for place, (word, next_word) in pairs if word == "gatepost" and next_word in known]
    by_path = [place for place, (word, _) in pairs if word.endswith("bin/gatepost")]
    at_the_beginning = [0] if words[0] == "gatepost" else []
    return next(iter([*by_path, *reversed(by_what_follows), *at_the_beginning]), None)


def complaint(words: list[str]) -> str:
    """What the command line says against these words; empty where it takes them."""
    command = command_tree()
    left = list(words)
    while hasattr(command, "commands"):
        if not left or left[0].startswith("-"):
            return ""
        if left[0] not in command.commands:
            return f"there is no command {left[0]}"
        command = command.commands[left.pop(0)]
    try:
        command.make_context("gatepost", left, resilient_parsing=False)
    except Exception as error:  # of whatever library reads the words
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"
    return ""


def complaints(words: list[str]) -> str:
    """The same, where a word in capitals may stand for any value."""
    found = complaint(words)
    if "BadParameter" in found and any(STAND_IN.match(word) for word in words):
        found = complaint(["7" if STAND_IN.match(word) else word for word in words])
        return "" if "BadParameter" in found else found
    return found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sudo -u gatepost /opt/gatepost/bin/gatepost flog list", "flog"),
        ("gatepost flag set TikTok enforce --persent 10   # a tenth", "--persent"),
        ("docker exec gatepost gatepost change show twelve", "integer"),
        ("gatepost plan 12.toml && gatepost apply", "Missing"),
        ("printf 'user\\n' | gatepost group import", "Missing"),
    ],
)
def test_what_is_wrong_is_found(line: str, words: str) -> None:
    assert words in str([complaint(asked) for asked in asked_of_gatepost(line)])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_blocks_can_be_given(page: Path) -> None:
    asked = [words for code in fences(page, "sh", "bash") for words in asked_of_gatepost(code)]
    assert [(shlex.join(words), wrong) for words in asked if (wrong := complaints(words))] == []


def in_a_sentence(span: str) -> bool:
    """Whether a span is a command as it would be typed, and not one of which something is left out."""
    return span.startswith("gatepost ") and not re.search(r"[…|\[\]]|\.\.\.", span)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_sentences_are_there(page: Path) -> None:
    """A sentence may leave out what has to follow; what it names is there."""
    asked = [words for span in spans(page) if in_a_sentence(span) for words in asked_of_gatepost(span)]
    wrong = [(shlex.join(words), complaints(words)) for words in asked]
    assert [each for each in wrong if each[1] and "Missing" not in each[1]] == []


@cache
def sections() -> dict[str, set[str]]:
    """The settings by section."""
    found: dict[str, set[str]] = {}
    for section, field in Settings.model_fields.items():
        keys: dict[str, object] = getattr(field.annotation, "model_fields", {})
        found[section] = set(keys)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_that_are_named_are_there(page: Path) -> None:
    written = [pair for span in spans(page) for pair in re.findall(r"\[([a-z]+)\] ([a-z_]+)\b", span)]
    assert [f"[{section}] {key}" for section, key in written if key not in sections().get(section, {key})] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_variables_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"GATEPOST_([A-Z]+__[A-Z_]+)", text_of(page)))
    known = {f"{section}__{key}".upper() for section, keys in sections().items() for key in keys}
    assert {each for each in named if each.removesuffix("_FILE") not in known} - MISTAKES_SHOWN == set()


MISTAKES_SHOWN = {"HTTP__UPSTRAEM", "HTP__UPSTREAM"}
"""Variables that are none, as ``docs/reference/errors.md`` shows them."""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_in_blocks_are_taken(page: Path, tmp_path: Path) -> None:
    for code in fences(page, "toml"):
        if set(tomllib.loads(code)) <= set(sections()):
            (tmp_path / "gatepost.toml").write_text(code)
            load_settings(tmp_path / "gatepost.toml", {})
        elif "bounces" in code:
            (tmp_path / "gatepost.toml").write_text(f"[notices]\n{code}")
            load_settings(tmp_path / "gatepost.toml", {})
        else:
            assert policy_file.read(code).text == code


@cache
def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", text_of(path)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", FENCED.sub("", text_of(page)))
    inside = [(target, anchor) for target, anchor in links if not target.startswith(("http:", "https:"))]
    broken = []
    for target, anchor in inside:
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_modules_and_targets_are_there(page: Path) -> None:
    code = "\n".join([*spans(page), *fences(page, "sh", "bash", "")])
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    missing = [f"make {each}" for each in re.findall(r"\bmake ([a-z-]+)\b", code) if each not in targets]
    for module in re.findall(r"\bpython -m ([a-z_]+(?:\.[a-z_]+)+)", code):
        path = ROOT / module.replace(".", "/")
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
            missing.append(module)
    for file in re.findall(r"(?<![\w/.-])((?:tests|bench|config|docs|gateway)/[\w/.-]+\.[a-z]+)\b", code):
        missing += [file] if not (ROOT / file).exists() and not file.startswith(MADE) else []
    assert missing == []


MADE = ("bench/results/",)
"""What a command makes."""
