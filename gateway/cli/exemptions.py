"""``gatepost exempt``: let somebody through for a time."""

from typing import Annotated, Any

import typer

from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows, moment
from gateway.cli.policy_edits import carry_out
from gateway.cli.values import moment_in, moment_of

app = group("Let a user, one device or a group through for a time, with a reason.")


@command(app, "add")
def add(
    desk: Desk,
    user: Annotated[str, typer.Option("--user", help="The user.")] = "",
    device: Annotated[str, typer.Option("--device", help="Only this DeviceId of the user.")] = "",
    group_name: Annotated[str, typer.Option("--group", metavar="GROUP", help="A whole group instead.")] = "",
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="How long: 12h, 2d, 1w.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Until when, instead of --for.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who may look sees it.")] = "",
) -> None:
    """Add an exemption. Whom it would let through is shown before it is asked for.

    \b
    Examples:
      gatepost exempt add --user anna@corp.example --for 2d --reason "travels, new phone on Monday"
      gatepost exempt add --user anna@corp.example --device ApplDX3Q --until 2026-01-31 --reason "ticket 4711"
      gatepost exempt add --group board --for 1w --reason "agreed with the works council"
    """
    if bool(user) == bool(group_name):
        raise typer.BadParameter("an exemption is for --user (with or without --device) or for --group")
    if bool(length) == bool(until):
        raise typer.BadParameter("say how long: --for 2d, or --until 2026-01-31")
    if not reason.strip():
        raise typer.BadParameter("an exemption needs a --reason")
    body: dict[str, Any] = {
        "user": user,
        "device": device,
        "group": group_name,
        "reason": reason,
        "ends_at": moment_in(length) if length else moment_of(until),
    }
    carry_out(desk, lambda api, query: api.post("/exemptions", body, **query))


@command(app, "list")
def list_exemptions(desk: Desk) -> None:
    """List all exemptions, those that ended in the last month included.

    \b
    Example:
      gatepost exempt list
    """
    with desk.api() as api:
        answer = api.get("/exemptions")
    rows = [
        (
            each["id"],
            f"group {each['group']}" if each["group"] else each["user"],
            each["device"],
            moment(each["ends_at"]),
            each["in_force"],
            each["author"],
            each["reason"],
        )
        for each in answer["exemptions"]
    ]
    columns = ("id", "who", "device", "ends", "in force", "author", "reason")
    desk.show(answer, rows=Rows(columns, rows, "no exemptions"))


@command(app, "remove")
def remove(desk: Desk, exemption_id: Annotated[str, typer.Argument(metavar="ID", help="See exempt list.")]) -> None:
    """End an exemption now.

    \b
    Example:
      gatepost exempt remove 4f1c22a0 --yes
    """
    carry_out(desk, lambda api, query: api.delete(f"/exemptions/{segment(exemption_id)}", **query))
