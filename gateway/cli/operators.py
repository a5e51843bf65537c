"""``gatepost operator``: named people and what they may do."""

from typing import Annotated, Any

import typer

from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import see_that_done
from gateway.cli.output import Rows, moment
from gateway.domain.operator import Role

app = group("Operators: named people with roles.")

_ROLES = "One of viewer, help-desk, operator, editor, approver, auditor; may be given several times."


@command(app, "add")
def add(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="The person; edits and the audit log carry this name.")],
    roles: Annotated[list[Role], typer.Option("--role", help=_ROLES)],
    logins: Annotated[
        list[str] | None,
        typer.Option("--login", help="The person's own mail login: an own change that cuts it is named."),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why; goes into the change and the audit log.")] = "",
) -> None:
    """Make an operator. A second person has to approve it.

    While nobody else may approve it is done at once, and the answer says so;
    otherwise it waits, and the exit status is 3.

    \b
    Examples:
      gatepost operator add anna --role editor --login anna@corp.example
      gatepost operator add bob --role approver --role auditor
    """
    body = {"name": name, "roles": [role.value for role in roles], "logins": logins or [], "note": note}
    with desk.api() as api:
        answer = api.post("/operators", body)
    see_that_done(answer)
    desk.show(answer, text=answer["sentence"])


@command(app, "list")
def list_operators(desk: Desk) -> None:
    """List all operators with their roles.

    \b
    Example:
      gatepost operator list
    """
    with desk.api() as api:
        answer = api.get("/operators")
    rows = [_row(each) for each in answer["operators"]]
    desk.show(answer, rows=Rows(("name", "roles", "mail logins", "made", "by"), rows))


@command(app, "show")
def show(desk: Desk, name: Annotated[str, typer.Argument(help="See operator list.")]) -> None:
    """Show one operator, a removed one, too.

    \b
    Example:
      gatepost operator show anna
    """
    with desk.api() as api:
        answer = api.get(f"/operators/{segment(name)}")
    desk.show(answer, rows=Rows(("name", "roles", "mail logins", "made", "by"), [_row(answer)]))
    if answer["removed_at"] and not desk.as_json:
        desk.note(f"removed {moment(answer['removed_at'])}")


@command(app, "roles")
def roles(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="See operator list.")],
    given: Annotated[list[Role], typer.Option("--role", help=f"All roles from now on. {_ROLES}")],
    note: Annotated[str, typer.Option("--note", help="Why; goes into the change and the audit log.")] = "",
) -> None:
    """Say all roles of an operator from now on.

    A role more, or an approver less, has to be approved by a second person.

    \b
    Example:
      gatepost operator roles bob --role approver --role auditor
    """
    with desk.api() as api:
        answer = api.put(f"/operators/{segment(name)}/roles", {"roles": [role.value for role in given], "note": note})
    see_that_done(answer)
    desk.show(answer, text=answer["sentence"])


@command(app, "remove")
def remove(desk: Desk, name: Annotated[str, typer.Argument(help="See operator list.")]) -> None:
    """Remove an operator; the person's tokens are revoked.

    For an approver a second person has to approve it: revoke the tokens
    meanwhile (gatepost token revoke).

    \b
    Example:
      gatepost operator remove bob --yes
    """
    desk.confirm(f"Remove the operator {name} and revoke all tokens of that name?")
    with desk.api() as api:
        answer = api.delete(f"/operators/{segment(name)}")
    see_that_done(answer)
    desk.show(answer, text=answer["sentence"])


def _row(operator: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{operator['name']}{' (first start)' if operator['first_start'] else ''}",
        ", ".join(operator["roles"]),
        ", ".join(operator["logins"]),
        moment(operator["created_at"]),
        operator["created_by"],
    )
