"""``gatepost group``: who belongs to which group."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.csv_file import Cells, csv_rows
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.output import Rows
from gateway.cli.pieces import broken_off, imported
from gateway.cli.progress import shown

app = group("Groups of users, for bans, flags and exemptions.")

ROWS_AT_ONCE = 100
"""Each request is one unit of work of the store; other units, reports among them, wait for it."""
PAGE = 1000
COLUMNS = frozenset({"user", "group", "groups", "aliases"})
"""What the first line of a file may name."""
IN_ONE_WAY = "write each user's name in one way, or all lines of a user one below the other"

Row = dict[str, Any]


@command(app, "list")
def list_groups(desk: Desk) -> None:
    """List the groups that somebody is in.

    \b
    Example:
      gatepost group list
    """
    with desk.api() as api:
        answer = api.get("/groups")
    rows = [(each["group"], each["members"]) for each in answer["groups"]]
    desk.show(answer, rows=Rows(("group", "members"), rows, "no groups yet: gatepost group import FILE.csv"))


@command(app, "import")
def import_groups(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A CSV file, or - for standard input.")],
    complete: Annotated[
        bool, typer.Option("--complete", help="The file names everybody in any group: all others leave theirs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
) -> None:
    """Set the groups of users from a CSV file.

    The first line names the columns: user, and group (one membership a line) or groups (several, with ; in between);
    aliases (with ; in between) if you like. A user's groups become those of the file. Users that it does not name
    keep theirs, unless the file is --complete.

    \b
    Examples:
      gatepost group import groups.csv
      gatepost group import groups.csv --complete --dry-run
      printf 'user,group\\nanna,board\\n' | gatepost group import - --yes
    """
    rows = _rows_of(file)
    with desk.api() as api:
        counted = _send(desk, api, rows, dry_run=True)
        counted.see_whose_names_they_are()
        if complete:
            leaving = _leaving(api, counted.users)
            rows += leaving
            counted.changed += len(leaving)
            counted.count_turned(_send(desk, api, leaving, dry_run=True))
        words = counted.words()
        if dry_run or not (counted.added or counted.changed):
            desk.show(counted.shown(dry_run=True), text=f"{file}: {words}; nothing was changed")
            return
        counted.see_that_it_may_be()
        desk.confirm(f"{file}: {words}. Bans, flags and exemptions for groups follow at once. Import?")
        done = _send(desk, api, rows, dry_run=False)
    desk.show(done.shown(dry_run=False), text=f"imported: {done.words()}")


@dataclass(slots=True)
class _Total:
    """What all requests of an import together did."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    newly_cut: int = 0
    newly_admitted: int = 0
    users: set[str] = field(default_factory=set)
    aliases: Counter[str] = field(default_factory=Counter)
    may_cut: int | None = None

    def see_that_it_may_be(self) -> None:
        """Before anything is imported, since it goes in pieces. Raises ``Failed``."""
        if self.may_cut is not None and self.newly_cut > self.may_cut:
            raise Failed(
                f"by rules for groups {self.newly_cut} devices would be newly cut, and you alone may cut "
                f"{self.may_cut} so by now ([changes] most_devices, within a day). Nothing was imported: turn the "
                "rules to report-only (gatepost flag list shows them), import, and enforce again, which is a change "
                "with its preview"
            )

    def count_users(self, users: list[str], imported: str = "") -> None:
        """Everybody whom a further request names. Raises ``Failed`` for who was named before.

        ``imported`` says how many were, that request's among them; empty: it was a dry run.
        """
        if twice := self.users.intersection(users):
            # In one request they would be merged; in two the second takes away what the first has given.
            words = f"{min(twice)} stands in this file by several spellings, in lines far apart"
            if imported:
                raise Failed(
                    f"{imported}: {words}, and has only the groups of the last of them now. To mend that, "
                    f"{IN_ONE_WAY}, and import the file again"
                )
            raise Failed(f"{words}: {IN_ONE_WAY}. Nothing was imported")
        self.users.update(users)

    def see_whose_names_they_are(self) -> None:
        """Before anything is imported, since no dry run of a request knows what those before it would have written.

        Raises ``Failed`` for a name of two users: as soon as one has it, the other's lines are refused, or are taken
        for lines of the one.
        """
        shared = {name for name, count in self.aliases.items() if count > 1} | self.users.intersection(self.aliases)
        if shared:
            raise Failed(
                f"{min(shared)} would be a name of two users, by lines of its own or as an alias: give each name to "
                "one user, and write all lines of that user with the same name. Nothing was imported"
            )

    def count_turned(self, other: "_Total") -> None:
        """Also those whom further rows turn."""
        self.newly_cut += other.newly_cut
        self.newly_admitted += other.newly_admitted

    def words(self) -> str:
        """All of it in a line."""
        words = f"{self.added} new users, {self.changed} in other groups, {self.unchanged} as before"
        if self.newly_cut or self.newly_admitted:
            words += f"; {self.newly_cut} devices newly cut, {self.newly_admitted} newly admitted by rules for groups"
        return words

    def shown(self, *, dry_run: bool) -> dict[str, object]:
        turned = {"newly_cut": self.newly_cut, "newly_admitted": self.newly_admitted}
        return {"added": self.added, "changed": self.changed, "unchanged": self.unchanged, **turned, "dry_run": dry_run}


