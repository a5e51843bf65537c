"""``gatepost person``: what notices need to know of people: address, language, time zone, name."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient, segment
from gateway.cli.csv_file import Cells, csv_rows
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed, reworded
from gateway.cli.pieces import broken_off
from gateway.cli.progress import shown

app = group("People: where notices reach them, in which language; and what is erased of them.")

ROWS_AT_ONCE = 100
"""As in ``groups``."""
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
        counted = _send(desk, api, rows, file, dry_run=True)
        words = _words(counted)
        if dry_run or not (counted["added"] or counted["changed"]):
            desk.show({**counted, "dry_run": True}, text=f"{file}: {words}; nothing was changed")
            return
        desk.confirm(f"{file}: {words}. Import?")
        # What was done, which need not be what it would have been a moment before.
        done = _send(desk, api, rows, file, dry_run=False)
    desk.show({**done, "dry_run": False}, text=f"imported: {_words(done)}")


def _words(counted: dict[str, int]) -> str:
    return f"{counted['added']} new people, {counted['changed']} changed, {counted['unchanged']} as before"


def _send(desk: Desk, api: AdminClient, rows: list[tuple[int, Row]], file: Path, *, dry_run: bool) -> dict[str, int]:
    counted = {"added": 0, "changed": 0, "unchanged": 0}
    with shown(desk) as tick:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[start : start + ROWS_AT_ONCE]
            try:
                answer = api.post("/people/import", {"rows": [row for _, row in batch], "dry_run": dry_run})
            except Failed as error:
                told = reworded(error, f"{file}, from line {batch[0][0]} on: {error}")
                raise (told if dry_run else broken_off(told, start, len(batch), len(rows), "people")) from None
            for name in counted:
                counted[name] += answer[name]
            tick("looking" if dry_run else "importing", start + len(batch), len(rows))
    return counted


def _rows_of(file: Path) -> list[tuple[int, Row]]:
    """Rows with the lines that they stand in. Raises ``Failed``."""
    return [(line, _row(cells)) for line, cells in csv_rows(file, "login", _wrong)]


def _wrong(columns: set[str]) -> str:
    fits = "login" in columns and columns & set(COLUMNS) and not columns - {"login", *COLUMNS}
    return "" if fits else f"login and any of {', '.join(COLUMNS)}"


def _row(cells: Cells) -> Row:
    stated = {column: cells[column] for column in COLUMNS if column in cells}
    return {"user": cells["login"], "groups": None, **stated}


@command(app, "erase")
def erase(
    desk: Desk,
    user: Annotated[str, typer.Argument(help="The user, in any spelling.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the audit log keeps it, so name nobody.")] = "",
    even_refused: Annotated[
        bool, typer.Option("--even-refused", help="Also where that lets somebody in who is refused now.")
    ] = False,
) -> None:
    """Erase all that is known of a person: devices, reports, credentials, notices, and who is meant in the audit log.

    It cannot be taken back. A phone that asks again, or an agent that reports again, is taken as new.

    \b
    Example:
      gatepost person erase anna@corp.example --reason "left the company, request 4711"
    """
    if not reason.strip():
        raise typer.BadParameter("erasing a person takes a --reason; the audit log keeps it")
    desk.confirm(f"Erase all that is known of {user}? It cannot be taken back.")
    with desk.api("erasing") as api:
        answer = api.delete(f"/people/{segment(user)}", reason=reason, even_refused=str(even_refused).lower())
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in answer["erased"].items())
    kept = "\n".join(f"stays: {sentence}" for sentence in answer["kept"])
    desk.show(answer, text=f"erased: {counted}\n{kept}")
