"""``gatepost person``: what notices need to know of people: address, language, time zone, name."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed

app = group("People: where notices reach them, and in which language.")

ROWS_AT_ONCE = 1000
COLUMNS = ("address", "language", "time_zone", "display_name")
"""What the first line may name beside login."""

Row = dict[str, Any]


@command(app, "import")
def import_people(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A CSV file, or - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
) -> None:
    """Set address, language, time zone and name of people from a CSV file; groups stay as they are.

    The first line names the columns: login, and any of address, language, time_zone and display_name.

    \b
    Examples:
      gatepost person import people.csv
      gatepost person import people.csv --dry-run
    """
    rows = _rows_of(file)
    with desk.api() as api:
        added, changed, unchanged = _send(api, rows, file, dry_run=True)
        words = f"{added} new people, {changed} changed, {unchanged} as before"
        counted = {"added": added, "changed": changed, "unchanged": unchanged}
        if dry_run or not (added or changed):
            desk.show({**counted, "dry_run": True}, text=f"{file}: {words}; nothing was changed")
            return
        desk.confirm(f"{file}: {words}. Import?")
        _send(api, rows, file, dry_run=False)
    desk.show({**counted, "dry_run": False}, text=f"imported: {words}")


def _send(api: AdminClient, rows: list[tuple[int, Row]], file: Path, *, dry_run: bool) -> tuple[int, int, int]:
    added = changed = unchanged = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        batch = rows[start : start + ROWS_AT_ONCE]
        try:
            answer = api.post("/people/import", {"rows": [row for _, row in batch], "dry_run": dry_run})
        except Failed as error:
            raise Failed(f"{file}, from line {batch[0][0]} on: {error}") from None
        added += answer["added"]
        changed += answer["changed"]
        unchanged += answer["unchanged"]
    return added, changed, unchanged


def _rows_of(file: Path) -> list[tuple[int, Row]]:
    """Rows with the lines that they stand in. Raises ``Failed``."""
    try:
        if str(file) == "-":
            rows = list(_read(sys.stdin, "standard input"))
        else:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                rows = list(_read(opened, str(file)))
    except OSError as error:
        raise Failed(f"{file} cannot be read ({error.strerror}): name a CSV file") from None
    except UnicodeDecodeError:
        raise Failed(f"{file} is no text in UTF-8: save it as CSV UTF-8") from None
    except csv.Error as error:
        raise Failed(f"{file} is no CSV file: {error}") from None
    if not rows:
        raise Failed(f"{file} names nobody below its first line")
    return rows


def _read(opened: TextIO, name: str) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(opened, strict=True)
    columns = {(column or "").strip().lower() for column in reader.fieldnames or ()}
    if "login" not in columns or not columns & set(COLUMNS) or columns - {"login", *COLUMNS}:
        raise Failed(f"{name}: the first line must name the columns login and any of {', '.join(COLUMNS)}")
    for line in reader:
        if None in line or None in line.values():
            raise Failed(f"{name}, line {reader.line_num}: it has not as many cells as the first line")
        cells = {key.strip().lower(): value.strip() for key, value in line.items()}
        if not cells["login"]:
            raise Failed(f"{name}, line {reader.line_num}: the login is empty")
        stated = {column: cells[column] for column in COLUMNS if column in cells}
        yield reader.line_num, {"user": cells["login"], "groups": None, **stated}
