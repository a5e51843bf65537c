"""``gatepost audit``: verify the log in the database, export it by the admin API."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output, progress
from gateway.cli.address import settings_of
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.terminal import on_terminal
from gateway.cli.values import moment_of
from gateway.domain.errors import DomainError

if TYPE_CHECKING:
    from gateway.app.audit_check import Checked

app = group("The audit log: who did what, when, to whom.")


@command(app, "verify")
def verify(
    desk: Desk,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="Checkpoints from outside: notes, or lines of the log."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="KEY", help="A further public key that counts (audit-key.pub)."),
    ] = None,
) -> None:
    """See whether the log is as it was written; exit 1 if it is not.

    Reads the database itself, while the gateway runs or not. What was cut off
    or rewritten with the gateway's key shows only by --checkpoint: keep those
    that the gateway logs (audit_checkpoint) or sends, on another machine.

    \b
    Examples:
      gatepost audit verify
      gatepost audit verify --checkpoint /mnt/auditor/checkpoints.txt
    """
    settings = settings_of(desk.config)
    # Here, because the database need not be loaded for every other command.
    from gateway.app.audit_check import check_audit

    try:
        with progress.shown(desk) as tick:
            found = check_audit(
                settings, checkpoint or [], key or [], lambda done, whole: tick("verifying the log", done, whole)
            )
    except DomainError as error:
        raise Failed(str(error)) from None
    desk.show(_data(found), text="\n".join(_words(found)))
    if not found.verification.is_intact:
        raise typer.Exit(1)


def _data(found: "Checked") -> dict[str, Any]:
    said = found.verification
    return {
        "intact": said.is_intact,
        "origin": said.origin,
        "first": said.first,
        "size": said.size,
        "root": said.root.hex(),
        "damages": [
            {"kind": each.kind.value, "first": each.seq, "last": each.upto, "detail": each.sentence}
            for each in said.damages
        ],
        "damages_not_shown": said.damages_beyond,
        "notes": list(said.notes),
        "signed_upto": said.vouched,
        "outside_upto": said.outside,
        "keys": [str(each) for each in found.keys],
        "seals_checked": found.seals_looked_at,
        "checkpoints_given": found.outside,
    }


def _words(found: "Checked") -> list[str]:
    said = found.verification
    if not said.is_intact:
        lines = [f"DAMAGED ({each.kind.value}): {each.sentence}" for each in said.damages]
        if said.damages_beyond:
            lines.append(f"and {said.damages_beyond} findings more")
    elif said.size == 0:
        lines = ["the log is empty"]
    else:
        lines = [f"intact: entries {said.first} to {said.size} are as they were written"]
    return [*lines, *_worth(found), *(f"note: {each}" for each in said.notes)]


def _worth(found: "Checked") -> list[str]:
    """What the answer rests on."""
    said = found.verification
    lines = []
    if not found.keys:
        lines.append("no key is known here: signatures were not looked at; give the public key by --key")
    elif said.vouched:
        lines.append(f"signed up to entry {said.vouched} by checkpoints kept here")
    if not found.seals_looked_at:
        lines.append("the gateway's key file is not on this machine: seals were not looked at")
    if said.outside:
        lines.append(f"up to entry {said.outside} it is what was signed outside of this machine")
    elif not found.outside:
        lines.append(
            "no checkpoint from outside was given: a tail that was cut off with its checkpoints, or a log that was "
            "written anew with the key, would not show"
        )
    return lines


@command(app, "export")
def export(
    desk: Desk,
    since: Annotated[str, typer.Option("--since", metavar="MOMENT", help="Entries from then on.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="MOMENT", help="Entries before then.")] = "",
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Entries about this person only.")] = "",
    after: Annotated[int, typer.Option("--after", metavar="NUMBER", help="Entries above this number.")] = 0,
) -> None:
    """Print entries as JSON, one a line, with their chain.

    A line has the entry, as it was hashed, and the chain after it in
    hexadecimal; docs/audit.md says how to check them without Gatepost.
    Whose pseudonym is whose is known to the gateway only: with --user it
    looks that up, and the log says that you did.

    \b
    Examples:
      gatepost audit export > audit.jsonl
      gatepost audit export --since 2026-07-10 --until 2026-07-11
      gatepost audit export --user anna@corp.example
    """
    query: dict[str, str | int | None] = {
        "since": moment_of(since) if since else "",
        "until": moment_of(until) if until else "",
        "user": user,
    }
    # On a terminal the lines themselves show how far it is.
    with desk.api() as api, progress.shown(desk, hidden=on_terminal()) as tick:
        position, whole = after, 0
        while True:
            page = api.get("/audit/entries", after=position, limit=1000, **query)
            for line in page["entries"]:
                # As it is: what reads it next is a program.
                sys.stdout.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")
            whole = whole or page["size"] - after
            tick("exporting the log", min(whole, (page["next_after"] or page["size"]) - after), whole)
            if page["next_after"] is None:
                return
            position = page["next_after"]


@command(app, "status")
def status(desk: Desk) -> None:
    """Show where the log stands, and its public key.

    \b
    Example:
      gatepost audit status
    """
    with desk.api() as api:
        answer = api.get("/audit")
    pairs = (
        ("log", answer["origin"]),
        ("entries", f"{answer['first']} to {answer['size']}"),
        ("signed up to", answer["signed_upto"]),
        ("signed at", output.moment(answer["signed_at"])),
    )
    if desk.as_json:
        desk.show(answer)
    else:
        output.print_pairs(pairs)
