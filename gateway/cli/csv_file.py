"""CSV files as they come from directories and spreadsheets; every fault is one sentence that names file and line."""

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from gateway.cli.failures import Failed

Cells = dict[str, str]
"""Of one line, by column in small letters, without white space around."""


def csv_rows(file: Path, who: str, wrong: Callable[[set[str]], str]) -> list[tuple[int, Cells]]:
    """The lines below the first with their numbers; ``-`` is standard input. Raises ``Failed``.

    ``who`` is the column that no line may leave empty; ``wrong`` says what the first line must name where its columns
    will not do, and nothing where they will.
    """
    try:
        if str(file) == "-":
            rows = list(_read(sys.stdin, "standard input", who, wrong))
        else:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                rows = list(_read(opened, str(file), who, wrong))
    except OSError as error:
        raise Failed(f"{file} cannot be read ({error.strerror}): name a CSV file") from None
    except UnicodeDecodeError:
        raise Failed(f"{file} is no text in UTF-8: save it as CSV UTF-8") from None
    except csv.Error as error:
        raise Failed(f"{file} is no CSV file: {error}") from None
    if not rows:
        raise Failed(f"{file} names no {who} below its first line")
    return rows


def _read(opened: TextIO, name: str, who: str, wrong: Callable[[set[str]], str]) -> Iterator[tuple[int, Cells]]:
    reader = csv.DictReader(opened, strict=True)
    columns = _columns(reader.fieldnames or ())
    if sentence := wrong(columns):
        raise Failed(f"{name}: the first line must name the columns {sentence}")
    for line in reader:
        if None in line or None in line.values():
            raise Failed(f"{name}, line {reader.line_num}: it has not as many cells as the first line")
        cells = {key.strip().lower(): value.strip() for key, value in line.items()}
        if not cells[who]:
            raise Failed(f"{name}, line {reader.line_num}: the {who} is empty")
        yield reader.line_num, cells


def _columns(first_line: Sequence[str | None]) -> set[str]:
    return {(column or "").strip().lower() for column in first_line}