def _send(desk: Desk, api: AdminClient, rows: list[Row], *, dry_run: bool) -> _Total:
    total = _Total()
    with shown(desk) as tick:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[start : start + ROWS_AT_ONCE]
            try:
                answer = api.post("/people/import", {"rows": batch, "dry_run": dry_run})
            except Failed as error:
                if dry_run:
                    raise
                raise broken_off(error, start, len(batch), len(rows), "users") from None
            total.added += answer["added"]
            total.changed += answer["changed"]
            total.unchanged += answer["unchanged"]
            total.newly_cut += answer["newly_cut"]
            total.newly_admitted += answer["newly_admitted"]
            total.may_cut = answer["may_cut"] if dry_run else None
            total.count_users(answer["users"], "" if dry_run else imported(start + len(batch), len(rows), "users"))
            total.aliases.update(answer.get("aliases", ()))
            tick("looking" if dry_run else "importing", start + len(batch), len(rows))
    return total


def _leaving(api: AdminClient, named: set[str]) -> list[Row]:
    """Rows without groups for those who are in one and whom a complete file does not name."""
    found: list[Row] = []
    after: str | None = ""
    while after is not None:
        page = api.get("/people", after=after, limit=PAGE)
        found += [
            {"user": each["user"], "groups": []}
            for each in page["people"]
            if each["groups"] and each["user"] not in named
        ]
        after = page["next_after"]
    return found


def _rows_of(file: Path) -> list[Row]:
    """A row per user, in the order of the file. Raises ``Failed``."""
    return _merged(_row(cells) for _, cells in csv_rows(file, "user", _wrong))


def _wrong(columns: set[str]) -> str:
    fits = "user" in columns and columns & {"group", "groups"} and not columns - COLUMNS
    return "" if fits else "user and group (or groups), and aliases if any"


def _row(cells: Cells) -> Row:
    single = [cells["group"]] if cells.get("group") else []
    row: Row = {"user": cells["user"], "groups": [*single, *_several(cells.get("groups", ""))]}
    return row | ({"aliases": _several(cells["aliases"])} if "aliases" in cells else {})


def _several(text: str) -> list[str]:
    return [piece.strip() for piece in text.split(";") if piece.strip()]


def _merged(rows: Iterable[Row]) -> list[Row]:
    """One row per user: a file may have a line per membership, anywhere, and they must travel together."""
    merged: dict[str, Row] = {}
    for row in rows:
        there = merged.setdefault(row["user"], row)
        if there is not row:
            for several in row.keys() - {"user"}:
                there[several] = [*there.get(several, ()), *row[several]]
    return list(merged.values())
