"""``gatepost token``: bearer tokens of named operators."""

from typing import Annotated, Any

import typer

from gateway.cli.address import settings_of
from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed, see_that_done
from gateway.cli.output import Rows, moment
from gateway.cli.values import moment_in, seconds_of
from gateway.domain.errors import DomainError
from gateway.domain.operator import Role

app = group("Bearer tokens of named operators.")


@command(app, "create")
def create(
    desk: Desk,
    name: Annotated[
        str, typer.Argument(metavar="[OPERATOR]", help="The person it belongs to; edits carry this name.")
    ] = "",
    named: Annotated[str, typer.Option("--operator", metavar="OPERATOR", help="The same.")] = "",
    role: Annotated[
        Role | None,
        typer.Option(
            "--role", help="viewer: only looks. For a new name: its role; without, editor, approver, operator."
        ),
    ] = None,
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="Expires after: 8h, 30d. Never without.")] = "",
    local: Annotated[
        bool, typer.Option("--local", help="Without a token: write it into this machine's database.")
    ] = False,
) -> None:
    """Create a token. It is printed once and kept nowhere.

    It does what its operator may do. One for another person who may edit or
    approve is of no use before a second person has approved it; the exit status
    is 3 then.

    With --local it needs no other token: the way back when all are lost, for
    who may read and write the gateway's database.

    \b
    Examples:
      gatepost token create anna
      gatepost token create --operator anna --for 30d
      gatepost token create dashboard --role viewer --for 90d
      gatepost token create anna --local
    """
    operator = name or named
    if not operator or (name and named):
        raise typer.BadParameter("name one operator")
    if local:
        _create_locally(desk, operator, role, length)
        return
    body: dict[str, Any] = {"operator": operator}
    if role is not None:
        body["role"] = role.value
    if length:
        body["expires_at"] = moment_in(length)
    with desk.api() as api:
        answer = api.post("/tokens", body)
    if answer["change"] is None or not desk.as_json:
        desk.show(answer, text=answer["token"])
    if not desk.as_json:
        reach = ", ".join(answer["roles"])
        desk.note(f"token {answer['id']} of {operator} ({reach}); it is shown this once: GATEPOST_TOKEN takes it")
    see_that_done(answer)
    if answer["sentence"] and not desk.as_json:
        desk.note(answer["sentence"])


def _create_locally(desk: Desk, operator: str, role: Role | None, length: str) -> None:
    # Here, because the database need not be loaded for every other command.
    from gateway.app.local_token import create_local_token

    try:
        text, token = create_local_token(
            settings_of(desk.config), operator, role or Role.EDITOR, seconds_of(length) if length else None
        )
    except DomainError as error:
        raise Failed(str(error)) from None
    desk.show({"id": token.id, "operator": token.operator, "role": token.role, "token": text}, text=text)
    if not desk.as_json:
        desk.note(
            f"token {token.id} of {token.operator} ({token.role}); it is shown this once: GATEPOST_TOKEN takes it"
        )


@command(app, "list")
def list_tokens(desk: Desk) -> None:
    """List all tokens, without themselves.

    \b
    Example:
      gatepost token list
    """
    with desk.api() as api:
        answer = api.get("/tokens")
    rows = [
        (each["id"], each["operator"], ", ".join(each["roles"]), moment(each["created_at"]), _state(each))
        for each in answer["tokens"]
    ]
    desk.show(answer, rows=Rows(("id", "operator", "roles", "created", "state"), rows))


def _state(token: dict[str, Any]) -> str:
    if token["revoked_at"]:
        return f"revoked {moment(token['revoked_at'])}"
    if token["expires_at"]:
        return f"{'expires' if token['usable'] else 'expired'} {moment(token['expires_at'])}"
    return "usable"


@command(app, "revoke")
def revoke(desk: Desk, token_id: Annotated[str, typer.Argument(metavar="ID", help="See token list.")]) -> None:
    """Revoke a token, lost ones of others, too; the last one of an editor stays.

    \b
    Example:
      gatepost token revoke 9be1c04d --yes
    """
    desk.confirm(f"Revoke token {token_id}?")
    with desk.api() as api:
        answer = api.delete(f"/tokens/{segment(token_id)}")
    desk.show(answer, text=f"token {answer['id']} of {answer['operator']} is revoked")
