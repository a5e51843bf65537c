"""In which line of a TOML text a key stands, for errors about what a valid text says.

``tomllib`` gives values without their places. The text is known to be valid, so a key is whatever stands before ``=``,
and brackets and quotes close: nothing is checked again, and whatever it is, each step goes on by a token. Looked for
only once something is wrong.
"""

import re
from collections.abc import Generator, Iterator, Sequence

Path = tuple[str | int, ...]
_Places = Generator[tuple[Path, int], None, None]

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|\n"
    r"|\[\[|\]\]|[\[\]{},=.]"
    r"|[^\s\"'#\[\]{},=.]+",
    re.DOTALL,
)
_DEEPEST = 50


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line of what is at ``path``, or of the innermost thing around it that has one; counted from 1."""
    wanted = tuple(path)
    found: dict[Path, int] = {}
    for where, line in _places(_Tokens(text)):
        found.setdefault(where, line)
    while wanted and wanted not in found:
        wanted = wanted[:-1]
    return found.get(wanted)


def _places(tokens: "_Tokens") -> _Places:
    """Every key and element with its line. Arrays of tables are counted as they come."""
    counts: dict[Path, int] = {}
    table: Path = ()
    while tokens.kind:
        if tokens.kind in ("\n", "]", "]]"):
            tokens.step()
        elif tokens.kind in ("[", "[["):
            line = tokens.line
            table = _header(tokens, counts)
            yield table, line
        else:
            yield from _pair(tokens, table, 0)


def _header(tokens: "_Tokens", counts: dict[Path, int]) -> Path:
    many = tokens.kind == "[["
    tokens.step()
    names = _dotted(tokens)
    tokens.skip("]]" if many else "]")
    place: Path = ()
    for number, name in enumerate(names, start=1):
        place = (*place, name)
        if place in counts and not (many and number == len(names)):
            place = (*place, counts[place])
    if many:
        counts[place] = counts.get(place, -1) + 1
        place = (*place, counts[place])
    return place


def _pair(tokens: "_Tokens", table: Path, depth: int) -> _Places:
    line = tokens.line
    place = (*table, *_dotted(tokens))
    yield place, line
    tokens.skip("=")
    yield from _value(tokens, place, depth)


def _value(tokens: "_Tokens", place: Path, depth: int) -> _Places:
    if tokens.kind in ("[", "[[") and depth < _DEEPEST:
        yield from _array(tokens, place, depth + 1)
    elif tokens.kind == "{" and depth < _DEEPEST:
        tokens.step()
        while tokens.kind not in ("}", ""):
            if tokens.kind in (",", "\n", "]", "]]"):
                tokens.step()
            else:
                yield from _pair(tokens, place, depth + 1)
        tokens.skip("}")
    else:
        while tokens.kind not in ("\n", ",", "]", "]]", "}", ""):
            tokens.step()


def _array(tokens: "_Tokens", place: Path, depth: int) -> _Places:
    tokens.split()
    tokens.step()
    number = 0
    while tokens.kind not in ("]", "]]", ""):
        if tokens.kind in ("\n", "}"):
            tokens.step()
        elif tokens.kind == ",":
            tokens.step()
            number += 1
        else:
            yield (*place, number), tokens.line
            yield from _value(tokens, (*place, number), depth)
    tokens.split()
    tokens.skip("]")


def _dotted(tokens: "_Tokens") -> list[str]:
    names = []
    while tokens.kind not in ("=", "]", "]]", "\n", ""):
        if tokens.kind != ".":
            names.append(_bare(tokens.kind))
        tokens.step()
    return names


def _bare(word: str) -> str:
    # Escapes in a quoted key are rare enough: its line is then that of the table.
    return word[1:-1] if word[:1] in ("'", '"') else word


class _Tokens:
    """What stands in the text, one after another, without blanks and comments."""

    def __init__(self, text: str) -> None:
        self._found: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._rest = ""
        self._next_line = 1
        self.kind = ""
        self.line = 1
        self.step()

    def step(self) -> None:
        """The next one; ``kind`` is empty at the end."""
        if self._rest:
            self.kind, self._rest = self._rest, ""
            return
        self.kind = ""
        for found in self._found:
            self.line = self._next_line
            self._next_line += found[0].count("\n")
            if not found[0].startswith("#"):
                self.kind = found[0]
                return

    def split(self) -> None:
        """Two brackets in a row are two where they are no header."""
        if self.kind in ("[[", "]]"):
            self.kind, self._rest = self.kind[0], self.kind[0]

    def skip(self, kind: str) -> None:
        """Go past one of that kind, if it is there."""
        if self.kind == kind:
            self.step()
