"""``gatepost migrate``: the steps of the database's schema, on this machine."""

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.address import settings_of
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.domain.errors import DomainError


def migrate(
    desk: Desk,
    check: Annotated[bool, typer.Option("--check", help="Only say what is pending; exit 1 if anything is.")] = False,
) -> None:
    """Bring the database to this version's schema; the start of the gateway does the same.

    A database of a newer version is never changed back: install that version
    again, or restore a backup.

    \b
    Examples:
      gatepost migrate --check
      gatepost migrate
    """
    settings = settings_of(desk.config)
    # Here, because the database need not be loaded for every other command.
    from gateway.app.migrating import migrate as bring

    try:
        before, after = bring(settings, only_look=check)
    except DomainError as error:
        raise Failed(str(error)) from None
    steps = [(revision, title) for revision, title in before.pending]
    data: dict[str, Any] = {
        "from": before.found,
        "to": after.found,
        "newest": before.newest,
        "newer": before.is_newer,
        "pending": [{"revision": revision, "title": title} for revision, title in after.pending],
        "done": [] if check else [{"revision": revision, "title": title} for revision, title in steps],
        "beside_a_running_gateway": before.expands_only,
    }
    desk.show(data, rows=output.Rows(("step", "what"), steps) if steps else None, text=_sentence(data, bool(steps)))
    if check and steps:
        raise typer.Exit(1)


def _sentence(data: dict[str, Any], steps: bool) -> str:
    if data["newer"]:
        return f"schema {data['from']} is newer than this version's {data['newest']}, and this version can use it"
    if not steps:
        return f"schema {data['from']} is this version's: nothing to do"
    beside = (
        "a gateway of the version before goes on beside it"
        if data["beside_a_running_gateway"]
        else "a gateway of the version before cannot run beside it"
    )
    start = data["from"] or "none"
    if data["done"]:
        return f"migrated from schema {start} to {data['to']}"
    return f"pending, from schema {start} to {data['newest']}; {beside}"
